"""What the page shows: which networks, what is said of them, and the test images beside them."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from src.analysis.intervals import wilson
from src.data.transforms import Geometry
from src.errors import InputError
from src.page.ask import digest as digest_of
from src.page.ask import familiarity, say
from src.page.exhibits import open_exhibition, split_paths
from src.page.pictures import Picture
from src.trained.temperature import Calibration, digest, write_calibration

CPU = torch.device("cpu")


@pytest.fixture
def run(digits_run: Path, tmp_path: Path) -> Path:
    """A run of one's own, to write in, which the folder's is not."""
    shutil.copytree(digits_run, tmp_path / "run")
    return tmp_path / "run"


def test_a_run_is_shown_with_its_facts_layers_and_test_images(run: Path) -> None:
    exhibition = open_exhibition(str(run), CPU)
    (exhibit,) = exhibition.exhibits
    accuracy = json.loads((run / "metrics.json").read_text())["test/accuracy"]
    assert exhibit.facts == [
        "run", "simple_cnn", "16×16 px, grey", "trained on digits", "10 classes",
        "test accuracy {:.3f} ({:.3f} to {:.3f})".format(accuracy, *wilson(accuracy, 180)),
    ]  # fmt: skip
    assert exhibit.layers == {"block3": (2, 2), "block2": (4, 4), "block1": (8, 8)}
    assert exhibit.layer == "block2"
    assert exhibit.temperature is None
    examples = exhibition.examples
    assert not isinstance(examples, str)
    assert len(examples.chosen) == len(examples.pictures) == 180
    index = int(examples.chosen[7])
    torch.testing.assert_close(examples.input(index, exhibit.trained.geometry), examples.pictures.take([index])[0])
    assert examples.input(index, Geometry(32, 3)).shape == (3, 32, 32)  # for another network beside it
    assert examples.pictures.dataset.geometry == exhibit.trained.geometry


def test_the_temperature_comes_from_the_side_file(run: Path) -> None:
    checkpoint = run / "checkpoints/best.ckpt"
    write_calibration(checkpoint, Calibration(1.75, "val", 160, 0.4, 0.3, digest(checkpoint)))
    assert open_exhibition(str(run), CPU).exhibits[0].temperature == 1.75


def test_a_checkpoint_without_its_run_has_no_test_images_and_says_so(run: Path, tmp_path: Path) -> None:
    shutil.copy(run / "checkpoints/best.ckpt", tmp_path / "alone.ckpt")
    exhibition = open_exhibition(f"[{tmp_path / 'alone.ckpt'}, {run}]", CPU)
    assert exhibition.exhibits[0].facts[0] == "alone.ckpt"
    assert [exhibit.letter for exhibit in exhibition.exhibits] == ["A", "B"]
    assert exhibition.examples == "The checkpoint belongs to no run, so there are no test images to choose from."


def test_test_images_that_are_gone_are_explained_where_paths_may_be_seen(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = run / ".hydra/config.yaml"
    settings.write_text(settings.read_text().replace("name: digits", "name: mnist"))
    said = open_exhibition(str(run), CPU, data_root=str(run / "nowhere")).examples
    assert said == "The run's test images are not available: the terminal says why."
    assert str(run / "nowhere") in caplog.text


def test_damaged_figures_are_left_out(run: Path) -> None:
    (run / "metrics.json").write_text("{")
    assert len(open_exhibition(str(run), CPU).exhibits[0].facts) == 5


def test_two_runs_say_what_differs(run: Path, tmp_path: Path) -> None:
    other = shutil.copytree(run, tmp_path / "other")
    for folder, typed in ((run, "[seed=1, optimizer.lr=0.1]"), (other, "[optimizer.lr=0.1, seed=2, +data.root=/x/y]")):
        (folder / ".hydra/overrides.yaml").write_text(typed)
    first, second = open_exhibition(f"[{run},{other}]", CPU).exhibits
    assert (first.facts[0], first.facts[6:]) == ("run", ["seed=1"])
    assert (second.facts[0], second.facts[6:]) == ("other", ["seed=2", "root=y"])


def test_two_paths_are_told_apart(tmp_path: Path) -> None:
    for name in ("a", "b,c", "[a,b]"):
        (tmp_path / name).mkdir()
    a, odd, literal = (str(tmp_path / name) for name in ("a", "b,c", "[a,b]"))
    assert split_paths(a) == [a]
    assert split_paths(literal) == [literal]  # what exists is meant as it is typed
    assert split_paths(f"[{a},{odd}]") == [a, odd]
    assert split_paths(f"[{odd}, {a}]") == [odd, a]
    assert split_paths("[x,y]") == ["x", "y"]


@pytest.mark.parametrize("typed", ["[]", "[x]", "[x,]", "[x,y,z]", ""])
def test_another_number_of_networks_gets_its_line(typed: str) -> None:
    with pytest.raises(InputError, match="name one|name a run"):
        split_paths(typed)


def test_an_ensemble_is_one_exhibit_that_answers_with_the_mean(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(run, other)
    content = torch.load(other / "checkpoints/best.ckpt", weights_only=True)
    content["state_dict"]["network.fc.bias"] += torch.linspace(-2, 2, 10)
    torch.save(content, other / "checkpoints/best.ckpt")
    exhibition = open_exhibition(f"[{run},{other}]", CPU, ensemble=True)
    (exhibit,) = exhibition.exhibits
    assert exhibit.facts == ["mean of 2 networks, not calibrated", "run", "other"]
    alone = [open_exhibition(str(path), CPU).exhibits[0] for path in (run, other)]
    assert not isinstance(exhibition.examples, str)
    image = exhibition.examples.input(3, exhibit.trained.geometry)
    picture = Picture("3", {exhibit.trained.geometry: image}, {exhibit.trained.geometry: digest_of(image)})
    mean = (say(alone[0], picture) + say(alone[1], picture)) / 2
    assert say(exhibit, picture) == pytest.approx(mean, abs=1e-6)
    with pytest.raises(InputError, match="ensemble=true needs several networks"):
        open_exhibition(str(run), CPU, ensemble=True)
    with pytest.raises(InputError, match="are for one run"):
        open_exhibition(f"[{run},{other}]", CPU, doubt=(0.9, None), ensemble=True)


def test_sets_and_unfamiliar_pictures_rest_on_validation_images(run: Path) -> None:
    (exhibit,) = open_exhibition(str(run), CPU, doubt=(0.99, 0.05)).exhibits
    geometry = exhibit.trained.geometry
    noise = torch.randint(0, 256, (1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    picture = Picture("noise", {geometry: noise}, {geometry: digest_of(noise)})
    shares = say(exhibit, picture)
    assert exhibit.validated is not None
    sets = exhibit.validated.sets(shares[None])
    assert sets is not None
    assert sets[0][0] == shares.argmax()
    share = familiarity(exhibit, picture)
    assert share is not None
    assert share <= 0.05
