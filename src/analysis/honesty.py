"""Whether a calibration error says more than chance, and which ones are possible.

The expected calibration error is a sum of absolute values: never 0, however honest the network, and the larger the
fewer images there are. Of 50 images a perfectly calibrated network shows some 0.16.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .calibration import Reliability, bin_of
from .intervals import Interval

DRAWS = 1000
AT_ONCE = 1 << 21  # answers drawn at a time: 16 MiB
SIGNIFICANT = 0.05
TAIL = SIGNIFICANT / 2
LEAST_P = 0.003  # so many draws show no smaller one
HALVINGS = 24
ROUNDING = 1e-12


@dataclass(frozen=True)
class Chance:
    """The calibration errors of honest networks: those that are right as often as these confidences say.

    Attributes:
        mean: over the draws.
        low, high: 95 % of them lie between.
        p: the two-sided p-value of the measured error, at least 2 / (`DRAWS` + 1).
    """

    mean: float
    low: float
    high: float
    p: float

    @property
    def shown(self) -> bool:
        """Whether the network is miscalibrated by more than chance."""
        return self.p < SIGNIFICANT

    def __str__(self) -> str:
        verdict = "miscalibration shown" if self.shown else "no miscalibration shown"
        p = f"= {self.p:.3f}" if self.p >= LEAST_P else f"< {LEAST_P}"
        return (
            f"an honest network with these confidences would show {self.mean:.4f} by chance "
            f"({self.low:.4f} to {self.high:.4f}): {verdict} (p {p})"
        )


def errors_by_chance(probabilities: NDArray[np.floating], error: float, seed: int) -> Chance:
    """Draw right and wrong for each image (N, K) from its own confidence, and compare the measured `error` with that.

    Bröcker & Smith 2007, https://doi.org/10.1175/WAF993.1, call it consistency resampling; Vaicenavicius et al. 2019,
    https://arxiv.org/abs/1902.06977, make a test of it.
    """
    confidences = np.sort(probabilities.max(axis=1).astype(np.float64))
    images, random = len(confidences), np.random.default_rng(seed)
    starts = np.flatnonzero(np.diff(bin_of(confidences), prepend=-1))
    rows = max(1, AT_ONCE // images)
    drawn = []
    for start in range(0, DRAWS, rows):
        right = random.random((min(rows, DRAWS - start), images)) < confidences
        drawn.append(np.abs(np.add.reduceat(right - confidences, starts, axis=1)).sum(axis=1) / images)
    errors = np.concatenate(drawn)
    beyond = 1 + int((errors >= error - ROUNDING).sum())
    low, high = (float(end) for end in np.quantile(errors, (TAIL, 1 - TAIL)))
    return Chance(float(errors.mean()), low, high, min(1.0, 2 * beyond / (DRAWS + 1)))


def error_interval(bins: Reliability, chance: Chance, seed: int) -> Interval:
    """Return the calibration errors that are possible: those of networks that would show the measured one.

    The gaps of the bins are made smaller and larger together, and right and wrong are drawn from what they say. The
    interval holds the errors with which the measured one is neither among the largest 2.5 % nor the smallest; it begins
    at 0 where no miscalibration is shown, and always holds the measured one.
    """
    there = bins.counts > 0
    counts, confidence = bins.counts[there], bins.confidence[there]
    weights = counts / counts.sum()
    # Where a gap is 0 the true one may go either way: at least half an image, towards the middle.
    gaps = bins.accuracy[there] - confidence
    aims = np.where(gaps == 0, np.where(confidence < 0.5, 1, -1), np.sign(gaps))
    directions = aims * np.maximum(np.abs(gaps), 0.5 / counts)

    def truth(scale: float) -> NDArray[np.float64]:
        return np.clip(confidence + scale * directions, 0, 1)

    def error(scale: float) -> float:
        return float((weights * np.abs(truth(scale) - confidence)).sum())

    def draws(scale: float) -> NDArray[np.float64]:
        right = np.random.default_rng(seed).binomial(counts, truth(scale), (DRAWS, len(counts)))
        found: NDArray[np.float64] = np.abs(right / counts - confidence) @ weights
        return found

    def too_small(scale: float) -> bool:
        return bool((draws(scale) >= bins.error - ROUNDING).mean() < TAIL)

    def too_large(scale: float) -> bool:
        return bool((draws(scale) <= bins.error + ROUNDING).mean() < TAIL)

    far = 1.0
    while not too_large(far) and error(2 * far) > error(far):
        far *= 2
    high = error(_edge(lambda scale: not too_large(scale), 0, far)) if too_large(far) else error(far)
    low = error(_edge(too_small, 0, 1)) if chance.shown else 0.0
    return min(low, bins.error), max(high, bins.error)


def _edge(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Return where, between `low` and `high`, what holds at `low` no longer does."""
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return (low + high) / 2
