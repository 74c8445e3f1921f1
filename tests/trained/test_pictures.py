"""Files, folders and splits as the network sees them."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from src.data.transforms import load_image
from src.errors import InputError
from src.runs.folder import RunFolder
from src.trained.checkpoint import Trained, load_trained
from src.trained.pictures import UNKNOWN, open_data, open_pictures


@pytest.fixture(scope="module")
def trained(digits_run: Path) -> Trained:
    return load_trained(digits_run)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Photographs in folders called 3, 7 and other; a broken one, and a text."""
    root = tmp_path / "my photos, ä"
    for k, name in enumerate(("3/a.png", "3/b.jpg", "7/c d.png", "other/e.png", "f.png")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        cells = np.random.default_rng(k).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(cells).save(root / name)
    (root / "7/broken.png").write_bytes((root / "3/a.png").read_bytes()[:200])
    (root / "notes.txt").write_text("no picture")
    return root


def test_a_folder_gives_its_images_their_classes_and_what_was_left_out(trained: Trained, photos: Path) -> None:
    pictures = open_pictures(str(photos), trained)
    assert pictures.names == ["3/a.png", "3/b.jpg", "7/c d.png", "f.png", "other/e.png"]
    assert pictures.targets.tolist() == [3, 3, 7, UNKNOWN, UNKNOWN]
    assert [skipped.path for skipped in pictures.skipped] == ["7/broken.png"]  # the notes are passed over
    expected = torch.stack([load_image(photos / name, trained.geometry) for name in pictures.names])
    assert torch.equal(torch.cat(list(pictures.batches(2))), expected)
    assert torch.equal(pictures.take([4, 0]), expected[[4, 0]])


def test_a_file_is_one_image(trained: Trained, photos: Path) -> None:
    pictures = open_pictures(str(photos / "7/c d.png"), trained)
    assert pictures.names == ["c d.png"]
    assert pictures.targets.tolist() == [7]


def test_a_pattern_and_a_list_mean_the_same_as_to_predict(
    trained: Trained, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    pictures = open_pictures("*/*.png", trained)
    assert pictures.names == ["3/a.png", "7/c d.png", "other/e.png"]
    assert pictures.targets.tolist() == [3, 7, UNKNOWN]
    assert [(skipped.path, skipped.reason) for skipped in pictures.skipped] == [("7/broken.png", "truncated")]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"7/c d.png\n3/b.jpg\nnowhere.png\n")))
    pictures = open_pictures("-", trained)
    assert pictures.names == ["7/c d.png", "3/b.jpg"]  # in the order of the list
    assert [(skipped.path, skipped.reason) for skipped in pictures.skipped] == [("nowhere.png", "missing")]
    expected = torch.stack([load_image(photos / name, trained.geometry) for name in pictures.names])
    assert torch.equal(torch.cat(list(pictures.batches(2))), expected)


def test_of_many_images_the_classes_come_in_turn_and_the_same_again(trained: Trained, photos: Path) -> None:
    pictures = open_pictures("test", trained)
    chosen = pictures.some(20, seed=3)
    assert np.bincount(pictures.targets[chosen]).tolist() == [2] * 10
    assert (np.diff(chosen) > 0).all()
    assert np.array_equal(chosen, pictures.some(20, seed=3))
    assert not np.array_equal(chosen, pictures.some(20, seed=4))
    assert len(pictures.some(None, seed=1)) == len(pictures)
    among = np.array([5, 9, 40, 41, 100])
    assert set(pictures.some(3, 1, among)) < set(among)
    assert len(open_pictures(str(photos), trained).some(3, seed=1)) == 3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _: None, "does not exist"),
        (lambda folder: folder.mkdir(), "holds no image that can be read"),
        (lambda folder: folder.write_text("x"), "holds no image that can be read .*not an image"),
    ],
    ids=["missing", "empty", "text"],
)
def test_nothing_to_look_at_gets_its_line(trained: Trained, tmp_path: Path, make: object, words: str) -> None:
    make(tmp_path / "images")  # type: ignore[operator]
    with pytest.raises(InputError, match=words):
        open_pictures(str(tmp_path / "images"), trained)


def test_the_three_splits_are_those_of_the_training(trained: Trained) -> None:
    names = {split: set(open_pictures(split, trained).names) for split in ("train", "val", "test")}
    assert sum(map(len, names.values())) == 1797
    assert not names["train"] & names["test"]
    assert not names["val"] & names["test"]


def test_a_bucket_that_nobody_here_has_read_is_not_asked_for_a_stranger(run: Path) -> None:
    settings = run / ".hydra/config.yaml"
    content = yaml.safe_load(settings.read_text())
    content["data"] |= {"name": "folder", "root": "s3://elsewhere/photos/"}
    settings.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match="nothing was fetched here yet: say data.root=s3://elsewhere/photos/ if you"):
        open_data(RunFolder(run))
