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

from .intervals import LEVEL, NONE, Interval, mean_interval

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

    def without(self, other: "Component") -> "Component":
        """Return what is left of it without a part that is known far better."""
        low, high = (max(0.0, end - other.variance) for end in (self.low, self.high))
        return Component(self.variance - other.variance, low, high)


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


def image_values(answers: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return values (M,) whose mean is the variance, between images, of what an image gets on average over runs.

    `answers` (S, R, M): of each split and seed, 1 where the image is answered rightly, or the difference of two
    networks'. S may be 1, where each split has its own test images. The square of an image's average also holds what
    varies from run to run; that is taken off, image by image, so that a value may be negative.
    """
    splits, seeds, images = answers.shape
    apart = answers - answers.mean(axis=2, keepdims=True)
    if splits == 1:
        noise = apart[0].var(axis=0, ddof=1) / seeds
    else:
        by_split, by_seed, rest = mean_squares(apart)
        noise = (by_split + by_seed - rest) / (splits * seeds)
    values: NDArray[np.float64] = (apart.mean(axis=(0, 1)) ** 2 - noise) * images / (images - 1)
    return values


def image_component(values: NDArray[np.floating], images: float) -> Component:
    """Return the variance that a test set of so many `images` adds to a figure; a bootstrap of the `values` (M,)."""
    low, high = mean_interval(values)
    if not low <= high:
        return Component(float(values.mean()) / images, *NONE)
    return Component(float(values.mean()) / images, max(0.0, low) / images, max(0.0, high) / images)


# How many -------------------------------------------------------------------------------------------------------------


def runs_needed(difference: float, per_run: float, stays: float = 0.0, most: int = MOST_RUNS) -> int | None:
    """Return how many pairs of runs show a true `difference` with 80 % power; None where `most` don't.

    A paired t-test at 5 %, two-sided, by the noncentral t distribution (Cohen 1988, Statistical power analysis, section
    2.2). Each pair has the variance `per_run`; `stays` is what all of them share, such as that of the test images.
    """
    runs = np.arange(2, most + 1)
    limit = stdtrit(runs - 1, 1 - TAIL)
    shift = difference / np.sqrt(np.maximum(per_run / runs + stays, 1e-300))
    power = 1 - nctdtr(runs - 1, np.minimum(shift, 30), limit)  # beyond, it is 1
    enough = np.flatnonzero(power >= POWER)
    return int(runs[enough[0]]) if len(enough) else None


def images_needed(difference: float, variance: float) -> int:
    """Return how many test images show a true `difference`, with 80 % power at 5 %, where all else is averaged out.

    `variance` is that of a single image, as the mean of `image_values`.
    """
    reach = float(ndtri(1 - TAIL) + ndtri(POWER))
    return max(1, ceil(reach**2 * max(0.0, variance) / difference**2))
