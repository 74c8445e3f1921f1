"""Tests against SciPy's and statsmodels' own, and against what they promise."""

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from src.analysis.significance import exact_mcnemar, holm


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
