"""What `data.exclude=` leaves out."""

from pathlib import Path

import numpy as np
import pytest

from src.data.exclusion import Exclusion
from src.errors import InputError

PATHS = ["cat/1.png", "cat/1_mask.png", "cat/old/2.png", "dog/[1].png", "dog/1.png", "caf\u00e9/1.png"]


@pytest.mark.parametrize(
    ("said", "left_out"),
    [
        ("*_mask.png", ["cat/1_mask.png"]),
        ("cat/*.png", ["cat/1.png", "cat/1_mask.png"]),
        ("cat/**", PATHS[:3]),
        ("cat/**/2.png", ["cat/old/2.png"]),
        ("**/1.png", ["cat/1.png", "dog/1.png", "caf\u00e9/1.png"]),
        ("old", ["cat/old/2.png"]),
        ("dog/[0-9].png", ["dog/1.png"]),
        ("dog/[!0-9]*", ["dog/[1].png"]),
        ("/cat/?.png", ["cat/1.png"]),
        ("./cat/1.png", ["cat/1.png"]),
        ("cat\\1.png", ["cat/1.png"]),
        ("cafe\u0301/*", ["caf\u00e9/1.png"]),
        (["dog", "cat/old/"], ["cat/old/2.png", "dog/[1].png", "dog/1.png"]),
    ],
)
def test_a_pattern_means_what_gitignore_means(tmp_path: Path, said, left_out: list[str]) -> None:
    exclusion = Exclusion(said, tmp_path)
    assert [path for path in PATHS if exclusion.leaves_out(path)] == left_out


def test_the_paths_of_a_list_are_no_patterns(tmp_path: Path, caplog) -> None:
    root = tmp_path / "photos"
    (tmp_path / "bad.csv").write_text(f"file,why\ndog/[1].png,dark\n{root}/cat/1.png,copy\ngone.png,\n", "utf-16")
    exclusion = Exclusion(str(tmp_path / "bad.csv"), root)
    assert [path for path in PATHS if exclusion.leaves_out(path)] == ["cat/1.png", "dog/[1].png"]
    caplog.set_level("INFO")
    exclusion.say()
    assert "leaves out 2 files" in caplog.text
    assert caplog.messages[1].endswith(f"names what is not in {root}: gone.png")


def test_a_list_that_is_missing_and_a_blank_pattern_get_their_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.csv does not exist: name a list"):
        Exclusion("nowhere.csv", tmp_path)
    for blank in ("", ["cat", " "], "./"):
        with pytest.raises(InputError, match="blank pattern"):
            Exclusion(blank, tmp_path)


def test_a_folder_leaves_out_before_anything_is_read(find, make_folder) -> None:
    root = make_folder({"train/cat": 3, "train/dog": 3, "test1": 2, "test/cat": 1, "test/dog": 1})
    (root / "train" / "cat" / "broken.png").write_bytes(b"x")
    found = find("folder", root, max_skipped=0.0, exclude=["test1", "broken.png", "train/dog/000.png", "test/dog"])
    assert found.paths == [*(f"train/cat/00{k}.png" for k in range(3)), *(f"train/dog/00{k}.png" for k in (1, 2)),
                           "test/cat/000.png"]  # fmt: skip


@pytest.mark.parametrize("said", ["dog", "dog/*", "dog/**", "**/dog/*.png"])
@pytest.mark.parametrize("splits", [("",), ("train/", "test/")])
def test_a_class_of_which_all_is_left_out_is_none(find, make_folder, said: str, splits: tuple[str, ...]) -> None:
    root = make_folder({f"{split}{name}": 3 for split in splits for name in ("cat", "dog", "eel")})
    said = said if len(splits) == 1 or said == "dog" or said.startswith("**") else f"**/{said}"
    found = find("folder", root, exclude=[said])
    assert (found.class_names, sorted(set(found.targets)), len(found.paths)) == (
        ["cat", "eel"],
        [0, 1],
        6 * len(splits),
    )


def test_a_split_of_which_all_is_left_out_is_none(find, make_folder) -> None:
    root = make_folder({f"{split}/{name}": 3 for split in ("train", "test") for name in ("cat", "dog")})
    assert list(find("folder", root, exclude=["test/**"]).published) == ["train"]


@pytest.mark.parametrize("said", ["*", "*.png", "**/*", "[cd]*", "dog", "dog/*"])
def test_too_few_classes_that_are_left_name_the_setting(find, make_folder, said: str) -> None:
    root = make_folder({"cat": 3, "dog": 3})
    with pytest.raises(
        InputError, match=r"data\.exclude leaves out \d files?.* and leaves (no class|one .* 'cat'): lea"
    ):
        find("folder", root, exclude=[said])


@pytest.mark.parametrize(
    ("said", "complaint"),
    [("*.png", "all of the train images of"), ("dog/*", "leaves one class only, 'cat'"), ("test*", "all of the test")],
)
def test_of_a_table_too(find, make_folder, said: str, complaint: str) -> None:
    root = make_folder({"cat": 3, "dog": 3, "test1": 2})
    said_of = {"cat": "cat,train", "dog": "dog,train", "test1": "cat,test"}
    rows = [f"{path.relative_to(root)},{said_of[path.parent.name]}" for path in sorted(root.glob("*/*.png"))]
    (root / "labels.csv").write_text("\n".join(["file,label,split", *rows]))
    with pytest.raises(InputError, match=rf"data\.exclude leaves out \d files.*{complaint}.*: leave out less"):
        find("table", root, exclude=[said])


def test_of_any_data_set_a_class_of_which_all_is_left_out_is_none(find, make_folder) -> None:
    root = make_folder({"cat": 3, "dog": 3, "eel": 3})
    rows = [f"{path.relative_to(root)},{path.parent.name}" for path in sorted(root.glob("*/*.png"))]
    (root / "labels.csv").write_text("\n".join(["file,label", *rows]))
    found = find("table", root, exclude=["dog/*"])
    assert (found.class_names, found.targets.tolist()) == (["cat", "eel"], [0] * 3 + [1] * 3)


def test_any_data_set_can_leave_out_images(find) -> None:
    whole = find("digits", Path())
    found = find("digits", Path(), exclude=["digits/00000", "digits/0179?"])
    assert len(found.paths) == len(whole.paths) - 8
    keep = [path in set(found.paths) for path in whole.paths]
    assert np.array_equal(found.images, whole.images[keep])
    assert np.array_equal(found.targets, whole.targets[keep])
    assert np.array_equal(found.published["train"], np.arange(len(found.paths)))
