"""Splits without classes, class names in any order and spelling, and a choice of them."""

import unicodedata
from pathlib import Path

import pytest

from src.data.layout import find_splits
from src.errors import InputError


@pytest.mark.parametrize("name", ["test", "val", "Testing"])
@pytest.mark.parametrize("below", ["", "/unknown"])
def test_a_flat_split_is_said_not_to_be_used(make_folder, caplog, name: str, below: str) -> None:
    caplog.set_level("INFO")
    root = make_folder({"train/cat": 1, "train/dog": 1, f"{name}{below}": 3})
    assert find_splits(root) == {"train": "train"}
    (line,) = caplog.messages
    assert line.startswith(f"{root / name} is not used: it holds 3 files and no class folders")
    assert f"src.predict checkpoint=RUN images={root / name}" in line


def test_an_empty_split_and_one_of_notes_are_no_flat_ones(make_folder) -> None:
    root = make_folder({"train/cat": 1, "train/dog": 1, "test": 0, "val": 0})
    (root / "val" / "Thumbs.db").touch()
    assert find_splits(root) == {"train": "train", "val": "val", "test": "test"}  # which then hold no image: an error


def test_a_flat_test_beside_classes_is_a_class_and_said_so(find, make_folder, caplog) -> None:
    caplog.set_level("INFO")
    root = make_folder({"cat": 2, "dog": 2, "test": 2})
    assert find("folder", root).class_names == ["cat", "dog", "test"]
    assert "test is taken for a class, since it holds no class folders: data.exclude=test leaves it out" in caplog.text
    assert find("folder", root, exclude="test").class_names == ["cat", "dog"]


def test_files_beside_the_class_folders_are_counted(find, make_folder, caplog) -> None:
    caplog.set_level("INFO")
    root = make_folder({"cat": 1, "dog": 1, ".": 2})
    (root / "labels.csv").touch()
    assert len(find("folder", root).paths) == 2
    assert f"2 files directly in {root} belong to no class: not used" in caplog.messages


def test_classes_in_natural_order_or_as_before(find, make_folder) -> None:
    root = make_folder({str(number): 1 for number in range(1, 12)})
    assert find("folder", root).class_names == [str(number) for number in range(1, 12)]
    plain = find("folder", root, class_order="plain")
    assert plain.class_names == sorted(map(str, range(1, 12)))
    for found in (plain, find("folder", root)):
        assert [found.class_names[target] for target in found.targets] == [path.split("/")[0] for path in found.paths]


def test_a_name_in_two_spellings_is_one_class_across_splits(find, make_folder) -> None:
    composed, apart = "caf\u00e9", unicodedata.normalize("NFD", "caf\u00e9")
    root = make_folder({f"train/{apart}": 2, "train/dog": 2, f"test/{composed}": 1, "test/dog": 1})
    found = find("folder", root)
    assert found.class_names == [composed, "dog"]
    assert found.targets.tolist() == [0, 0, 1, 1, 0, 1]
    assert found.paths[0] == f"train/{apart}/000.png"  # as it is on the disk
    (root / "train" / composed).mkdir()
    with pytest.raises(
        InputError, match=r"two folders that are the same name in Unicode, 'cafe\\u0301' and 'caf\\xe9'"
    ):
        find("folder", root)


def test_chosen_classes(find, make_folder) -> None:
    root = make_folder({"train/cat": 1, "train/dog": 1, "train/eel": 1, "val/cat": 1, "val/fox": 1, "train/7": 1})
    found = find("folder", root, classes=["dog", "cat", 7])
    assert found.class_names == ["7", "cat", "dog"]
    assert found.paths == ["train/7/000.png", "train/cat/000.png", "train/dog/000.png", "val/cat/000.png"]
    with pytest.raises(InputError, match=r"data\.classes names 'cta', no class in .*train; nearest: cat"):
        find("folder", root, classes=["cta", "dog"])
    with pytest.raises(InputError, match="name at least two"):
        find("folder", root, classes=["cat", "cat"])
    with pytest.raises(InputError, match=r"data\.classes=2 says too little of a folder: name its classes"):
        find("folder", root, classes=2)


def test_classes_without_images_of_a_split(make_module, make_folder) -> None:
    root = make_folder({"train/cat": 1, "train/dog": 1, "val/cat": 1, "test/cat": 1, "test/dog": 1})
    data = make_module(root=root)
    data.setup()
    assert (data.classes_without("val"), data.classes_without("test")) == (["dog"], [])


def test_tinyimagenet_takes_no_names(find, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="takes no names"):
        find("tinyimagenet", tmp_path, classes=["cat", "dog"])
