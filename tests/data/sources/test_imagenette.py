import pytest

from src.data.sources.imagenette import CLASSES
from src.errors import InputError


def test_val_is_the_test_split(find, make_folder):
    root = make_folder(
        {f"{split}/{wnid}": 2 for split in ("train", "val") for wnid in CLASSES},
        name="imagenette2-160",
    )
    found = find("imagenette", root.parent)
    assert found.class_names == sorted(CLASSES.values())
    assert set(found.published) == {"train", "test"}
    church = found.class_names.index("church")
    assert {
        path.split("/")[1] for path, target in zip(found.paths, found.targets, strict=True) if target == church
    } == {"n03028079"}


@pytest.mark.usefixtures("no_network")
def test_without_network(find, tmp_path):
    with pytest.raises(InputError, match="by hand: .*imagenette2-320.tgz"):
        find("imagenette", tmp_path, download=True)
    assert list(tmp_path.iterdir()) == []
