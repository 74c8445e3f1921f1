"""The range of values is the data set's: measured on the training images, and used for all."""

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.data.images import OWN
from src.data.transforms import load_image
from src.errors import InputError


def make_deep(root: Path, most: dict[str, int], dtype: type = np.uint16) -> Path:
    """Folders of pictures, 16 × 16, from black to the value given."""
    for number, (folder, high) in enumerate(most.items()):
        for i in range(4):
            path = root / folder / f"{i}.{'png' if dtype is np.uint16 else 'tif'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            values = np.random.default_rng((number, i)).random((16, 16)) * high
            values[0, 0], values[0, 1] = 0, high
            Image.fromarray(values.astype(dtype)).save(path)
    return root


TWELVE = {"train/a": 4095, "train/b": 1500, "val/a": 300, "val/b": 300, "test/a": 5000, "test/b": 900}


def test_it_is_that_of_the_training_images_and_what_is_clipped_is_told(make_module, tmp_path, caplog):
    root = make_deep(tmp_path / "deep", TWELVE)
    data = make_module(root=root)
    assert data.geometry.range == OWN
    with caplog.at_level(logging.INFO, logger="src.data.value_range"):
        data.setup()
    assert data.geometry.range == (0.0, 4095.0)
    assert data.preprocessing["range"] == [0.0, 4095.0]
    assert "0…4095 (12 bits) become 0…255, measured on the training images" in caplog.text
    assert "clipped: 4 in test" in caplog.text
    images, _, paths = data.sample("val", 8)
    assert images.max() < 40  # dark pictures stay dark
    np.testing.assert_array_equal(images[0], load_image(root / paths[0], data.geometry))


def test_it_is_remembered_with_the_files(make_module, tmp_path, monkeypatch):
    root = make_deep(tmp_path / "deep", TWELVE)
    make_module(root=root).setup()
    monkeypatch.setattr("src.data.defects.find_defects", lambda _, paths: pytest.fail("read again") if paths else [])
    data = make_module(root=root, exclude=["test/a/*"])
    data.setup()
    assert data.geometry.range == (0.0, 4095.0)
    assert data.found.verdicts[-1].extent.high == 900


@pytest.mark.parametrize(
    ("said", "expected"),
    [(10, (0.0, 1023.0)), (16, (0.0, 65535.0)), ([100, 600.5], (100.0, 600.5)), ("own", "own"), ("earlier", "earlier")],
)
def test_it_can_be_said(make_module, tmp_path, said, expected):
    data = make_module(root=make_deep(tmp_path / "deep", TWELVE), range=said)
    data.setup()
    assert data.geometry.range == expected


@pytest.mark.parametrize("said", ["wide", 0, 33, [5], [5, 5], [9, 2], True, 12.5, None])
def test_what_it_cannot_be(make_module, said):
    with pytest.raises(InputError, match=r"data\.range=.* is not possible: take auto, own, earlier, a whole number"):
        make_module(root="x", range=said)


def test_pictures_of_8_bits_have_none(make_module, make_folder, caplog):
    data = make_module(root=make_folder({"a": 4, "b": 4}))
    with caplog.at_level(logging.INFO, logger="src.data.value_range"):
        data.setup()
    assert (data.geometry.range, caplog.text) == (OWN, "")


def test_floats_are_no_longer_stretched_one_by_one(make_module, tmp_path):
    most = {"train/a": 2000, "train/b": 1000, "val/a": 500, "val/b": 500, "test/a": 9, "test/b": 9}
    data = make_module(root=make_deep(tmp_path / "floats", most, np.float32))
    data.setup()
    assert data.geometry.range == (0.0, 2000.0)
    assert data.sample("val", 8)[0].max() <= 64


def test_whole_numbers_beside_fractions_are_told(make_module, tmp_path, caplog):
    root = make_deep(tmp_path / "mixed", {"train/a": 4095, "train/b": 4095})
    make_deep(root, {"train/c": 1}, np.float32)
    make_module(root=root, val_fraction=0.25, test_fraction=0.25).setup()
    assert "some images hold whole numbers and some fractions" in caplog.text
