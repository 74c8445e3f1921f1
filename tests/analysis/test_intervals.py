"""Intervals against SciPy's own, against their definition, and at the ends where the bootstrap fails."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest, bootstrap, t

from src.analysis.intervals import (
    LEAST,
    Z,
    between,
    difference_interval,
    effective_images,
    mean_interval,
    share_interval,
    tango,
    wilson,
)


@pytest.mark.parametrize(("hits", "images"), [(0, 1), (1, 1), (49, 50), (180, 180), (0, 30), (523, 1000)])
def test_wilson_is_scipys(hits: int, images: int) -> None:
    theirs = binomtest(hits, images).proportion_ci(method="wilson")
    assert wilson(hits / images, images) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    doubled = wilson(2 * hits / images - 1, images, -1, 1)
    assert doubled == pytest.approx((2 * theirs.low - 1, 2 * theirs.high - 1), abs=1e-12)


def score(better: int, worse: int, images: int, difference: float) -> float:
    """Tango's statistic, with the likeliest share of `worse` given the difference found by a search."""

    def loss(q: float) -> float:
        shares = np.array([q + difference, q, 1 - 2 * q - difference])
        return -float((np.array([better, worse, images - better - worse]) * np.log(shares)).sum())

    edge = 1e-13
    low, high = max(0.0, -difference) + edge, (1 - difference) / 2 - edge
    q = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-13}).x
    return float((better - worse - images * difference) / np.sqrt(images * (2 * q + difference - difference**2)))


@pytest.mark.parametrize(
    ("better", "worse", "images"), [(5, 3, 50), (1, 2, 40), (30, 12, 100), (7, 7, 20), (40, 2, 45)]
)
def test_at_its_ends_tangos_statistic_is_a_quantile(better: int, worse: int, images: int) -> None:
    low, high = tango(better, worse, images)
    assert score(better, worse, images, low) == pytest.approx(Z, abs=1e-3)
    assert score(better, worse, images, high) == pytest.approx(-Z, abs=1e-3)
    assert tango(worse, better, images) == pytest.approx((-high, -low))


@pytest.mark.parametrize("images", [4, 50, 1000])
def test_without_a_disagreement_there_is_a_width(images: int) -> None:
    end = Z**2 / (images + Z**2)
    assert tango(0, 0, images) == pytest.approx((-end, end))


@pytest.mark.parametrize(("better", "worse"), [(9, 0), (0, 9)])
def test_all_disagreements_on_one_side(better: int, worse: int) -> None:
    low, high = tango(better, worse, 9)
    assert -1 <= low < high <= 1
    assert (high if better else -low) == 1


def test_one_measurement_an_image_is_the_plain_interval() -> None:
    random = np.random.default_rng(1)
    right, other = random.random(60) < 0.9, random.random(60) < 0.8
    assert share_interval(right.astype(float)) == pytest.approx(wilson(right.mean(), 60))
    better, worse = right & ~other, ~right & other
    assert difference_interval(better, worse) == pytest.approx(tango(better.sum(), worse.sum(), 60))
    assert difference_interval(better, worse, np.full(60, 1 / 60)) == pytest.approx(
        tango(better.sum(), worse.sum(), 60)
    )


def test_three_runs_are_worth_between_one_and_three_times_the_images() -> None:
    random = np.random.default_rng(2)
    alone = random.random((3, 2000)) < 0.7
    for runs, worth in ((alone, 6000), (np.repeat(alone[:1], 3, axis=0), 2000)):
        share = runs.mean()
        assert effective_images(runs.mean(axis=0), share * (1 - share)) == pytest.approx(worth, rel=0.04)


@pytest.mark.parametrize("kind", ["normal", "skewed"])
def test_a_mean_has_the_bca_interval(kind: str) -> None:
    random = np.random.default_rng(3)
    values = random.normal(size=300) if kind == "normal" else random.lognormal(size=300)
    theirs = bootstrap((values,), np.mean, n_resamples=5000, method="BCa", rng=np.random.default_rng(4))
    width = np.diff(theirs.confidence_interval)[0]
    assert mean_interval(values, resamples=5000) == pytest.approx(tuple(theirs.confidence_interval), abs=0.07 * width)
    assert mean_interval(values) == mean_interval(values) != mean_interval(values, seed=1)


def test_of_few_values_it_is_as_wide_as_students() -> None:
    values = np.random.default_rng(5).normal(size=8)
    low, high = mean_interval(values)
    assert high - low == pytest.approx(2 * t.ppf(0.975, 7) * values.std(ddof=1) / np.sqrt(8), rel=0.15)


def test_there_is_none_where_none_is_honest() -> None:
    assert np.isnan(mean_interval(np.arange(LEAST - 1.0))).all()
    assert np.isnan(mean_interval(np.full(50, 0.25))).all()
    assert between(*mean_interval(np.ones(9))) == "[no interval]"
    assert between(0.1, 0.25) == "[0.100, 0.250]"


@pytest.mark.parametrize("images", [12, 40])
def test_means_of_skewed_values_are_covered(images: int) -> None:
    """Insertion areas near 1, say: of 600 samples; the percentiles hold 0.87 and 0.92 of them."""
    random = np.random.default_rng(images)
    held = 0
    for _ in range(600):
        low, high = mean_interval(random.beta(6, 0.7, images), resamples=1000)
        held += low <= 6 / 6.7 <= high
    assert 0.92 <= held / 600 <= 0.98
