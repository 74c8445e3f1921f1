"""Which images a network is measured on: the run's own under another name, or others."""

from pathlib import Path

import pytest

from src.data.module import ImageDataModule
from src.trained.examples import _same_images
from tests.support.data_fixtures import make_folder as make_folder

ROWS = {f"{name}/00{i}.png": name for name in ("cat", "dog") for i in range(4)}


def by_table(root: Path, rows: dict[str, str]) -> ImageDataModule:
    (root / "labels.csv").write_text("file,label\n" + "".join(f"{file},{label}\n" for file, label in rows.items()))
    return found(name="table", root=root, table=str(root / "labels.csv"))


def found(**settings: object) -> ImageDataModule:
    data = ImageDataModule(image_size=8, num_workers=0, **settings)
    data.collection = data.find(download=False)
    return data


@pytest.mark.parametrize(
    ("rows", "same"),
    [
        (ROWS, True),
        (dict(list(ROWS.items())[1:7]), True),
        ({**ROWS, "cat/000.png": "dog"}, False),
        ({**ROWS, "more/000.png": "dog"}, False),
    ],
    ids=["all", "some", "another label", "a further image"],
)
def test_a_table_of_the_runs_images_is_known_unless_it_says_something_else(make_folder, rows, same):
    root = make_folder({"cat": 4, "dog": 4})
    own = found(name="folder", root=root)
    make_folder({"more": 1})
    assert _same_images(by_table(root, rows), own) is same


def test_a_folder_of_the_same_place_is_known(make_folder):
    root = make_folder({"cat": 4, "dog": 4})
    assert _same_images(found(name="folder", root=root), found(name="folder", root=root))
