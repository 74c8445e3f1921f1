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
    with pytest.raises(InputError, match=r"no images in these class folders of .*: train/dog \(data.exclude\)"):
        find("folder", root, exclude=["test1", "train/dog/*.png"])


def test_any_data_set_can_leave_out_images(find) -> None:
    whole = find("digits", Path())
    found = find("digits", Path(), exclude=["digits/00000", "digits/0179?"])
    assert len(found.paths) == len(whole.paths) - 8
    keep = [path in set(found.paths) for path in whole.paths]
    assert np.array_equal(found.images, whole.images[keep])
    assert np.array_equal(found.targets, whole.targets[keep])
    assert np.array_equal(found.published["train"], np.arange(len(found.paths)))
