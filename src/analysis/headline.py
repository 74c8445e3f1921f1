"""The figures that sum up a classifier, each with the interval that the choice of test images leaves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .calibration import brier_scores, log_losses, reliability
from .class_intervals import Said, class_interval, count
from .honesty import Chance, error_interval, errors_by_chance
from .intervals import LEAST, NONE, Interval, mean_interval, wilson
from .metrics import SCORES

TOP = 5
"""How many guesses top-5 accuracy allows; it needs at least twice as many classes."""

WILSON, SCORE, BCA, INVERTED = "Wilson", "score, effective images", "BCa bootstrap", "inverted test"
"""How an interval was made; the modules behind them say how."""


@dataclass(frozen=True)
class Estimate:
    """A figure, its 95 % interval [low, high] (NaN where there is no honest one), and how the interval was made."""

    value: float
    low: float
    high: float
    method: str

    @property
    def interval(self) -> Interval | None:
        return None if np.isnan(self.low) else (self.low, self.high)


@dataclass(frozen=True)
class Headline:
    """The figures of a classifier.

    Attributes:
        estimates: the metrics of the table but the loss, `nll`, `ece`, `brier`, and of 10 classes or more
            `top5_accuracy`.
        chance: what the `ece` of an honest network would be.
        classes: how many classes have images; macro figures are averages over these.
    """

    estimates: dict[str, Estimate]
    chance: Chance
    classes: int


def headline(
    logits: NDArray[np.floating], probabilities: NDArray[np.floating], targets: NDArray[np.int64], seed: int
) -> dict[str, Estimate]:
    """Return the estimates of `sum_up` alone."""
    return sum_up(logits, probabilities, targets, seed).estimates


def sum_up(
    logits: NDArray[np.floating], probabilities: NDArray[np.floating], targets: NDArray[np.int64], seed: int
) -> Headline:
    """Return the figures of `logits` (N, K), `probabilities` (N, K) their softmax in float64, and `targets` (N,).

    `seed` is that of all draws.
    """
    images, classes = logits.shape
    said = Said(targets, logits.argmax(axis=1), np.arange(images))
    counts = count(said, classes)
    estimates = {}
    for name, row in SCORES.items():
        assert row.of_counts is not None
        value = float(row.of_counts(counts))
        if row.average == "micro":
            estimates[name] = Estimate(value, *wilson(value, images), WILSON)
        else:
            estimates[name] = Estimate(value, *class_interval(row, [said], classes), SCORE)
    for name, values in (("nll", log_losses(logits, targets)), ("brier", brier_scores(probabilities, targets))):
        estimates[name] = Estimate(float(values.mean()), *mean_interval(values, seed=seed), BCA)
    bins = reliability(probabilities, targets)
    chance = errors_by_chance(probabilities, bins.error, seed)
    possible = error_interval(bins, chance, seed) if images >= LEAST else NONE
    estimates["ece"] = Estimate(bins.error, *possible, INVERTED)
    if classes >= 2 * TOP:
        top = float(_among_the_first(logits, targets).mean())
        estimates["top5_accuracy"] = Estimate(top, *wilson(top, images), WILSON)
    return Headline(estimates, chance, int(np.count_nonzero(counts.support)))


def _among_the_first(logits: NDArray[np.floating], targets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether the target is among the first `TOP` guesses, (N,); of equal logits the first class comes first."""
    own = logits[np.arange(len(targets)), targets][:, None]
    earlier = np.arange(logits.shape[1]) < targets[:, None]
    before: NDArray[np.int64] = (logits > own).sum(axis=1) + ((logits == own) & earlier).sum(axis=1)
    first: NDArray[np.bool_] = before < TOP
    return first
