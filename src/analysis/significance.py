"""How sure a difference between two networks on the same test images is: tests, from arrays."""

from collections.abc import Sequence
from itertools import permutations

import numpy as np
from numpy.typing import NDArray


def exact_mcnemar(differences: NDArray[np.integer]) -> float:
    """Return the two-sided p-value of McNemar's exact test; 1 where no image tells the two networks apart.

    `differences` (n,) holds, for each image, how often one network is right minus how often the other is. If the
    networks were alike, each would be as likely with the other sign: p is the probability, over all signs, of a sum at
    least as far from 0. With one run each (−1, 0 and 1) this is McNemar's test: each image that only one network gets
    right falls either way with probability ½. With several runs it is its extension, Fisher's exact randomisation
    test, which counts an image once, however many runs have seen it.
    McNemar 1947, https://doi.org/10.1007/BF02295996; Fisher 1935, The design of experiments, section 21.
    """
    from scipy.stats import binom  # half a second to import

    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    if not len(sizes):
        return 1.0
    probabilities = np.ones(1)  # of each possible sum, from the lowest, in steps of 1
    for size, count in zip(sizes, counts, strict=True):
        steps = np.zeros(2 * size * count + 1)
        steps[:: 2 * size] = binom.pmf(np.arange(count + 1), count, 0.5)
        probabilities = np.convolve(probabilities, steps)
    middle, far = len(probabilities) // 2, abs(int(differences.sum()))
    return float(min(1.0, probabilities[np.abs(np.arange(len(probabilities)) - middle) >= far].sum()))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values, in their order, corrected by Holm's method for their number (family-wise error).

    Holm 1979, https://www.jstor.org/stable/4615733.
    """
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in multipletests(p_values, method="holm")[1]] if len(p_values) else []


def p_of_order(one: NDArray[np.floating], other: NDArray[np.floating]) -> tuple[float, float]:
    """Return Spearman's correlation of `one` and `other` (n,), and its two-sided p-value by permutation.

    Of up to seven values all orders are counted, of more 5,000 drawn ones. NaN where one of the two is constant.
    """
    from scipy.stats import rankdata  # half a second to import

    first, second = (rankdata(values) - (len(values) + 1) / 2 for values in (one, other))
    size = float(np.sqrt((first**2).sum() * (second**2).sum()))
    if not size:
        return float("nan"), float("nan")
    if len(one) <= 7:
        orders = np.array([*permutations(range(len(one)))])
    else:
        random = np.random.default_rng(0)
        orders = np.array([np.arange(len(one)), *(random.permutation(len(one)) for _ in range(4999))])
    rho = float(first @ second / size)
    return rho, float((np.abs(second[orders] @ first / size) >= abs(rho) - 1e-12).mean())
