import pytest

from src.data.sources import SOURCES, check_source
from src.errors import InputError


def test_too_many_unreadable_files(find, make_folder):
    root = make_folder({"cat": 9, "dog": 9})
    for name in ("a.jpg", "b.jpg"):
        (root / "cat" / name).touch()
    assert len(find("folder", root, max_skipped=0.1).skipped) == 2
    with pytest.raises(InputError, match=r"2 of 20 files .*max_skipped=0\.05: cat/a\.jpg \(empty file\); cat/b\.jpg"):
        find("folder", root)


def test_unknown_names_come_with_the_nearest():
    with pytest.raises(InputError, match=r"nearest: mnist"):
        check_source("mnits", {})
    with pytest.raises(InputError, match=r"data\.targt is no option of data=pets: remove it; nearest: target"):
        check_source("pets", {"targt": "breed"})
    with pytest.raises(InputError, match=r"data\.target is no option of data=digits"):
        check_source("digits", {"target": "breed"})
    for name in SOURCES:
        check_source(name, {})
