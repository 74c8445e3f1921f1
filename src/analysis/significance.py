"""What a difference between two networks on the same test images is worth: an interval and tests, from arrays."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CELLS = 1 << 21
"""So many counts are drawn at a time: 16 MiB."""


def paired_bootstrap(
    differences: NDArray[np.floating],
    weights: NDArray[np.floating] | None = None,
    *,
    resamples: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """The percentile interval of the mean of `differences` (n,), images resampled with replacement.

    Of n images, `differences` has what one network makes of each, less what the other does. With `weights` (n,), above
    0, it is the weighted mean, and an image takes its weight with it. An image that was measured several times is one
    entry, the mean of its measurements: they are not independent.

    Few values are different (−1, 0 and 1 with one run each), so it is counted how often each of them is drawn: the
    same distribution as drawing the images one by one, in milliseconds. Where all are equal, they are both ends.
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


def exact_mcnemar(better: int, worse: int) -> float:
    """The two-sided p-value of McNemar's exact test; 1 where no image tells the two networks apart.

    Only images count that one network gets right and the other wrong: `better` of them one way, `worse` the other. If
    the networks were alike, each would fall either way with probability ½.
    McNemar 1947, https://doi.org/10.1007/BF02295996.
    """
    from scipy.stats import binomtest  # half a second to import

    return float(binomtest(better, better + worse, 0.5).pvalue) if better + worse else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values, in their order, corrected for being several: below α by chance in a share of at most α.

    Holm 1979, https://www.jstor.org/stable/4615733. Any false rejection among them counts (family-wise error).
    """
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in multipletests(p_values, method="holm")[1]] if len(p_values) else []
