"""How sure a difference between two networks on the same test images is: an interval and tests, from arrays."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CELLS = 1 << 21
"""How many counts are drawn at a time: 16 MiB."""


def paired_bootstrap(
    differences: NDArray[np.floating],
    weights: NDArray[np.floating] | None = None,
    *,
    resamples: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return the percentile interval of the mean of `differences` (n,), images resampled with replacement.

    `differences` holds, for each image, one network's figure minus the other's. With `weights` (n,), above 0, the mean
    is weighted, and an image keeps its weight when drawn. An image that was measured several times is one entry, the
    mean of its measurements, because these are not independent.

    There are few distinct values (−1, 0 and 1 with one run each), so the draws of each value are counted: the same
    distribution as drawing image by image, in milliseconds. If all are equal, both ends are that value.
    Efron 1979, https://doi.org/10.1214/aos/1176344552; Efron & Tibshirani 1993, An introduction to the bootstrap, 13.3.
    """
    differences = np.asarray(differences, dtype=np.float64)
    if np.ptp(differences) == 0:
        return float(differences[0]), float(differences[0])
    weights = np.ones_like(differences) if weights is None else np.asarray(weights, dtype=np.float64)
    kinds, counts = np.unique(np.stack([differences, weights], axis=1), axis=0, return_counts=True)  # (k, 2), (k,)
    random = np.random.default_rng(seed)
    means = np.empty(resamples)
    rows = max(1, CELLS // len(kinds))
    for start in range(0, resamples, rows):
        some = means[start : start + rows]
        drawn = random.multinomial(len(differences), counts / len(differences), size=len(some)).astype(np.float64)
        some[:] = drawn @ kinds.prod(axis=1) / (drawn @ kinds[:, 1])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


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
