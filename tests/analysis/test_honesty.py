"""Calibration errors by chance: by hand, on honest networks, and on others."""

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import binom

from src.analysis.calibration import reliability
from src.analysis.honesty import Chance, error_interval, errors_by_chance


def answers(random: np.random.Generator, images: int, sure: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, 10) of a network that is `sure` times too sure, and targets (N,)."""
    honest = 1.12 * random.normal(size=(images, 10))
    targets = (softmax(honest, axis=1).cumsum(axis=1) > random.random((images, 1))).argmax(axis=1)
    return softmax(sure * honest, axis=1), targets


def measured(probabilities: np.ndarray, targets: np.ndarray) -> tuple[float, Chance, tuple[float, float]]:
    bins = reliability(probabilities, targets)
    chance = errors_by_chance(probabilities, bins.error, 1)
    return bins.error, chance, error_interval(bins, chance, 1)


def test_by_hand() -> None:
    """40 images of confidence 0.7: |k / 40 − 0.7| of a binomial k."""
    p = np.tile([0.7, 0.3], (40, 1))
    targets = np.repeat([0, 1], [22, 18])
    error, chance, _ = measured(p, targets)
    hits = np.arange(41)
    gaps, shares = np.abs(hits / 40 - 0.7), binom.pmf(hits, 40, 0.7)
    assert error == pytest.approx(0.15)
    assert chance.mean == pytest.approx((gaps * shares).sum(), rel=0.08)
    assert chance.p == pytest.approx(2 * shares[gaps >= 0.15 - 1e-9].sum(), abs=0.03)
    assert chance.high == pytest.approx(0.15, abs=0.026)


@pytest.mark.parametrize("images", [50, 200])
def test_an_honest_network_is_seldom_accused(images: int) -> None:
    """100 test sets: the 5 % of the test, and the truth (0.002) in the interval that holds the value, too."""
    random = np.random.default_rng(2)
    accused = held = 0
    for _ in range(100):
        error, chance, (low, high) = measured(*answers(random, images))
        accused += chance.shown
        held += low <= 0.002 <= high
        assert low <= error <= high
        assert (low > 0) == chance.shown or error == 0
    assert accused <= 10
    assert held >= 90


@pytest.mark.parametrize(("sure", "images"), [(0.7, 400), (1.3, 400), (2.0, 200)])
def test_other_networks_have_their_error_in_the_interval(sure: float, images: int) -> None:
    random = np.random.default_rng(3)
    p, targets = answers(random, 300_000, sure)
    truth, held, shown = reliability(p, targets).error, 0, 0
    for _ in range(60):
        _, chance, (low, high) = measured(*answers(random, images, sure))
        held += low <= truth <= high
        shown += chance.shown
    assert held >= 51
    assert shown >= (55 if sure == 2 else 20)


def test_a_sure_network_without_a_mistake_can_be_miscalibrated_all_the_same() -> None:
    error, chance, (low, high) = measured(np.tile([1.0, 0.0], (180, 1)), np.zeros(180, dtype=np.int64))
    assert (error, low) == (0, 0)
    assert 3 / 180 < high < 5 / 180
    assert not chance.shown


def test_the_words_follow_the_test() -> None:
    assert str(Chance(0.02, 0.01, 0.03, 0.05)).endswith("no miscalibration shown (p = 0.050)")
    assert str(Chance(0.02, 0.01, 0.03, 0.002)).endswith(": miscalibration shown (p < 0.003)")
