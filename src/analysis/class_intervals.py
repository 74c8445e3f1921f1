"""95 % intervals of what is computed from the classes' counts: macro averages and the correlation, of one or many runs.

Score intervals by effective images. The figure's slopes say how far it moves with each image (the infinitesimal
jackknife), and so how many independent answers of that share, right or wrong, would leave as much doubt; Wilson's
interval takes these. It needs no resamples, and keeps a width where every image is right.

Some things are added to what the images say, for without them the interval is too narrow where a class has few:

* Each class borrows answers that are as often right as all images together: `BORROWED`, or so many as hold
  `HALF_A_MISTAKE`. Four right ones of four don't show that a class is never mistaken, nor do one hundred where one in a
  hundred is. Of several runs, a third of what is borrowed is right or wrong in all of them together.
* A class's spread is divided by its images minus one (Bessel).
* The curvature of the figure says by how much it is too low on so few images (F1, by 0.025 where ten classes have five
  each); the interval is moved by that, the figure isn't.

DiCiccio & Efron 1992, https://doi.org/10.1093/biomet/79.2.231, take slopes and curvature in the same way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from .intervals import NONE, Interval, wilson
from .metrics import Counts, Metric

BORROWED = 2.0
HALF_A_MISTAKE = 0.5
STEP = 1e-3
"""Of a count, to either side, for slopes and curvature."""
ROUNDING = 1e-12
AT_ONCE = 1 << 21  # numbers in memory: 16 MiB

Slopes = NDArray[np.float64]
"""(3, K): by how much a figure moves with support, predictions and hits of each class, per image.

No figure moves when all counts are doubled, so that the moves of all images add up to 0.
"""


@dataclass(frozen=True, eq=False)
class Said:
    """What one run said about N images.

    Attributes:
        targets, predicted: class indices (N,), int64.
        images: which image each is (N,), from 0: in several runs the same number is the same image.
    """

    targets: NDArray[np.int64]
    predicted: NDArray[np.int64]
    images: NDArray[np.int64]


def count(said: Said, classes: int) -> Counts:
    """Return the counts of each class, (K,)."""
    kinds = (said.targets, said.predicted, said.targets[said.targets == said.predicted])
    return Counts(*(np.bincount(kind, minlength=classes).astype(np.float64) for kind in kinds))


def class_interval(metric: Metric, runs: Sequence[Said], classes: int) -> Interval:
    """Return the interval of a row of the table, averaged over the runs.

    `NONE` for a correlation where a run's images, or its answers, are all of one class, and for a precision where the
    images are: no other class's can be given it by mistake.
    """
    lowest = 0.0 if metric.of_classes else -1.0
    counted = [count(run, classes) for run in runs]
    if not metric.of_classes and any(np.count_nonzero(some) < 2 for c in counted for some in (c.support, c.predicted)):
        return NONE
    total = 1 + max(int(run.images.max()) for run in runs)
    effects, weights, times = np.zeros(total), np.zeros(total), np.zeros(total)
    slopes, doubt, found, smoothed, centre = np.zeros((3, classes)), np.zeros(classes), 0.0, 0.0, 0.0
    for run, counts in zip(runs, counted, strict=True):
        own = counts.support / (
            counts.support + max(BORROWED, HALF_A_MISTAKE / _mistaken(counts))
        )  # of a class's answers, once it has borrowed
        wider = _with_borrowed(run, counts, own)
        mine, each = _slopes(metric, wider), 1 / (len(runs) * len(run.targets))
        moves = mine[0][run.targets] + mine[1][run.predicted] + mine[2][run.targets] * (run.targets == run.predicted)
        bessel = counts.support / np.maximum(1, counts.support - 1)
        effects += np.bincount(run.images, each * np.sqrt(own * bessel)[run.targets] * moves, total)
        weights += np.bincount(run.images, np.full(len(run.images), each), total)
        times += np.bincount(run.images, minlength=total)
        slopes += mine / len(runs)
        doubt += counts.support / counts.support.sum() * (1 - own) / len(runs)
        found += _value(metric, counts) / len(runs)
        smoothed += _value(metric, wider) / len(runs)
        centre += (_value(metric, counts) - _bias(metric, wider)) / len(runs)
    mistaken = float(np.mean([_mistaken(counts) for counts in counted]))
    shared = (weights**2 * (1 + 2 / np.maximum(times, 1)) / 3).sum()
    variance = (effects**2).sum() + shared * (doubt * _squared_moves(slopes, mistaken)).sum()
    doubtful = (smoothed - lowest) * (1 - smoothed)
    if variance <= 0 or doubtful <= ROUNDING:
        return NONE
    images = doubtful / variance
    low, high = wilson(min(1.0, max(lowest, centre)), images, lowest)
    return min(low, found), max(high, found)


def _value(metric: Metric, counts: Counts) -> float:
    assert metric.of_counts is not None
    return float(metric.of_counts(counts))


def _mistaken(counts: Counts) -> float:
    """Return the share of mistakes, with half an image more of either kind, so that it is never 0 or 1."""
    images = counts.support.sum()
    return float((images - counts.hits.sum() + 0.5) / (images + 1))


def _with_borrowed(said: Said, counts: Counts, own: NDArray[np.float64]) -> Counts:
    """Return the counts that classes have with the answers that they borrow; the images of a class remain as many.

    Borrowed mistakes fall on all other classes alike.
    """
    mistaken, borrowed = _mistaken(counts), counts.support * (1 - own)
    right = borrowed * (1 - mistaken)
    strayed = mistaken * (borrowed.sum() - borrowed) / (len(own) - 1)
    predicted = np.bincount(said.predicted, own[said.targets], len(own)) + right + strayed
    return Counts(counts.support, predicted, own * counts.hits + right)


def _squared_moves(slopes: Slopes, mistaken: float) -> NDArray[np.float64]:
    """Return the mean square by which an answer to an image of each class moves the figure, (K,), if it is borrowed."""
    support, predicted, hits = slopes
    others = len(support) - 1
    mean, square = ((some.sum() - some) / others for some in (predicted, predicted**2))
    wrong = support**2 + 2 * support * mean + square
    squared: NDArray[np.float64] = (1 - mistaken) * (support + predicted + hits) ** 2 + mistaken * wrong
    return squared


def _slopes(metric: Metric, counts: Counts) -> Slopes:
    """Return the slopes by differences to either side; those of classes without images are 0 in a macro average."""
    if metric.of_classes:
        ends = (_moved(metric, counts, (place,), sign) for place in range(3) for sign in (1, -1))
        values = np.stack(list(ends)).reshape(3, 2, -1)
        return _per_image(counts) * (values[:, 0] - values[:, 1]) / (2 * _steps(counts))
    return _slopes_one_by_one(metric, counts)


def _bias(metric: Metric, counts: Counts) -> float:
    """Return by how much a macro average of so few images lies above the truth, from its curvature; 0 of others."""
    if not metric.of_classes:
        return 0.0
    images = counts.support.sum()
    shares = [some / images for some in (counts.support, counts.predicted, counts.hits)]
    middle = metric.of_classes(counts)

    def curvature(*places: int) -> NDArray[np.float64]:
        ends = _moved(metric, counts, places, 1) + _moved(metric, counts, places, -1)
        bent: NDArray[np.float64] = (ends - 2 * middle) / _steps(counts) ** 2
        return bent

    alone = [curvature(place) for place in range(3)]
    # of one image: an image of a class that is given it is in all three counts
    together = {(0, 1): shares[2], (0, 2): shares[2], (1, 2): shares[2]}
    total = sum(bent * share * (1 - share) for bent, share in zip(alone, shares, strict=True))
    for one, other in combinations(range(3), 2):
        mixed = (curvature(one, other) - alone[one] - alone[other]) / 2
        total = total + 2 * mixed * (together[one, other] - shares[one] * shares[other])
    return float((_per_image(counts) * total / 2).sum())


def _moved(metric: Metric, counts: Counts, places: Sequence[int], sign: int) -> NDArray[np.float64]:
    """Return the figures of the classes, (K,), with some of their three counts a step larger or smaller."""
    assert metric.of_classes is not None
    kinds = [counts.support, counts.predicted, counts.hits]
    moved = [kind + sign * _steps(counts) * (place in places) for place, kind in enumerate(kinds)]
    figures: NDArray[np.float64] = metric.of_classes(Counts(*moved))
    return figures


def _steps(counts: Counts) -> NDArray[np.float64]:
    """Return how far the counts of each class are moved, (K,), above 0."""
    least = np.minimum(counts.support, counts.predicted)
    return STEP * np.where(least > 0, least, 1.0)


def _per_image(counts: Counts) -> NDArray[np.float64]:
    """Return what turns the slopes of a class's figure into those of the mean over classes, by an image's share."""
    there = counts.support > 0
    weights: NDArray[np.float64] = there / there.sum() * counts.support.sum()
    return weights


def _slopes_one_by_one(metric: Metric, counts: Counts) -> Slopes:
    """Return the slopes of a figure that no class has by itself: each count is moved alone."""
    assert metric.of_counts is not None
    base = np.stack([counts.support, counts.predicted, counts.hits])  # (3, K)
    slopes, classes = np.zeros(base.size), base.shape[1]
    rows = max(1, AT_ONCE // base.size)
    for start in range(0, base.size, rows):
        places = np.arange(start, min(start + rows, base.size))
        ends = []
        for sign in (1, -1):
            moved = np.repeat(base[None], len(places), axis=0)
            moved[np.arange(len(places)), places // classes, places % classes] += sign * STEP
            ends.append(metric.of_counts(Counts(*moved.swapaxes(0, 1))))
        slopes[places] = (ends[0] - ends[1]) / (2 * STEP)
    per_image: Slopes = counts.support.sum() * slopes.reshape(base.shape)
    return per_image
