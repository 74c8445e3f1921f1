"""Interval and tests against SciPy's and statsmodels' own, and against what they promise."""

import itertools
import warnings

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from src.analysis.significance import exact_mcnemar, holm, paired_bootstrap


def differences(random: np.random.Generator, images: int, better: float, worse: float) -> np.ndarray:
    return random.choice([1.0, 0.0, -1.0], size=images, p=[better, 1 - better - worse, worse])


@pytest.mark.parametrize("kind", ["one run", "three runs", "any values"])
def test_bootstrap_is_scipys(kind: str) -> None:
    random = np.random.default_rng(1)
    values = {
        "one run": differences(random, 200, 0.2, 0.1),
        "three runs": np.mean([differences(random, 200, 0.2, 0.1) for _ in range(3)], axis=0),
        "any values": random.normal(0.1, 1, size=200),
    }[kind]
    theirs = bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2))
    step = 0 if kind == "any values" else 1 / len(values)  # means of few kinds of values lie on a grid
    tolerance = 0.06 * values.std() / np.sqrt(len(values)) + step
    assert paired_bootstrap(values) == pytest.approx(tuple(theirs.confidence_interval), abs=tolerance)
    theirs = bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", confidence_level=0.8, rng=np.random.default_rng(2)
    )
    assert paired_bootstrap(values, level=0.8) == pytest.approx(tuple(theirs.confidence_interval), abs=tolerance)


def test_weighted_bootstrap_is_scipys() -> None:
    """Images take their weights with them: the interval of a ratio of sums."""
    random = np.random.default_rng(3)
    values, weights = random.normal(0.1, 1, size=150), random.choice([1.0, 2.0, 5.0], size=150)

    def mean(values: np.ndarray, weights: np.ndarray, axis: int) -> np.ndarray:
        return (values * weights).sum(axis=axis) / weights.sum(axis=axis)

    theirs = bootstrap(
        (values, weights), mean, paired=True, n_resamples=20_000, method="percentile", rng=np.random.default_rng(4)
    )
    assert paired_bootstrap(values, weights) == pytest.approx(tuple(theirs.confidence_interval), abs=0.01)
    assert paired_bootstrap(values, 7 * np.ones(150)) == pytest.approx(paired_bootstrap(values))


def test_the_interval_covers_the_truth() -> None:
    """Of 400 test sets of 300 images, the true difference lies in the interval of 95 %; the sd of this share is 1.1."""
    random = np.random.default_rng(5)
    better, worse = 0.12, 0.08
    intervals = [paired_bootstrap(differences(random, 300, better, worse), resamples=2000) for _ in range(400)]
    covered = np.mean([low <= better - worse <= high for low, high in intervals])
    assert 0.915 <= covered <= 0.985
    beside = np.mean([low <= better - worse + 0.08 <= high for low, high in intervals])
    assert beside < 0.3


def test_the_interval_is_the_same_each_time_and_follows_the_seed() -> None:
    values = np.random.default_rng(6).normal(size=100)
    assert paired_bootstrap(values) == paired_bootstrap(values)
    assert paired_bootstrap(values) != paired_bootstrap(values, seed=1)


def test_many_kinds_of_images_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(7).normal(size=300)
    whole = paired_bootstrap(values, resamples=3000)
    monkeypatch.setattr("src.analysis.significance.CELLS", 1)  # a resample at a time
    assert paired_bootstrap(values, resamples=3000) == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize("value", [0.0, 1.0, -1 / 3])
@pytest.mark.parametrize("images", [1, 50])
def test_equal_differences_are_both_ends(value: float, images: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert paired_bootstrap(np.full(images, value)) == (value, value)
        assert paired_bootstrap(np.full(images, value), np.arange(1, images + 1)) == (value, value)


@pytest.mark.parametrize(("better", "worse"), [(0, 1), (1, 0), (5, 5), (12, 3), (3, 12), (40, 61), (1000, 900)])
def test_mcnemar_is_scipys_and_statsmodels(better: int, worse: int) -> None:
    p = exact_mcnemar(ones(better, worse))
    assert p == pytest.approx(binomtest(worse, better + worse, 0.5).pvalue, rel=1e-12)
    assert p == pytest.approx(mcnemar([[70, better], [worse, 20]], exact=True).pvalue, rel=1e-9)


def test_mcnemar_by_hand() -> None:
    assert exact_mcnemar(ones(0, 0)) == 1
    assert exact_mcnemar(ones(5, 0)) == pytest.approx(2 / 2**5)
    assert exact_mcnemar(ones(1, 4)) == pytest.approx(2 * (1 + 5) / 2**5)


def test_holm_is_statsmodels_and_by_hand() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])  # 3 · 0.01, 2 · 0.03, and not below it
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []
    p_values = np.random.default_rng(8).random(20) ** 3
    assert holm(list(p_values)) == pytest.approx(multipletests(p_values, method="holm")[1])


def ones(better: int, worse: int) -> np.ndarray:
    return np.repeat([1, -1, 0], [better, worse, 7])


def test_several_runs_are_the_flips_of_all_signs() -> None:
    """Against all 2^n signs, counted one by one."""
    differences = np.array([3, -1, 2, 2, -1, 1, 3, -2, 0, 1])
    signs = np.array(list(itertools.product([1, -1], repeat=len(differences))))
    expected = np.mean(np.abs(signs @ differences) >= abs(differences.sum()))
    assert exact_mcnemar(differences) == pytest.approx(expected)


def test_the_test_looks_where_the_difference_does() -> None:
    """60 images that one network gets right in all of three runs, 100 that the other does in one of three."""
    differences = np.repeat([3, -1, 0], [60, 100, 840])
    assert exact_mcnemar(differences) == exact_mcnemar(-differences)
    assert exact_mcnemar(differences) < 0.01
    assert exact_mcnemar(np.repeat([3, -1, 0], [33, 99, 868])) == pytest.approx(1)
