from functools import partial

import numpy as np
import pytest
import tifffile

from src.data.sources import SOURCES, check_source, find_images
from src.errors import InputError


def test_too_many_unreadable_files(find, make_folder):
    root = make_folder({"cat": 9, "dog": 9})
    for name in ("a.jpg", "b.jpg"):
        (root / "cat" / name).touch()
    assert len(find("folder", root, max_skipped=0.1).skipped) == 2
    with pytest.raises(InputError, match=r"2 of 20 files .*max_skipped=0\.05: cat/a\.jpg \(empty file\); cat/b\.jpg"):
        find("folder", root)


@pytest.mark.parametrize("asked", [3, 4])
def test_the_bands_of_files_are_proposed_to_a_training_alone(make_folder, asked: int):
    root = make_folder({"cat": 1, "dog": 1})
    for number in range(8):
        tifffile.imwrite(
            root / "cat" / f"{number}.tif",
            np.zeros((9, 9, 5), np.uint8),
            photometric="minisblack",
            planarconfig="contig",
        )
    look = partial(find_images, "folder", root, download=False, max_skipped=0.05, options={}, in_channels=asked)
    proposal = r"data\.in_channels=5 takes files of 5 bands\. Repair or"
    with pytest.raises(InputError, match=rf"\(5 bands, and the network takes {asked}\).*{proposal}"):
        look()
    with pytest.raises(InputError, match=r"cannot be read(?!.*in_channels)"):
        look(trained=True)


def test_unknown_names_come_with_the_nearest():
    with pytest.raises(InputError, match=r"nearest: mnist"):
        check_source("mnits", {})
    with pytest.raises(InputError, match=r"data\.targt is no option of data=pets: remove it; nearest: target"):
        check_source("pets", {"targt": "breed"})
    with pytest.raises(InputError, match=r"data\.target is no option of data=digits"):
        check_source("digits", {"target": "breed"})
    for name in SOURCES:
        check_source(name, {})
