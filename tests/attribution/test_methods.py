"""The table of attribution methods: read by the command line without torch, and true for every row."""

import re
import subprocess
import sys

import pytest

from src.attribution.cam import class_activation_maps
from src.attribution.class_image import class_images
from src.attribution.guided import deconvnet
from src.attribution.methods import KINDS, METHODS, find_map_method, methods_of
from src.errors import InputError
from tests.conftest import ROOT


@pytest.mark.parametrize("name", METHODS)
def test_every_row_names_a_function_and_a_paper(name: str) -> None:
    row = METHODS[name]
    assert callable(row.load())
    assert row.kind in KINDS
    assert any(year in row.paper for year in map(str, range(2013, 2027)))
    assert (row.rule is not None) == (row.kind == "channels")


def test_a_row_loads_what_it_names() -> None:
    assert METHODS["deconvnet"].load() is deconvnet
    assert METHODS["class_image"].load() is class_images
    assert METHODS["gradcam++"].load().__name__ == "GradCAMPlusPlus"


def test_methods_of_a_kind_in_the_order_of_the_table() -> None:
    assert methods_of() == list(METHODS)
    assert methods_of("class_image") == ["class_image"]
    assert methods_of("pixels", "channels") == ["guided_gradcam", "guided_backprop", "deconvnet"]


def test_a_map_method_is_found_as_its_paper_spells_it() -> None:
    assert find_map_method("Grad-CAM++") == "gradcam++"
    with pytest.raises(InputError, match=r"^method=deconvnet is unknown; nearest: "):
        find_map_method("deconvnet")
    with pytest.raises(InputError, match=r"^method=gradcan is unknown; nearest: gradcam"):
        find_map_method("gradcan")


@pytest.mark.parametrize(("verb", "names"), [("explain", methods_of()), ("predict", methods_of("map"))])
def test_help_lists_the_methods(verb: str, names: list[str]) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", f"src.{verb}", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    listed = re.split("Groups:|Settings:", ran.stdout.partition("method=NAME")[2])[0].split()
    assert [word for word in listed if word in METHODS] == names


def test_names_are_checked_without_torch() -> None:
    """`python -m src.explain method=gradcan` answers before torch has been imported."""
    program = (
        "import sys; sys.argv[1:] = ['checkpoint=nowhere', 'method=gradcan']\n"
        "from src.command.main import main\nfrom src.explain import explain\n"
        "try: main('explain', explain)\n"
        "finally: print('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.strip()) == (2, "False")
    assert ran.stderr == "error: method=gradcan is unknown; nearest: gradcam, xgradcam, gradcam++\n"


def test_an_unknown_method_of_maps_has_the_same_line_from_python() -> None:
    import torch

    with pytest.raises(InputError, match=r"^method=gradcan is unknown; nearest: gradcam"):
        class_activation_maps(torch.nn.Identity(), torch.zeros(1, 3, 8, 8), "gradcan")
