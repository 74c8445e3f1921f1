"""Folders and tables of public complaints about other tools, as tests/README.md lists them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from src.data import ImageDataModule
from tests.support.data_fixtures import write_image

Make = Callable[..., ImageDataModule]


@pytest.mark.parametrize(
    "names", [("train", "validation", "test"), ("train", "valid", "test"), ("training", "val", "testing")]
)
def test_splits_may_be_called_in_several_ways(names: tuple[str, ...], make_folder, make_module: Make) -> None:
    """ultralytics/ultralytics#4310."""
    root = make_folder(
        {f"{split}/{label}": number for split, number in zip(names, (4, 2, 3), strict=True) for label in "ab"}
    )
    data = make_module(root=root)
    data.setup()
    assert [data.size(split) for split in ("train", "val", "test")] == [8, 4, 6]


def test_a_class_that_test_lacks_shifts_no_label(make_folder, make_module: Make) -> None:
    """ultralytics/ultralytics#13936."""
    root = make_folder(
        {**{f"train/{turn}": 6 for turn in (0, 90, 180, 270)}, **{f"test/{turn}": 2 for turn in (0, 90, 270)}}
    )
    data = make_module(root=root)
    data.setup()
    assert data.class_names == ["0", "90", "180", "270"]
    folders = [path.split("/")[1] for path in data.paths("test")]
    assert [data.class_names[target] for target in data.targets("test")] == folders
    assert data.classes_without("test") == ["180"]


def test_suffixes_may_be_in_capitals(make_module: Make, tmp_path: Path) -> None:
    """pytorch/vision#446."""
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(6):
            write_image(tmp_path / label / f"{number}.JPG")
    data = make_module(root=tmp_path)
    data.setup()
    assert sum(data.size(split) for split in ("train", "val", "test")) == 12


HEADS = {
    "an index, spaces, capitals": ",filepath,label",  # keras-team/keras-preprocessing#92
    "absolute paths": "file,label",  # kbressem/faimed3d#69
    "spaces behind commas": "file, label",
}


@pytest.mark.parametrize("kind", HEADS)
def test_tables_are_taken_as_they_come(kind: str, make_module: Make, tmp_path: Path) -> None:
    (tmp_path / "Top view_1-2").mkdir()
    rows = [HEADS[kind]]
    for number in range(20):
        path = f"Top view_1-2/{number:03d}.JPG"
        write_image(tmp_path / path)
        shown = str(tmp_path / path) if kind == "absolute paths" else path
        cells = [str(number)] * kind.startswith("an index") + [shown, "xy"[number % 2]]
        rows.append((", " if kind.startswith("spaces") else ",").join(cells))
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    data = make_module("table", table=str(tmp_path / "labels.csv"))
    data.setup()
    assert np.bincount(data.found.targets).tolist() == [10, 10]
    assert data.class_names == ["x", "y"]
