"""Where objects are: boxes.csv, Tiny-ImageNet's boxes, the masks of Oxford-IIIT pets; and as a network sees them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.data.datasets import FileDataset
from src.data.places import Places
from src.data.transforms import Geometry
from src.errors import InputError
from src.trained.pictures import Pictures


def listed(root: Path, *lines: str) -> Places:
    (root / "boxes.csv").write_text("\n".join(["file,left,top,right,bottom", *lines]), encoding="utf-8")
    return Places(root)


def test_boxes_of_a_file_are_filled_and_no_other(tmp_path: Path) -> None:
    places = listed(tmp_path, "a/1.png,0,1,2,3", "a/1.png,4,4,6,5", "a/2.png,0,0,1,1")
    assert places.knows("a/1.png")
    assert not places.knows("a/3.png")
    mask = np.asarray(places.mask("a/1.png", (6, 5))) > 0
    expected = np.zeros((5, 6), bool)
    expected[1:3, 0:2] = expected[4, 4:6] = True
    assert (mask == expected).all()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a.png,3,1,2,3", "line 2: a.png,3,1,2,3 is no box"),
        ("a.png,1,1,2", "line 2: a.png,1,1,2,None is no box"),
        ("a.png,x,1,2,3", "line 2: a.png,x,1,2,3 is no box"),
        ("a.png,-1,1,2,3", "is no box"),
        ("a.png,nan,1,2,3", "is no box"),
    ],
)
def test_a_box_that_is_none_is_one_line(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        listed(tmp_path, line).knows("a.png")


def test_a_table_without_its_columns_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("file,x,y\n")
    with pytest.raises(InputError, match="lacks the column left: its first line is file,left,top,right,bottom"):
        Places(tmp_path).knows("a.png")


def test_tiny_imagenet_counts_its_last_pixel_in(tmp_path: Path) -> None:
    for folder in ("train/n01/images", "val/images"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "train/n01/n01_boxes.txt").write_text("n01_0.JPEG\t1\t2\t3\t4\n")
    (tmp_path / "val/val_annotations.txt").write_text("val_0.JPEG\tn01\t0\t0\t63\t10\n")
    places = Places(tmp_path)
    mask = np.asarray(places.mask("train/n01/images/n01_0.JPEG", (64, 64)))
    assert np.argwhere(mask).min(axis=0).tolist() == [2, 1]
    assert np.argwhere(mask).max(axis=0).tolist() == [4, 3]
    assert (np.asarray(places.mask("val/images/val_0.JPEG", (64, 64))) > 0).sum() == 64 * 11
    assert not places.knows("train/n01/images/n01_1.JPEG")


def test_a_pets_mask_is_the_animal_and_its_edge(tmp_path: Path) -> None:
    (tmp_path / "annotations/trimaps").mkdir(parents=True)
    Image.fromarray(np.array([[1, 2], [3, 2]], np.uint8)).save(tmp_path / "annotations/trimaps/pug_1.png")
    places = Places(tmp_path)
    assert places.knows("images/pug_1.jpg")
    assert (np.asarray(places.mask("images/pug_1.jpg", (4, 4))) > 0)[:, :2].all()
    assert not np.asarray(places.mask("images/pug_1.jpg", (4, 4)))[:, 2:].any()


@pytest.mark.parametrize("resize", ["crop", "pad", "squash"])
def test_a_place_goes_the_way_of_its_picture(tmp_path: Path, resize: str) -> None:
    """White pixels of the picture, and nothing else, are the place, whatever becomes of the picture; turned by EXIF."""
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[10:30, 50:70] = 255
    turned = Image.fromarray(np.rot90(pixels))  # stored on its side: "turn me by 90° clockwise"
    exif = turned.getexif()
    exif[0x0112] = 6
    (tmp_path / "a").mkdir()
    turned.save(tmp_path / "a/1.png", exif=exif)
    listed(tmp_path, "a/1.png,50,10,70,30")
    geometry = replace(Geometry(32, 3, resize=resize), fill=(0, 0, 0))
    dataset = FileDataset(tmp_path, ["a/1.png", "a/1.png"], np.zeros(2, int), np.arange(2), geometry, None, 0)
    pictures = Pictures(dataset, ["a/1.png"] * 2, np.zeros(2, int))
    masks, known = pictures.places([1])
    assert known.tolist() == [True]
    seen = pictures.take([1]).numpy()[0].mean(axis=0) > 127
    assert seen.any()
    assert (masks[0] == seen).all()
