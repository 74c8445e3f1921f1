"""On the data in `data/`, where it is there."""

import time
from pathlib import Path

import numpy as np
import pytest

from src.data import ImageDataModule
from src.data.sources.tinyimagenet import choose_classes

DATA = Path(__file__).parents[2] / "data"


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not (DATA / name).is_dir(), reason=f"data/{name} is not here (shared/data/unpack data)")


def build(name: str, **options) -> ImageDataModule:
    settings = {"image_size": 32, "in_channels": 3, "mean": [0.5], "std": [0.5], "root": DATA, **options}
    return ImageDataModule(name=name, **settings)


@needs("PetImages")
def test_cats_and_dogs_leave_out_two_files_and_pass_over_two():
    first = build("catsdogs")
    first.setup()
    assert [(skipped.path, skipped.reason) for skipped in first.skipped] == [
        ("Cat/666.jpg", "empty file"),
        ("Dog/1170.jpg", "empty file"),
    ]
    assert first.found.passed_over.files == {"Thumbs.db": 2}
    assert sum(first.size(split) for split in ("train", "val", "test")) == 2998
    start = time.perf_counter()
    second = build("catsdogs")
    second.setup()
    assert time.perf_counter() - start < 1
    assert second.paths("test") == first.paths("test")


@needs("MNIST")
def test_mnist_is_published_with_a_test_split():
    data = build("mnist", image_size=28, in_channels=1)
    data.setup()
    assert [data.size(split) for split in ("train", "val", "test")] == [54000, 6000, 10000]
    pixels = data.collection.images[data.collection.published["train"]].float() / 255
    assert (round(pixels.mean().item(), 4), round(pixels.std().item(), 4)) == (0.1307, 0.3081)
    assert np.bincount(data.targets("test")).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@needs("tiny-imagenet-200")
def test_a_folder_of_real_photographs_in_nested_folders():
    data = build("folder", root=DATA / "tiny-imagenet-200" / "train", image_size=64)
    data.setup()
    assert data.num_classes == 40
    assert {path.split("/")[1] for path in data.paths("val")} == {"images"}
    assert set(np.bincount(data.targets("test"))) == {50}


@needs("tiny-imagenet-200")
def test_25_classes_of_tiny_imagenet():
    data = build("tinyimagenet", image_size=64, classes=25, class_seed=303)
    data.setup()
    assert [data.size(split) for split in ("train", "val", "test")] == [11_250, 1_250, 1_250]
    assert all(
        (np.bincount(data.targets(split)) == n).all() for split, n in (("train", 450), ("val", 50), ("test", 50))
    )
    assert data.skipped == []
    assert data.class_names[:4] == ["goldfish", "European fire salamander", "trilobite", "spiny lobster"]
    assert len(set(data.class_names)) == data.num_classes == 25
    other = choose_classes((data.data_root / "wnids.txt").read_text().split(), 25, 304)
    assert other != sorted({path.split("/")[1] for path in data.paths("train")})
