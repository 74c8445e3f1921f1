"""95 % intervals that hold where a figure is near its end: of shares, of paired differences, of means.

The bootstrap's percentiles don't: of 50 images that are all right no resample has a mistake. Where the images leave no
honest interval, it is `NONE`.
"""

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

Interval = tuple[float, float]
NONE: Interval = (float("nan"), float("nan"))

LEVEL = 0.95
Z = float(ndtri((1 + LEVEL) / 2))
LEAST = 6
"""With fewer values, a bootstrap of their mean reaches no further than the values do, and these miss it too often."""
FEW_TESTED = 100
"""With fewer test images, an accuracy says little of others: 29 right of 30 are 0.83 to 0.99."""
RESAMPLES = 2000
AT_ONCE = 1 << 21  # values that are drawn at a time: 16 MiB


def between(low: float, high: float, digits: str = ".3f") -> str:
    """Return `[0.120, 0.340]`, or `[no interval]`."""
    return f"[{low:{digits}}, {high:{digits}}]" if low <= high else "[no interval]"


def wilson(share: float, images: float, lowest: float = 0.0, highest: float = 1.0) -> Interval:
    """Return Wilson's score interval of a share of `images`, which need not be a whole number.

    `lowest` and `highest` are the ends of another scale than [0, 1]. Wilson 1927,
    https://doi.org/10.1080/01621459.1927.10502953.
    """
    width = highest - lowest
    p = (share - lowest) / width
    middle = (p + Z**2 / (2 * images)) / (1 + Z**2 / images)
    half = Z * sqrt(max(0.0, p * (1 - p)) / images + Z**2 / (4 * images**2)) / (1 + Z**2 / images)
    low, high = (lowest + width * end for end in (middle - half, middle + half))
    # Rounding must leave neither the scale nor the share outside.
    return max(lowest, min(share, low)), min(highest, max(share, high))


def right_of(accuracy: float, images: int, are: str = "right") -> str:
    """Return `29 of 30 right: 0.967 (95 % interval 0.833 to 0.994)`, or what else they `are`."""
    right = f"{round(accuracy * images):,} of {images:,} {are}"
    return f"{right}: {accuracy:.3f} ({said(wilson(accuracy, images))})"


def said(interval: Interval) -> str:
    return f"95 % interval {interval[0]:.3f} to {interval[1]:.3f}"


def beside_guessing(accuracy: float, counts: Sequence[int]) -> str:
    """Return a sentence where it isn't shown that a network knows more than how many images (K,) each class has."""
    images, most = sum(counts), max(counts, default=0)
    if not images or wilson(accuracy, images)[0] > most / images:
        return ""
    times = f"{most:,} time{'s' * (most != 1)}"
    return f"no better than guessing shown: one class for all would be right {times} of {images:,}"


def tango(better: float, worse: float, images: float) -> Interval:
    """Return Tango's score interval of (better − worse) / images, a paired difference of two shares.

    `better` of the images are right in the first only, `worse` in the second only; none of the three need be whole. It
    holds where disagreements are rare, and has a width where there are none.
    Tango 1998, https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B, eq. 24.
    """
    from scipy.optimize import brentq  # a quarter of a second of every training to import

    found = (better - worse) / images

    def distance(difference: float) -> float:
        """Return how many standard errors, were this the true difference, the found one lies above it."""
        b = -better - worse + (2 * images - better + worse) * difference
        c = -worse * difference * (1 - difference)
        second = (sqrt(max(0.0, b * b - 8 * images * c)) - b) / (4 * images)  # the likeliest share of `worse`
        variance = max(0.0, 2 * second + difference * (1 - difference)) / images
        return (found - difference) / sqrt(max(variance, 1e-300))

    low = -1.0 if found <= -1 or distance(-1 + 1e-12) <= Z else float(brentq(_beyond(distance, Z), -1 + 1e-12, found))
    high = 1.0 if found >= 1 or distance(1 - 1e-12) >= -Z else float(brentq(_beyond(distance, -Z), found, 1 - 1e-12))
    return min(low, found), max(high, found)


def _beyond(distance: Any, z: float) -> Any:
    return lambda difference: float(np.clip(distance(difference) - z, -1e9, 1e9))


def effective_images(
    values: NDArray[np.floating], variance: float, weights: NDArray[np.floating] | None = None
) -> float:
    """Return how many independent images say as much as these, each of which was measured once or several times.

    `values` (n,) are means of an image's measurements, `variance` that of a single one, `weights` (n,) what each image
    counts. Several networks mostly fail on the same images: n images with three networks are worth between n and 3 n.
    With one measurement an image, and equal weights, it is n. Rao & Scott 1992, https://doi.org/10.2307/2532311, divide
    counts by this design effect; where mistakes are few the images hardly tell it, so half an image more is counted, on
    which all networks agree.
    """
    w = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    mean = (w * values).sum() / w.sum()
    half_more = (w**2).mean() / 2
    spread = (w**2 * (values - mean) ** 2).sum() + half_more
    alike = (w**2).sum() * variance + half_more
    return float(w.sum() ** 2 / (w**2).sum() * alike / spread)


def share_interval(values: NDArray[np.floating], weights: NDArray[np.floating] | None = None) -> Interval:
    """Return the interval of an accuracy from the share of runs that were right about each image, `values` (n,)."""
    mean = float(np.average(values, weights=weights))
    return wilson(mean, effective_images(values, mean * (1 - mean), weights))


def difference_interval(
    better: NDArray[np.floating], worse: NDArray[np.floating], weights: NDArray[np.floating] | None = None
) -> Interval:
    """Return the interval of a paired difference of accuracies: Tango's, of several pairs of runs by effective images.

    Of each image (n,) the shares of its pairs of runs in which only the first is right, `better`, or only the second.
    """
    above, below = (float(np.average(some, weights=weights)) for some in (better, worse))
    values = np.asarray(better, dtype=np.float64) - worse
    images = effective_images(values, above + below - (above - below) ** 2, weights)
    return tango(above * images, below * images, images)


def mean_interval(values: NDArray[np.floating], *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Return the interval of the mean of independent `values` (n,): BCa, with Student's quantiles for a small n.

    `NONE` for fewer than `LEAST` values, and where all are equal: other images may hold other values, and these tell
    nothing of them. Efron 1987, https://doi.org/10.1080/01621459.1987.10478410; for the quantiles, Hesterberg 2015,
    https://doi.org/10.1080/00031305.2015.1089789.
    """
    values = np.asarray(values, dtype=np.float64)
    images = len(values)
    if images < LEAST or np.ptp(values) == 0:
        return NONE
    mean, random = float(values.mean()), np.random.default_rng(seed)
    rows = max(1, AT_ONCE // images)
    means = np.concatenate(
        [
            values[random.integers(0, images, (min(rows, resamples - start), images))].mean(axis=1)
            for start in range(0, resamples, rows)
        ]
    )
    below = ((means < mean).mean() + (means <= mean).mean()) / 2
    shift = float(ndtri(np.clip(below, 1 / resamples, 1 - 1 / resamples)))
    apart = values - mean
    skew = float((apart**3).sum() / (6 * (apart**2).sum() ** 1.5))
    reach = sqrt(images / (images - 1)) * float(stdtrit(images - 1, (1 + LEVEL) / 2))
    places = []
    for z in (-reach, reach):
        bent = 1 - skew * (shift + z)
        places.append(float(ndtr(shift + (shift + z) / bent)) if bent > 0 else float(z > 0))
    low, high = (float(end) for end in np.quantile(means, places))
    return min(low, mean), max(high, mean)


def seeds_interval(values: Sequence[float]) -> Interval:
    """Return Student's interval of the mean over trainings, which differ in their seeds; `NONE` of a single one.

    Two or three seeds make it wide, as they should.
    """
    if len(values) < 2:
        return NONE
    figures = np.asarray(values, dtype=np.float64)
    reach = float(stdtrit(len(figures) - 1, (1 + LEVEL) / 2) * figures.std(ddof=1) / sqrt(len(figures)))
    return float(figures.mean()) - reach, float(figures.mean()) + reach
