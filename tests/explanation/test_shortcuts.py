"""`explain shortcuts=true` on a real network that learned a mark, on changed images, and its lines for wrong input."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from src.analysis.leaks import leak
from src.data.datasets import FileDataset
from src.data.transforms import Geometry
from src.errors import InputError
from src.explanation import changes
from src.explanation.files_told import properties_of
from src.trained.pictures import Pictures
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
    """A run on noise whose classes differ in a mark in one corner alone, which boxes.csv calls the object."""
    root = tmp_path_factory.mktemp("marked") / "photos"
    random, boxes = np.random.default_rng(0), ["file,left,top,right,bottom"]
    for split, count in (("train", 60), ("val", 20), ("test", 40)):
        for label in ("with", "without"):
            (root / split / label).mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(60, 196, (16, 16, 3), dtype=np.uint8)
                if label == "with":
                    pixels[:4, 12:] = (255, 0, 255)
                Image.fromarray(pixels).save(root / split / label / f"{index}.png")
                boxes.append(f"{split}/{label}/{index}.png,12,0,16,4")
    (root / "boxes.csv").write_text("\n".join(boxes))
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
    background = pd.read_csv(folder / "background.csv")
    assert background["the object alone"].mean() > 0.9 > 0.6 > background["without the object"].mean()


def test_maps_of_the_mark_lie_on_it_and_a_copy_that_knows_deletions_says_so(marked: Path) -> None:
    words = ("faithfulness=true", "shuffled=null", "single_deletion=true", "layer=block1", "max_images=40")
    found = explained(f"checkpoint={marked}", *words)["faithfulness"]
    assert isinstance(found, dict)
    objects = found["objects"]
    assert objects["covered"] == pytest.approx(1 / 16)
    assert objects["energy"] > 2 * objects["covered"]
    deleted = found["single_deletion"]
    assert len(deleted["values"]) == 40
    assert -1 <= deleted["interval"][0] < deleted["score"] <= 1
    assert deleted["accuracy"] > 0.9
    assert len(list(marked.glob("explain/single_deletion_*/checkpoints/last.ckpt"))) == 1
    assert "single_deletion" not in newest(marked).name


def test_blocks_of_a_jpeg_give_a_class_away_in_files_that_are_none(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for index in range(60):
        coarse = Image.fromarray(random.integers(40, 216, (6, 6, 3), dtype=np.uint8))
        picture = coarse.resize((40, 40), Image.Resampling.BICUBIC)
        for label in ("as it is", "once a JPEG"):
            (tmp_path / label).mkdir(exist_ok=True)
            if label == "once a JPEG":
                picture.save(file := io.BytesIO(), "JPEG", quality=10)
                picture = Image.open(file)
            picture.save(tmp_path / label / f"{index:02d}.png")
    paths = [f"{label}/{index:02d}.png" for label in ("as it is", "once a JPEG") for index in range(60)]
    targets = np.repeat([0, 1], 60)
    dataset = FileDataset(tmp_path, paths, targets, np.arange(120), Geometry(32, 3), None, 0)
    table = properties_of(Pictures(dataset, paths, targets), np.arange(120), ["as it is", "once a JPEG"])
    assert table is not None
    told = leak(table, targets)
    assert told is not None
    assert told.found
    assert told.properties[0] == "blocks"


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
        (["single_deletion=true"], "single_deletion=true is for faithfulness=true"),
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
