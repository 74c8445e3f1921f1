"""`explain shortcuts=true` on a real network that learned a mark, on changed images, and its lines for wrong input."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.errors import InputError
from src.explanation import changes
from tests.support.command_line import run_here
from tests.test_explain import explained, newest


def test_a_cell_is_put_in_and_nothing_else() -> None:
    images = np.arange(2 * 1 * 8 * 8, dtype=np.uint8).reshape(2, 1, 8, 8)
    cell = changes.cells(8, 4)[1][3]
    changed = changes.put(images, images[::-1], cell)
    assert (changed[:, :, 2:4, 6:8] == images[::-1, :, 2:4, 6:8]).all()
    changed[:, :, 2:4, 6:8] = images[:, :, 2:4, 6:8]
    assert (changed == images).all()


def test_a_piece_is_repeated_without_new_edges() -> None:
    image = np.zeros((1, 1, 8, 8), np.uint8)
    image[..., 0, 0] = 9
    whole = changes.repeated(image, changes.cells(8, 4)[0][0])
    assert whole.shape == image.shape
    assert (whole == 9).sum() == 16  # each second copy is mirrored: nines lie together
    assert whole[0, 0, 3:5, 3:5].tolist() == [[9, 9], [9, 9]]


def test_donors_are_of_another_class() -> None:
    classes = np.array([0, 0, 1, 2, 2, 2])
    given = changes.donors(classes, seed=1)
    assert (classes[given] != classes).all()
    assert (given == changes.donors(classes, seed=1)).all()
    alike = changes.fellows(classes)
    assert (classes[alike] == classes).all()
    assert (alike != np.arange(6)).sum() == 5  # the only one of its class stays


def test_pieces_show_the_edges_of_compression() -> None:
    """A JPEG's 8×8 blocks begin within them, at each size."""
    for side in (32, 64, 128):
        for row in changes.pieces(side, 4):
            for down, across in row:
                assert 0 <= down.start < down.stop <= side
                assert any(edge % 8 == 0 for edge in range(across.start + 1, across.stop))


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on noise whose classes differ in a mark in one corner alone."""
    root = tmp_path_factory.mktemp("marked") / "photos"
    random = np.random.default_rng(0)
    for split, count in (("train", 60), ("val", 20), ("test", 40)):
        for label in ("with", "without"):
            (root / split / label).mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(60, 196, (16, 16, 3), dtype=np.uint8)
                if label == "with":
                    pixels[:4, 12:] = (255, 0, 255)
                Image.fromarray(pixels).save(root / split / label / f"{index}.png")
    words = [
        "data=folder", f"data.root={root}", "model=simple_cnn", "data.image_size=16", "data.augment=null",
        "trainer.max_epochs=6", "data.batch_size=16", "cost=false", "baseline=false", "callbacks.gradcam=null",
        "logger=none", f"hydra.run.dir={root.parent / 'run'}",
    ]  # fmt: skip
    ended = run_here(*words, cwd=root.parent)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return root.parent / "run"


def test_a_mark_in_a_corner_is_found_and_its_remedy_measured(marked: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = explained(f"checkpoint={marked}", "shortcuts=true")["shortcuts"]
    assert isinstance(found, dict)
    assert found["accuracy"] > 0.9
    assert [one["kind"] for one in found["found"]] == ["fixed place"]
    assert found["found"][0]["place"][:2] == (0, 3)
    assert "row 1, column 4" in found["verdict"]
    remedy = found["remedy"]
    assert remedy["before"] < 0.2
    assert remedy["after"] > remedy["before"]
    folder = newest(marked)
    told = json.loads((folder / "explain.json").read_text())
    assert told["shortcuts"]["verdict"] == found["verdict"]
    assert {"shortcuts.png", "cells.csv", "slices.csv", "background.csv"} <= {file.name for file in folder.iterdir()}
    assert np.asarray(Image.open(folder / "shortcuts.png")).std() > 10


def test_the_run_page_and_the_report_say_it(marked: Path, tmp_path: Path) -> None:
    shutil.copytree(marked, tmp_path / "run")
    explained(f"checkpoint={tmp_path / 'run'}", "shortcuts=true")
    ended = run_here(f"runs={tmp_path / 'run'}", f"output={tmp_path / 'report'}", cwd=tmp_path, verb="report")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for page in (tmp_path / "run" / "report.html", tmp_path / "report" / "report.html"):
        text = page.read_text()
        assert "Does it answer by a shortcut?" in text
        assert "Shortcut found: the answers follow a fixed place" in text
        assert "What each cell of the images carries" in text
    assert list((tmp_path / "report").glob("explain_*_shortcuts.png"))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["max_images=5"], "max_images=5 with shortcuts=true: take 40 to 500"),
        (["faithfulness=true"], "shortcuts=true and faithfulness=true don't go together"),
        (["misclassified=true"], "shortcuts=true and misclassified=true don't go together"),
        (["target=true"], "shortcuts=true looks at what is predicted"),
        (["method=class_image"], "shortcuts=True means nothing to method=class_image"),
    ],
)
def test_what_does_not_go_together_is_one_line(digits_run: Path, words: list[str], line: str) -> None:
    with pytest.raises(InputError, match="(?i)" + line.replace("(", r"\(")):
        explained(f"checkpoint={digits_run}", "shortcuts=true", *words)


def test_images_without_classes_are_refused(digits_run: Path, tmp_path: Path) -> None:
    for index in range(45):
        Image.fromarray(np.full((8, 8), index, np.uint8)).save(tmp_path / f"{index}.png")
    with pytest.raises(InputError, match="needs at least 40 images of two classes or more that are known, not 0"):
        explained(f"checkpoint={digits_run}", "shortcuts=true", f"images={tmp_path}")
