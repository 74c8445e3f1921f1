import os
from pathlib import Path

import pytest

from src.data.folders import collect, list_classes, list_files
from src.data.layout import find_splits
from src.data.sources import SOURCES
from src.errors import InputError


def read(root: Path):
    return collect(list_classes(root, find_splits(root)))


def test_class_folders(make_folder):
    found = read(make_folder({"dog": 2, "cat": 3, ".git": 1, "__MACOSX": 1}))
    assert found.class_names == ["cat", "dog"]
    assert found.paths == ["cat/000.png", "cat/001.png", "cat/002.png", "dog/000.png", "dog/001.png"]
    assert found.targets.tolist() == [0, 0, 0, 1, 1]
    assert {name: indices.tolist() for name, indices in found.published.items()} == {"train": [0, 1, 2, 3, 4]}


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Val"])
def test_splits_share_one_set_of_labels(make_folder, val):
    root = make_folder({"train/ant": 1, "train/bee": 1, "train/cat": 1, f"{val}/cat": 1, "test/bee": 1, "test/cat": 1})
    found = read(root)
    labels = {split: found.targets[indices].tolist() for split, indices in found.published.items()}
    assert labels == {"train": [0, 1, 2], "val": [2], "test": [1, 2]}  # ImageFolder would call val's cat 0


@pytest.mark.parametrize(
    ("train", "val", "test"), [("Training", "Dev", "Testing"), ("TRAIN", "eval", "Test"), ("training", "VALID", "test")]
)
def test_other_names_of_splits(make_folder, train, val, test):
    found = read(make_folder({f"{split}/{name}": 1 for split in (train, val, test) for name in ("cat", "dog")}))
    assert found.class_names == ["cat", "dog"]
    assert {split: len(indices) for split, indices in found.published.items()} == {"train": 2, "val": 2, "test": 2}


@pytest.mark.parametrize("name", ["train", "test", "Dev"])
def test_a_class_may_be_called_like_a_split(make_folder, name):
    assert read(make_folder({"bus": 1, name: 1, "car": 1})).class_names == sorted(["bus", "car", name])
    nested = make_folder({"bus": 1, f"{name}/more": 1, f"{name}/empty": 0}, name="nested")
    (nested / name / "empty" / ".DS_Store").touch()
    assert read(nested).class_names == sorted(["bus", name])


def test_nested_folders_dot_files_and_odd_names(make_folder, save_image):
    root = make_folder({"cat/images": 2, "cat/more/still more": 1, "dog": 1})
    (root / "cat" / ".DS_Store").write_bytes(b"x")
    (root / "labels.csv").write_bytes(b"x")
    odd = "é = [1], 🐈 \n" + "x" * 150 + ".png"
    save_image(root / "dog" / odd)
    assert [path for path in read(root).paths if path.startswith("dog")] == ["dog/000.png", f"dog/{odd}"]
    assert len(read(root).paths) == 5


def test_names_that_are_no_text(make_folder, save_image):
    root = make_folder({"cat": 1, "dog": 1})
    name = os.fsdecode(b"\xff\xfe.png")
    save_image(root / "dog" / "tmp.png")
    (root / "dog" / "tmp.png").rename(root / "dog" / name)
    for _ in range(2):  # the second time from the manifest
        assert f"dog/{name}" in read(root).paths


def test_links_are_followed_and_loops_end(make_folder, tmp_path):
    root = make_folder({"cat": 1, "dog": 1})
    elsewhere = make_folder({"more": 2}, name="elsewhere")
    (root / "cat" / "more").symlink_to(elsewhere / "more")
    (root / "cat" / "loop").symlink_to(root / "cat")
    (root / "cat" / "self").symlink_to(root / "cat" / "self")
    (root / "cat" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(root / "cat" / "pipe")
    files, skipped, _ = list_files(root, Path("cat"))
    assert [file.path for file in files] == ["cat/000.png", "cat/more/000.png", "cat/more/001.png"]
    reasons = {item.path: item.reason for item in skipped}
    assert reasons["cat/gone.png"] == "broken link"
    assert reasons["cat/pipe"] == "not a regular file"
    assert set(reasons) == {"cat/gone.png", "cat/pipe", "cat/self"}
    (root / "eel").symlink_to(root / "eel")  # no class: it leads nowhere
    assert read(root).class_names == ["cat", "dog"]


def test_a_link_to_a_folder_above_brings_no_other_class_in(make_folder, tmp_path):
    root = make_folder({"cat/sub": 1, "dog": 2})
    whole = read(root).paths
    elsewhere = make_folder({"eel": 1, "fox": 1}, name="elsewhere")
    for link, target in {"up": "..", "sub/top": "../..", "far": tmp_path, "full": root}.items():
        (root / "cat" / link).symlink_to(target)
    found = read(root)
    assert found.paths == whole == ["cat/sub/000.png", "dog/000.png", "dog/001.png"]
    (root / "eel").symlink_to(elsewhere / "eel")  # a class that lies elsewhere, and leads up there
    (elsewhere / "eel" / "up").symlink_to("..")
    assert read(root).paths == [*whole, "eel/000.png"]


def test_bad_files_are_listed_not_read(make_folder):
    root = make_folder({"cat": 2, "dog": 2})
    (root / "dog" / "empty.jpg").touch()
    (root / "cat" / "photo").write_bytes(bytes(99))
    found = read(root)
    assert [(item.path, item.reason) for item in found.skipped] == [
        ("cat/photo", "not an image"),
        ("dog/empty.jpg", "empty file"),
    ]
    assert len(found.paths) == len(found.targets) == 4


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"cat": 2}, "one class only, 'cat'"),
        ({"train/cat": 2}, "one class only, 'cat'"),
        ({"cat": 1, "dog": 0, "eel": 0}, "no images in these class folders of .*: dog, eel"),
        ({"train/cat": 1, "train/dog": 1, "val/cat": 1, "val/dog": 0}, "val/dog"),
        ({"train/cat": 1, "train/dog": 1, "val/eel": 1, "val/cat": 1}, r"classes that train lacks, \['eel'\]"),
        ({"test/cat": 1, "val/cat": 1}, "no 'train'"),
        ({"train/cat": 1, "val/cat": 1, "valid/cat": 1}, "'val' and 'valid'"),
        ({"train/cat": 1, "val/cat": 1, "other/cat": 1}, r"and also \['other'\]"),
        (
            {"train/cat": 1, "train/dog": 1, "unlabelled": 3},
            r"the splits \['train'\] and also \['unlabelled'\].*wanted is",
        ),
        ({"Testing/cat": 1, "Testing/dog": 1, "more": 1}, r"\['Testing'\] and also \['more'\]"),
        ({".": 3}, "3 files and no class folders: wanted is"),
    ],
)
def test_what_a_user_can_put_right(make_folder, counts, message):
    with pytest.raises(InputError, match=message) as caught:
        read(make_folder(counts))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(set(SOURCES) - {"digits"}))
def test_a_root_that_is_a_file_or_no_path(find, tmp_path, name):
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(InputError, match=r"photo\.jpg' is a file, not a folder: set data\.root"):
        find(name, tmp_path / "photo.jpg", download=True)
    with pytest.raises(InputError, match=r"name too long\): set data\.root") as caught:
        find(name, tmp_path / ("x" * 5000), download=True)
    assert len(str(caught.value)) < 300


def test_missing_folder(tmp_path):
    with pytest.raises(InputError, match=r"nowhere' does not exist: set data\.root"):
        read(tmp_path / "nowhere")
