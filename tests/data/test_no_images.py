"""What is known to be no image: by name and suffix, wherever it lies, in any case of letters."""

from pathlib import Path

import pytest

from src.data.folders import collect, list_classes, list_files
from src.data.layout import find_splits
from src.data.no_images import FILES, FOLDERS, PassedOver, is_systems, kind_of
from src.errors import InputError


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("THUMBS.DB", "Thumbs.db"), ("a.TXT", ".txt"), ("1.jpg.json", ".json"), ("IMG_1.AAE", ".aae"),
        ("x.jpg:Zone.Identifier", ".identifier"), ("README", "README"), ("Icon\r", "Icon"),
        ("a.jpg@SynoEAStream", "Synology's streams"),
    ],
)  # fmt: skip
def test_a_file_is_known_by_its_name(name: str, kind: str) -> None:
    assert kind_of(name) == kind


@pytest.mark.parametrize(
    "name", ["a.jpg", "a", "txt", "csv", "a.CR2", "a.svg", "a.mp4", "a.psd", "a.heic", "a.bak", "a.7", "a.", "a.pdf"]
)
def test_what_may_be_an_image_is_tried(name: str) -> None:
    assert kind_of(name) is None


def test_no_name_of_a_system_is_an_ordinary_word() -> None:
    assert all(is_systems(name.upper()) for name in (*FOLDERS, "found.000"))
    assert not any(is_systems(name) for name in ("recycled", "found", "eaDir", "thumbs", "lost", "$5"))
    assert all(kind_of(name.lower()) == name.strip() for name in FILES)


def test_junk_anywhere_is_passed_over_and_counted(make_folder) -> None:
    root = make_folder({"cat": 2, "dog/deep": 2, "cat/@eaDir/0.png": 2, "lost+found": 1, "$Recycle.Bin/x": 1})
    for name in ("cat/Thumbs.db", "dog/deep/desktop.ini", "dog/deep/1.txt", "cat/2.txt"):
        (root / name).write_bytes(b"x")
    found = collect(list_classes(root, find_splits(root)))
    assert found.class_names == ["cat", "dog"]
    assert found.paths == ["cat/000.png", "cat/001.png", "dog/deep/000.png", "dog/deep/001.png"]
    assert found.skipped == []
    assert found.passed_over.files == {".txt": 2, "Thumbs.db": 1, "desktop.ini": 1}
    assert found.passed_over.folders == {"@eaDir": 1, "lost+found": 1, "$Recycle.Bin": 1}


def test_notes_do_not_count_as_unreadable_and_raw_pictures_do(find, make_folder, caplog) -> None:
    root = make_folder({"cat": 5, "dog": 5})
    for k in range(5):
        (root / "cat" / f"00{k}.json").write_text("{}")
    caplog.set_level("INFO")
    assert len(find("folder", root, max_skipped=0.0).paths) == 10
    assert "passed over 5 files that are no images (.json 5)" in caplog.text
    (root / "cat" / "005.cr2").write_bytes(b"II*\0")
    with pytest.raises(InputError, match=r"1 of 11 files .* cat/005\.cr2"):
        find("folder", root, max_skipped=0.0)


def test_a_class_of_notes_alone_is_named(make_folder) -> None:
    root = make_folder({"cat": 1, "dog": 1, "notes": 0})
    (root / "notes" / "a.txt").touch()
    with pytest.raises(InputError, match=r"notes \(1 file that is no image \(.txt 1\)\)"):
        list_classes(root, {"train": "."})


def test_an_image_with_a_strange_name_is_found(make_folder) -> None:
    root = make_folder({"cat": 1})
    (root / "cat" / "000.png").rename(root / "cat" / "photo.unknown")
    assert [file.path for file in list_files(root, Path("cat"))[0]] == ["cat/photo.unknown"]


def test_of_many_kinds_the_first_are_named() -> None:
    passed = PassedOver()
    passed.files.update({f".{letter}": 1 for letter in "abcdefgh"})
    assert str(passed) == "8 files that are no images (.a 1, .b 1, .c 1, .d 1, .e 1, .f 1, …)"
