"""Which part of a figure's variance is the split's, the seed's, the test images'; and how many runs show a difference.

Splits and seeds are crossed: one run of each seed on each split. The model is that of a two-way random-effects analysis
of variance with one run a cell, score = mean + split + seed + rest, whose components follow from the mean squares
(method of moments: unbiased, so that an estimate near 0 may be negative; whoever draws it draws 0). Searle, Casella &
McCulloch 1992, Variance components, chapter 4.

Intervals are those of Burdick & Graybill 1992, Confidence intervals on variance components, chapters 2 and 3: of sums
of mean squares by Graybill & Wang 1980 (J. Am. Stat. Assoc. 75, 869), of a difference of two by Ting et al. 1990
(J. Stat. Comput. Simul. 35, 135). A bootstrap of four or six splits would be far too narrow.
"""

from dataclasses import dataclass
from math import ceil, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, fdtri, nctdtr, ndtri, stdtrit

from .intervals import LEVEL, Interval, mean_interval

TAIL = (1 - LEVEL) / 2
POWER = 0.8
MOST_RUNS = 1000


class Term(NamedTuple):
    """A mean square of `freedom` degrees of freedom, times `weight`."""

    weight: float
    square: float
    freedom: int

    @property
    def part(self) -> float:
        return self.weight * self.square


@dataclass(frozen=True)
class Component:
    """A variance: its unbiased estimate, which may be negative, and its 95 % interval, which isn't (NaN: none)."""

    variance: float
    low: float
    high: float

    @property
    def sd(self) -> float:
        """The standard deviation; 0 where the estimate is negative."""
        return sqrt(max(0.0, self.variance))

    @property
    def sd_interval(self) -> Interval:
        return sqrt(self.low) if self.low >= 0 else float("nan"), sqrt(self.high) if self.high >= 0 else float("nan")

    def without(self, part: float) -> "Component":
        """Return what is left of it without a part that is known far better; the interval still holds the estimate."""
        left = self.variance - part
        return Component(left, max(0.0, min(left, self.low - part)), max(0.0, self.high - part))


@dataclass(frozen=True)
class Crossed:
    """What S splits × R seeds tell.

    Attributes:
        split, seed: of the split and of the seed alone, the same with every seed, on every split.
        rest: what a seed does on one split and not on others.
        run: of a single run with its own split and seed: the sum of the three.
        on_one_split: of a single run on a given split: seed and rest.
    """

    split: Component
    seed: Component
    rest: Component
    run: Component
    on_one_split: Component


def crossed(scores: NDArray[np.floating]) -> Crossed:
    """Return the components of `scores` (S, R), one of each split with each seed.

    Raises:
        ValueError: there are fewer than two splits or seeds.
    """
    splits, seeds = scores.shape
    if min(splits, seeds) < 2:
        raise ValueError(f"{splits} splits × {seeds} seeds: at least two of each are needed")
    freedom = splits - 1, seeds - 1, (splits - 1) * (seeds - 1)
    by_split, by_seed, rest = (float(square) for square in mean_squares(np.asarray(scores, dtype=np.float64)))

    def terms(split: float, seed: float, other: float) -> list[Term]:
        weighed = zip((split, seed, other), (by_split, by_seed, rest), freedom, strict=True)
        return [Term(*one) for one in weighed if one[0]]

    return Crossed(
        split=combined(terms(1 / seeds, 0, -1 / seeds)),
        seed=combined(terms(0, 1 / splits, -1 / splits)),
        rest=combined(terms(0, 0, 1)),
        run=combined(terms(1 / seeds, 1 / splits, 1 - 1 / seeds - 1 / splits)),
        on_one_split=combined(terms(0, 1 / splits, 1 - 1 / splits)),
    )


def mean_squares(
    table: NDArray[np.floating],
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]:
    """Return the mean squares of rows, columns and rest of a table (S, R, …), each of the shape (…)."""
    rows, columns = table.shape[:2]
    mean, by_row, by_column = table.mean(axis=(0, 1)), table.mean(axis=1), table.mean(axis=0)
    rest = table - by_row[:, None] - by_column[None] + mean
    return (
        columns * ((by_row - mean) ** 2).sum(axis=0) / (rows - 1),
        rows * ((by_column - mean) ** 2).sum(axis=0) / (columns - 1),
        (rest**2).sum(axis=(0, 1)) / ((rows - 1) * (columns - 1)),
    )


def combined(terms: list[Term]) -> Component:
    """Return the sum of mean squares, all with positive weights, or the difference of two."""
    estimate = sum(term.part for term in terms)
    if all(term.weight > 0 for term in terms):
        below, above = (
            sqrt(sum((reach(term) * term.part) ** 2 for term in terms)) for reach in (_reach_down, _reach_up)
        )
        return Component(estimate, max(0.0, estimate - below), estimate + above)
    plus, minus = terms
    if plus.weight < 0 or minus.weight > 0:
        raise ValueError("more than a difference of two mean squares")
    below, above = _reaches_of_difference(plus, minus)
    return Component(estimate, max(0.0, estimate - below), max(0.0, estimate + above))


def _reach_down(term: Term) -> float:
    """Return which part of a mean square its interval reaches below it: Burdick & Graybill's G."""
    return 1 - term.freedom / float(chdtri(term.freedom, TAIL))


def _reach_up(term: Term) -> float:
    """Return the same above it: their H."""
    return term.freedom / float(chdtri(term.freedom, 1 - TAIL)) - 1


def _reaches_of_difference(plus: Term, minus: Term) -> tuple[float, float]:
    """Return how far the interval of plus − minus reaches down and up: Ting et al. 1990."""
    one, other = plus.part, -minus.part
    far, near = (float(fdtri(plus.freedom, minus.freedom, p)) for p in (1 - TAIL, TAIL))
    both_down = ((far - 1) ** 2 - (_reach_down(plus) * far) ** 2 - _reach_up(minus) ** 2) / far
    both_up = ((1 - near) ** 2 - (_reach_up(plus) * near) ** 2 - _reach_down(minus) ** 2) / near
    below = (_reach_down(plus) * one) ** 2 + (_reach_up(minus) * other) ** 2 + both_down * one * other
    above = (_reach_up(plus) * one) ** 2 + (_reach_down(minus) * other) ** 2 + both_up * one * other
    return sqrt(max(0.0, below)), sqrt(max(0.0, above))


# Test images ----------------------------------------------------------------------------------------------------------


class ImageParts(NamedTuple):
    """What the choice of test images adds to variances of figures, all of which would vanish with many images.

    Attributes:
        run: to that of a single run; the sum of the others.
        split, seed, rest: to the components.
        common: to that of the mean of any number of runs, since they share images; 0 where each split has its own.
    """

    run: float
    split: float
    seed: float
    rest: float
    common: float


def image_parts(answers: NDArray[np.floating]) -> ImageParts:
    """Return the parts from `answers` (S, R, M): 1 where an image is answered rightly, or the difference of two.

    NaN where the image isn't in the test set of this split. Two runs with m and m' test images, n of them shared,
    covary by n c / (m m'), where c is the covariance of their answers to the shared ones: within a run their variance,
    p (1 − p). The components are what pairs of runs covary more that share the split, the seed, or both.
    """
    splits, seeds, images = answers.shape
    flat = answers.reshape(splits * seeds, images)
    known = (~np.isnan(flat)).astype(np.float64)
    values = np.where(known > 0, flat, 0.0)
    shared = known @ known.T
    sums = values @ known.T
    covariance = (values @ values.T - sums * sums.T / np.maximum(shared, 1)) / np.maximum(shared - 1, 1)
    sizes = known.sum(axis=1)
    both = (covariance * shared / np.outer(sizes, sizes)).reshape(splits, seeds, splits, seeds)
    split, seed = np.eye(splits, dtype=bool)[:, None, :, None], np.eye(seeds, dtype=bool)[None, :, None, :]
    pairs = (split & seed, split & ~seed, ~split & seed, ~split & ~seed)
    run, of_split, of_seed, common = (float(both[np.broadcast_to(some, both.shape)].mean()) for some in pairs)
    return ImageParts(run, of_split - common, of_seed - common, run - of_split - of_seed + common, common)


def images_interval(answers: NDArray[np.floating]) -> Interval:
    """Return the 95 % interval of `image_parts(answers).run`, a bootstrap of the images."""
    images = np.isfinite(answers).sum(axis=2, keepdims=True)
    apart = (answers - np.nanmean(answers, axis=2, keepdims=True)) ** 2 / (images - 1)
    values = np.nanmean(apart, axis=(0, 1))
    low, high = mean_interval(values)
    return max(0.0, low), high


# How many -------------------------------------------------------------------------------------------------------------


def runs_needed(difference: float, per_run: float, stays: float = 0.0, most: int = MOST_RUNS) -> int | None:
    """Return how many pairs of runs show a true `difference` with 80 % power; None where `most` don't.

    A paired t-test at 5 %, two-sided, by the noncentral t distribution (Cohen 1988, Statistical power analysis, section
    2.2). Each pair has the variance `per_run`; `stays` is what all of them share, such as that of the test images, and
    is taken as known.
    """
    runs = np.arange(2, most + 1)
    limit = stdtrit(runs - 1, 1 - TAIL)
    shift = difference / np.sqrt(np.maximum(per_run / runs + stays, 1e-300))
    power = 1 - nctdtr(runs - 1, np.minimum(shift, 30), limit)  # beyond, it is 1
    enough = np.flatnonzero(power >= POWER)
    return int(runs[enough[0]]) if len(enough) else None


def images_needed(difference: float, variance: float) -> int:
    """Return how many test images show a true `difference`, with 80 % power at 5 %, where all else is averaged out.

    `variance` is that of a single image, of what it gets on average.
    """
    reach = float(ndtri(1 - TAIL) + ndtri(POWER))
    return max(1, ceil(reach**2 * max(0.0, variance) / difference**2))
