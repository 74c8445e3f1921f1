"""Who leaves, who can't be told from the best, and what choosing the best has cost: from paired answers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..analysis.intervals import LEVEL, Interval
from ..analysis.significance import exact_mcnemar, holm
from .record import Measured

ETA = 3
"""Of so many candidates of a round one stays, as in Hyperband (Li et al. 2018, https://arxiv.org/abs/1603.06560)."""

Floats = NDArray[np.float64]

EARLY = 1.25
"""Times the fewest steps: those that have made so many have made about as few."""

RESAMPLES = 500
FEWEST = 20
"""Validation images below which a draw may leave nothing out."""


def ranked(figures: Mapping[str, Measured]) -> list[str]:
    """Return the names, the best first: `best_of` all, then of all others, and so on."""
    left, order = list(figures), []
    while left:
        order.append(left.pop(best_of(*stacked([figures[name] for name in left]))))
    return order


def most_promising(figures: Mapping[str, Measured]) -> list[str]:
    """Return the names, the best first: of those about as accurate as the most accurate one, who has made fewest steps.

    All have been trained for the same seconds and will be for more; who has come as far in fewer steps learns faster.
    Of about as many steps, `best_of`.
    """
    left, order = list(figures), []
    while left:
        right, losses = stacked([figures[name] for name in left])
        near = about_as_accurate(right, losses)
        steps = np.array([figures[left[place]].steps for place in near])
        early = near[steps <= EARLY * steps.min()]
        order.append(left.pop(int(early[best_of(right[early], losses[early])])))
    return order


def stacked(figures: Iterable[Measured]) -> tuple[Floats, Floats]:
    """Return the answers and the log-losses of candidates on the same images, each (C, N)."""
    answers, losses = zip(*((one.right, one.losses) for one in figures), strict=True)
    return np.stack(answers).astype(np.float64), np.stack(losses).astype(np.float64)


def best_of(right: Floats, losses: Floats) -> int:
    """Return which of C candidates is the best on N images: of those about as accurate as the first, by log-loss.

    With few images that is often several, and log-loss says more than whether an answer was right (figures:
    `README.md`, by tests/benchmarks/bench_coverage.py). Equals stay in the order given.

    Args:
        right, losses: (C, N).
    """
    near = about_as_accurate(right, losses)
    accuracy, loss = _means(right, losses)
    return int(near[np.lexsort((-accuracy[near], loss[near]))[0]])


def about_as_accurate(right: Floats, losses: Floats) -> NDArray[np.intp]:
    """Return which of C candidates are behind the most accurate by no more than a standard error of the difference.

    Args:
        right, losses: (C, N).
    """
    accuracy, loss = _means(right, losses)
    apart = right[np.lexsort((loss, -accuracy))[0]] - right
    return np.flatnonzero(apart.mean(axis=1) <= apart.std(axis=1) / np.sqrt(right.shape[1]))


def _means(right: Floats, losses: Floats) -> tuple[Floats, Floats]:
    return right.mean(axis=1), np.nan_to_num(losses.mean(axis=1), nan=np.inf)


def p_values(figures: Mapping[str, Measured], best: str) -> dict[str, float]:
    """Return, of each other candidate, McNemar's exact p of being as often right as the best; corrected by Holm."""
    others = [name for name in figures if name != best]
    mine = figures[best].right.astype(np.int64)
    found = [exact_mcnemar(mine - figures[name].right.astype(np.int64)) for name in others]
    return dict(zip(others, holm(found), strict=True))


@dataclass(frozen=True)
class Cut:
    """What a round has decided.

    Attributes:
        stay: Names, the best first.
        worse: Of those that leave, the ones that paired images show to be worse; the others leave because only one of
            three can stay.
    """

    stay: list[str]
    worse: list[str]
    p: dict[str, float]


def cut(figures: Mapping[str, Measured], *, tested: bool) -> Cut:
    """Return who stays: of three at most one, and where it is `tested` none that is shown to be worse than the best.

    The first round isn't: there a network that learns slowly is far behind one that it may overtake.
    """
    order = most_promising(figures)
    p = p_values(figures, order[0])
    worse = [name for name in order[1:] if p[name] < 1 - LEVEL] if tested else []
    stay = order[: -(-len(order) // ETA)]
    return Cut([name for name in stay if name not in worse], worse, p)


def rounds_of(candidates: int) -> int:
    """Return how many rounds it takes until one is left; at least one."""
    rounds = 1
    while (candidates := -(-candidates // ETA)) > 1:
        rounds += 1
    return rounds


def alike(figures: Mapping[str, Measured], best: str) -> list[str]:
    """Return those that the validation images can't tell from the best, itself included, in the order given."""
    p = p_values(figures, best)
    return [name for name in figures if name == best or p[name] >= 1 - LEVEL]


def corrected(figures: Sequence[Measured], seed: int) -> tuple[float, Interval] | None:
    """Return the accuracy of what is chosen, and its interval, from validation images that have chosen it.

    The choice of `best_of` all candidates is repeated on images drawn with replacement, and what it picks is measured
    on those that were not drawn. BBC-CV: Tsamardinos et al. 2018, https://doi.org/10.1007/s10994-018-5714-4. None for
    fewer than `FEWEST` images.
    """
    answers, losses = stacked(figures)
    images = answers.shape[1]
    if images < FEWEST:
        return None
    random = np.random.default_rng(seed)
    found = []
    for _ in range(RESAMPLES):
        drawn = random.integers(0, images, images)
        left = np.setdiff1d(np.arange(images), drawn)
        if len(left):
            found.append(answers[best_of(answers[:, drawn], losses[:, drawn]), left].mean())
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(np.mean(found)), (float(low), float(high))
