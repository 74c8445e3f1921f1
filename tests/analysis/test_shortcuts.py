"""Fixed places, peaks, leaks, repeated patterns: found where they are planted, and not where evidence moves."""

import numpy as np
import pytest

from src.analysis.leaks import leak, looks, slices, widest_gap
from src.analysis.repeats import repeated_pattern
from src.analysis.shortcuts import common_peaks, fixed_peaks, in_the_middle, strongest
from src.frames import pd


def test_a_cell_that_counts_in_all_images_is_fixed() -> None:
    effects = np.zeros((100, 4, 4))
    effects[:, 0, 3] = 1
    cell = strongest(effects)
    assert cell.fixed
    assert (str(cell), cell.share) == ("row 1, column 4", 1.0)
    assert cell.moving < 0.3


def test_evidence_that_lies_elsewhere_in_each_image_is_not() -> None:
    random = np.random.default_rng(0)
    effects = np.zeros((200, 4, 4))
    effects[np.arange(200), random.integers(0, 4, 200), random.integers(0, 4, 200)] = 1
    cell = strongest(effects)
    assert not cell.fixed
    assert cell.moving >= cell.share - 0.05


def test_the_middle_is_told_apart() -> None:
    effects = np.zeros((100, 4, 4))
    effects[:, 1, 2] = 1
    assert not strongest(effects).fixed
    assert strongest(effects, middle=True).fixed
    assert in_the_middle(8).sum() == 16


def test_a_share_is_of_what_is_known_beyond_guessing() -> None:
    effects = np.zeros((100, 4, 4))
    effects[:20, 3, 0] = 1
    assert strongest(effects).share == pytest.approx(0.2)
    assert not strongest(effects).fixed
    assert strongest(effects, whole=0.5).share == pytest.approx(0.4)
    assert strongest(effects, whole=0.5).fixed


def test_nothing_that_changes_an_answer_is_no_place() -> None:
    assert not strongest(np.zeros((50, 4, 4))).fixed


def test_peaks_in_one_corner_are_told_and_those_of_few_maps_are_not() -> None:
    maps = np.zeros((30, 7, 7))
    maps[:20, 6, 0] = 1  # class 0: always below on the left
    maps[20:, 3, 3] = 1  # class 1: in the middle
    classes = np.repeat([0, 1], [20, 10])
    peaks = common_peaks(maps, classes)
    assert str(peaks[0]) == "row 4, column 1"
    assert (peaks[0].fixed, peaks[1].fixed) == (True, False)
    assert "a look at the same place: 20 of 20" in fixed_peaks(peaks, ["a", "b"])
    assert fixed_peaks({1: peaks[1]}, ["a", "b"]) == ""
    assert not common_peaks(maps[:5], classes[:5])
    assert not common_peaks(np.ones((20, 7, 7)), np.zeros(20, int))
    assert not common_peaks(np.tile([[1.0, 0.0], [0.0, 0.0]], (20, 1, 1)), np.zeros(20, int))  # too coarse


def test_a_file_property_that_goes_with_the_class_leaks() -> None:
    random = np.random.default_rng(0)
    classes = np.repeat([0, 1], 60)
    table = pd.DataFrame({"format": np.where(classes == 0, "JPEG", "PNG"), "width": random.integers(50, 60, 120)})
    found = leak(table, classes)
    assert found is not None
    assert found.found
    assert found.properties[0] == "format"
    assert found.accuracy == 1.0
    by_chance = leak(table[["width"]], classes)
    assert by_chance is not None
    assert not by_chance.found
    assert leak(pd.DataFrame({"format": ["PNG"] * 120}), classes) is None


def test_slices_of_which_one_is_worse_are_named() -> None:
    bright = np.linspace(0, 255, 200)
    right = bright > 64
    gap = widest_gap(slices(pd.DataFrame({"brightness": bright}), right))
    assert gap is not None
    assert gap["property"] == "brightness"
    assert gap["worst"]["accuracy"] < 0.1  # type: ignore[index]
    assert widest_gap(slices(pd.DataFrame({"brightness": bright}), np.ones(200, bool))) is None


def test_looks_of_grey_and_of_coloured_images() -> None:
    grey = looks(np.full((2, 1, 8, 8), 100, np.uint8))
    assert list(grey) == ["brightness", "contrast", "sharpness"]
    assert (grey["brightness"] == 100).all()
    red = np.zeros((1, 3, 8, 8), np.uint8)
    red[:, 0] = 200
    # Hasler & Süsstrunk: no spread, means 200 and 100, 0.3 of their norm.
    assert looks(red)["colourfulness"][0] == pytest.approx(0.3 * np.hypot(200, 100))


def test_a_pattern_at_changing_places_is_found_in_its_class_alone() -> None:
    random = np.random.default_rng(0)
    images = random.normal(128, 20, (80, 3, 32, 32))
    classes = np.repeat([0, 1], 40)
    mark = random.normal(0, 120, (10, 10))
    for image in images[40:]:
        y, x = random.integers(0, 22, 2)
        image[:, y : y + 10, x : x + 10] += mark
    found = repeated_pattern(images.clip(0, 255).astype(np.uint8), classes)
    assert found is not None
    assert (found.index, found.found) == (1, True)
    without = repeated_pattern(images[:40].clip(0, 255).astype(np.uint8), np.repeat([0, 1], 20))
    assert without is not None
    assert not without.found
