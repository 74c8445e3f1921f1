"""Intervals of macro figures: their slopes by hand, and what they must not do; `test_coverage.py` has the proof."""

import numpy as np
import pytest

from src.analysis.class_intervals import Said, class_interval, count
from src.analysis.intervals import wilson
from src.analysis.metrics import SCORES
from tests.support.simulated import TEN, UNEQUAL

CLASS_FIGURES = ("precision", "recall", "f1", "mcc")


@pytest.mark.parametrize("name", CLASS_FIGURES)
@pytest.mark.parametrize("accuracy", [0.0, 0.3, 0.9, 1.0])
def test_the_interval_holds_the_figure(name: str, accuracy: float) -> None:
    random = np.random.default_rng(1)
    for images in (3, 10, 60):
        runs = UNEQUAL.draw(random, images, [1 - accuracy] * 2)
        low, high = class_interval(SCORES[name], runs, 5)
        of_counts = SCORES[name].of_counts
        assert of_counts is not None
        value = np.mean([of_counts(count(run, 5)) for run in runs])
        assert np.isnan(low) or (-1 if name == "mcc" else 0) <= low <= value <= high <= 1


def test_where_classes_are_alike_recall_is_as_sure_as_accuracy() -> None:
    """Ten classes of 100 images, ten of each mistaken: the mean recall is the accuracy of 1,000."""
    targets = np.repeat(np.arange(10), 100)
    predicted = np.where(np.arange(1000) % 100 < 10, (targets + 1 + np.arange(1000) % 9) % 10, targets)
    found = class_interval(SCORES["recall"], [Said(targets, predicted, np.arange(1000))], 10)
    assert found == pytest.approx(wilson(0.9, 1000), abs=2e-4)


def test_a_perfect_result_has_a_width() -> None:
    targets = np.arange(180) % 10
    for name in CLASS_FIGURES:
        low, high = class_interval(SCORES[name], [Said(targets, targets, np.arange(180))], 10)
        assert 0.95 < low < 0.985, name
        assert high == 1


def test_few_images_of_one_class_widen_it() -> None:
    """The mean over classes is as unsure as its least known class: four images of 104."""
    many, few = np.repeat([0, 1], [52, 52]), np.repeat([0, 1], [100, 4])
    widths = [np.diff(class_interval(SCORES["recall"], [Said(t, t, np.arange(104))], 2))[0] for t in (many, few)]
    assert widths[1] > 2 * widths[0]


def test_nothing_correlates_with_one_class() -> None:
    said = Said(np.zeros(9, dtype=np.int64), np.arange(9) % 3, np.arange(9))
    assert np.isnan(class_interval(SCORES["mcc"], [said], 3)).all()
    assert not np.isnan(class_interval(SCORES["recall"], [said], 3)).any()


def test_runs_of_other_images_say_more_than_of_the_same() -> None:
    random = np.random.default_rng(2)
    same = TEN.draw(random, 200, [0.1, 0.1])
    apart = [same[0], Said(same[1].targets, same[1].predicted, same[1].images + 200)]
    for name in CLASS_FIGURES:
        widths = [float(np.diff(class_interval(SCORES[name], runs, 10))[0]) for runs in (apart, same, same[:1])]
        assert widths == sorted(widths), name


def test_thousands_of_classes_take_no_square(monkeypatch: pytest.MonkeyPatch) -> None:
    targets = np.arange(3000)
    said = Said(targets, np.where(targets % 10 == 0, (targets + 1) % 3000, targets), targets)
    low, high = class_interval(SCORES["f1"], [said], 3000)
    assert 0.8 < low < high < 0.95
    monkeypatch.setattr("src.analysis.class_intervals.AT_ONCE", 1)  # a count at a time
    few = UNEQUAL.draw(np.random.default_rng(3), 60, [0.2])
    found = class_interval(SCORES["mcc"], few, 5)
    monkeypatch.undo()
    assert class_interval(SCORES["mcc"], few, 5) == pytest.approx(found)
