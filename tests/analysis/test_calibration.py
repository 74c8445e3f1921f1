"""Calibration figures beside torchmetrics and scikit-learn, and temperatures beside a search and by hand."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.metrics import brier_score_loss, log_loss
from torchmetrics.classification import MulticlassCalibrationError

from src.analysis.calibration import (
    HOTTEST,
    bin_of,
    brier_scores,
    fit_temperature,
    log_losses,
    reliability,
)


def answers(images: int, classes: int, seed: int, sure: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, K) of a network that is `sure` times too sure, float32, and targets (N,)."""
    random = np.random.default_rng(seed)
    honest = 2 * random.normal(size=(images, classes))
    targets = (random.random((images, 1)) > softmax(honest, axis=1).cumsum(axis=1)).sum(axis=1).clip(0, classes - 1)
    return (sure * honest).astype(np.float32), targets


@pytest.mark.parametrize("classes", [2, 10, 200])
@pytest.mark.parametrize("sure", [0.5, 1.0, 3.0])
def test_the_calibration_error_is_that_of_torchmetrics(classes: int, sure: float) -> None:
    logits, targets = answers(500, classes, 1, sure)
    p = softmax(logits.astype(np.float64), axis=1)
    p[p.max(axis=1) > 1 - 1e-9] = np.eye(classes)[0] * 0.99 + 0.01 / classes  # 1 has a bin of its own there
    theirs = MulticlassCalibrationError(classes, n_bins=15, norm="l1")(torch.from_numpy(p), torch.from_numpy(targets))
    assert reliability(p, targets).error == pytest.approx(float(theirs), abs=1e-6)


def test_bins_are_as_written() -> None:
    assert bin_of(np.array([0.0, 1 / 3 - 1e-9, 0.34, 0.67, 1.0]), bins=3).tolist() == [0, 0, 1, 2, 2]
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.45, 0.55]])
    bins = reliability(p, np.array([0, 1, 1, 0]), bins=4)
    assert bins.counts.tolist() == [0, 0, 2, 2]
    np.testing.assert_allclose(bins.confidence[2:], [0.625, 0.85])
    np.testing.assert_allclose(bins.accuracy[2:], [0.5, 0.5])
    assert np.isnan(bins.accuracy[:2]).all()
    assert bins.error == pytest.approx(0.5 * 0.125 + 0.5 * 0.35)


@pytest.mark.parametrize("classes", [2, 10])
def test_scores_are_those_of_scikit_learn(classes: int) -> None:
    logits, targets = answers(400, classes, 2, 1.5)
    p = softmax(logits.astype(np.float64), axis=1)
    assert log_losses(logits, targets).mean() == pytest.approx(log_loss(targets, p, labels=range(classes)), rel=1e-9)
    theirs = brier_score_loss(targets, p, scale_by_half=False, labels=range(classes))
    assert brier_scores(p, targets).mean() == pytest.approx(theirs, rel=1e-9)


def test_a_log_loss_is_not_cut_off() -> None:
    logits = np.array([[2000.0, 0.0]], dtype=np.float32)
    assert log_losses(logits, np.array([1])).tolist() == [2000.0]


@pytest.mark.parametrize("sure", [0.25, 1.0, 4.0])
def test_the_temperature_is_the_one_that_a_search_finds(sure: float) -> None:
    logits, targets = answers(200, 5, 3, sure)
    found = fit_temperature(logits, targets)
    grid = np.exp(np.linspace(np.log(found.value) - 0.5, np.log(found.value) + 0.5, 501))
    losses = np.array([log_losses(logits, targets, t).mean() for t in grid])
    assert grid[losses.argmin()] == pytest.approx(found.value, rel=2e-3)
    assert found.nll_after <= losses.min() + 1e-12
    assert found.nll_before == pytest.approx(log_losses(logits, targets).mean())
    assert not found.at_bound


def test_logits_that_are_multiplied_have_a_temperature_that_is() -> None:
    logits, targets = answers(10_000, 4, 4)
    honest = fit_temperature(logits, targets).value
    assert honest == pytest.approx(1, abs=0.05)
    for factor in (0.2, 3.0, 7.0):
        assert fit_temperature(factor * logits.astype(np.float64), targets).value == pytest.approx(
            factor * honest, rel=1e-9
        )


def test_by_hand() -> None:
    """Logits (a, 0), right in 3 of 4 cases: the likelihood is greatest where σ(a / T) = 3/4, T = a / ln 3."""
    logits = np.array([[5.0, 0.0]] * 4)
    assert fit_temperature(logits, np.array([0, 0, 0, 1])).value == pytest.approx(5 / np.log(3), rel=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_no_prediction_changes_and_the_likelihood_never_falls(seed: int) -> None:
    logits, targets = answers(50, 3, seed, sure=10.0 ** (seed % 3 - 1))
    found = fit_temperature(logits, targets)
    assert found.nll_after <= found.nll_before
    assert log_losses(logits, targets, found.value).mean() == pytest.approx(found.nll_after)
    # Neighbours in float32, the hardest case there is.
    close = np.array([[1.0, np.nextafter(np.float32(1), np.float32(2)), -3.0]], dtype=np.float32)
    for rows in (logits, close):
        warm = softmax(rows.astype(np.float64) / found.value, axis=1)
        np.testing.assert_array_equal(warm.argmax(axis=1), rows.argmax(axis=1))


def test_where_the_images_set_no_limit_the_bound_is_taken_and_told() -> None:
    logits = np.array([[1.0, 0.0], [0.0, 2.0]])
    right, wrong = (fit_temperature(logits, np.array(targets)) for targets in ([0, 1], [1, 0]))
    assert right.at_bound
    assert wrong.at_bound
    assert right.value == pytest.approx(1 / HOTTEST)
    assert wrong.value == pytest.approx(HOTTEST)
    assert wrong.nll_after < wrong.nll_before
