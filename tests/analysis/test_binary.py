"""Two classes: curves and areas against scikit-learn, and intervals against simulated worlds."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    precision_recall_curve,
    precision_score,
    recall_score,
    roc_auc_score,
    roc_curve,
)

from src.analysis.binary import Decision, Outcomes, curves_of, figures_at, newcombe, outcomes
from src.analysis.intervals import Z


def draw(images: int, apart: float, seed: int, digits: int = 3) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return logits (N, 2) with ties, and targets (N,), of which both classes have some."""
    random = np.random.default_rng(seed)
    targets = random.permutation(np.arange(images) % 3 == 0).astype(np.int64)
    logits = random.normal(size=(images, 2)).round(digits)
    logits[:, 1] += apart * targets
    return logits.astype(np.float32), targets


@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize(("images", "apart", "digits"), [(40, 1.0, 1), (200, 0.0, 3), (999, 3.0, 0), (6, 9.0, 2)])
def test_areas_and_curves_are_scikit_learns(images: int, apart: float, digits: int, positive: int) -> None:
    logits, targets = draw(images, apart, 1, digits)
    scores = logits[:, positive].astype(np.float64) - logits[:, 1 - positive]
    true = targets == positive
    found = curves_of(logits, targets, positive, 1.0)
    assert found.auroc == pytest.approx(roc_auc_score(true, scores), abs=1e-12)
    assert found.average_precision == pytest.approx(average_precision_score(true, scores), abs=1e-12)
    alarms, recall, _ = roc_curve(true, scores, drop_intermediate=False)
    assert np.allclose(found.false_positive_rate, alarms[1:])
    assert np.allclose(found.recall, recall[1:])
    precision, recall, _ = precision_recall_curve(true, scores)
    assert np.allclose(found.precision, precision[-2::-1])
    assert np.allclose(found.recall, recall[-2::-1])


def test_probabilities_that_round_to_one_still_rank() -> None:
    logits = np.array([[0, 50], [0, 60], [0, 70], [0, 80]], np.float32)
    assert curves_of(logits, np.array([0, 0, 1, 1]), 1, 1.0).auroc == 1


def test_a_temperature_moves_thresholds_and_no_area() -> None:
    logits, targets = draw(100, 1.0, 3)
    plain, warm = (curves_of(logits, targets, 1, temperature) for temperature in (1.0, 2.0))
    assert plain.auroc == warm.auroc
    assert np.allclose(
        np.log(warm.thresholds / (1 - warm.thresholds)) * 2, np.log(plain.thresholds / (1 - plain.thresholds))
    )


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("positive", [0, 1])
def test_figures_at_a_threshold_are_scikit_learns(threshold: float, positive: int) -> None:
    logits, targets = draw(150, 1.5, 5)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    decided = Decision(positive, threshold).decide(shares)
    assert ((decided == positive) == (shares[:, positive] >= threshold)).all()
    found = figures_at(outcomes(decided, targets, positive))
    assert found["accuracy"].value == pytest.approx((decided == targets).mean())
    said = {"y_true": targets, "y_pred": decided}
    assert found["precision"].value == pytest.approx(precision_score(**said, pos_label=positive))
    assert found["recall"].value == pytest.approx(recall_score(**said, pos_label=positive))
    assert found["specificity"].value == pytest.approx(recall_score(**said, pos_label=1 - positive))
    assert found["f1"].value == pytest.approx(f1_score(**said, pos_label=positive))
    assert all(one.low <= one.value <= one.high for one in found.values())


def test_a_share_of_no_images_has_no_interval() -> None:
    found = figures_at(Outcomes(hits=0, false_alarms=0, misses=3, rejections=2))
    assert (found["precision"].value, found["precision"].interval) == (0.0, None)
    assert found["recall"].interval is not None


def test_the_interval_of_an_area_solves_newcombes_equation() -> None:
    """Each end lies Z of its own standard errors (Hanley & McNeil's, with equal groups) from the area."""
    positives, negatives = 30, 50
    for area in (0.55, 0.8, 0.97):
        for end in newcombe(area, positives, negatives):
            half = (positives + negatives) / 2 - 1
            variance = end * (1 - end) * (1 + half * (1 - end) / (2 - end) + half * end / (1 + end))
            assert abs(area - end) == pytest.approx(Z * np.sqrt(variance / (positives * negatives)), rel=1e-6)


def test_intervals_at_the_ends_of_the_scale_have_a_width() -> None:
    for images in (2, 15, 1000):
        low, high = newcombe(1.0, images, images)
        assert 0 < low < 1 == high
        assert newcombe(0.0, images, images) == pytest.approx((0, 1 - low))


@pytest.mark.slow
@pytest.mark.parametrize(("apart", "positives", "negatives"), [(1, 50, 50), (2, 15, 15), (3, 30, 30), (2, 10, 90)])
def test_intervals_hold_the_true_area(apart: float, positives: int, negatives: int) -> None:
    """Two normal distributions, whose areas are known: 95 % intervals hold them in at least 93.5 % of 2,000 draws."""
    random = np.random.default_rng(1)
    share = positives / (positives + negatives)
    large = random.normal(size=400_000)
    true = np.arange(400_000) < 400_000 * share
    areas = float(norm.cdf(apart / np.sqrt(2))), average_precision_score(true, large + apart * true)
    targets = np.repeat([1, 0], [positives, negatives])
    held = np.zeros(2)
    for _ in range(2_000):
        logits = np.stack([np.zeros(len(targets)), random.normal(size=len(targets)) + apart * targets], axis=1)
        found = curves_of(logits, targets, 1, 1.0).estimates().values()
        held += [one.low <= area <= one.high for one, area in zip(found, areas, strict=True)]
    assert (held / 2_000 >= 0.935).all(), held / 2_000
