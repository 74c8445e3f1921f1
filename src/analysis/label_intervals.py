"""Which 95 % intervals the choice of images leaves to figures of several labels an image: a bootstrap of the images.

The labels of an image hang together, so that whole images are drawn with replacement, and each figure is computed anew
from how often each was drawn (Efron & Tibshirani 1993, chapter 13: percentiles).
"""

import warnings

import numpy as np
from numpy.typing import NDArray

from .intervals import Interval
from .label_scores import Array, rank
from .metrics import LABEL_METRICS, Counts

DRAWS = 1_000
AT_ONCE = 4_000_000
"""Images that are drawn at once, which bounds the memory."""


def label_intervals(
    probabilities: Array, targets: Array, thresholds: Array, seed: int, draws: int = DRAWS
) -> dict[str, Interval]:
    """Return the interval of each metric of the table but the loss; (NaN, NaN) where no label is known.

    `probabilities` and `targets` (N, K), `thresholds` (K,) as in `label_scores`.
    """
    random, images, decided = np.random.default_rng(seed), len(targets), probabilities >= thresholds
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in LABEL_METRICS if name != "loss"}
    step = max(1, AT_ONCE // max(images, 1))
    for start in range(0, draws, step):
        often = random.multinomial(images, np.full(images, 1 / images), size=min(step, draws - start)).astype(
            np.float64
        )
        for name, values in figures_of_draws(often, probabilities, targets, decided).items():
            found[name].append(values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a draw in which no image has any label
        ends = {name: np.nanpercentile(np.concatenate(parts), [2.5, 97.5]) for name, parts in found.items()}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


def figures_of_draws(
    often: NDArray[np.float64], probabilities: Array, targets: Array, decided: NDArray[np.bool_]
) -> dict[str, NDArray[np.float64]]:
    """Return each metric of the table but the loss, (B,), of images that come `often` (B, N); `decided` is (N, K)."""
    true, said = (targets == 1).astype(np.float64), (decided & ~np.isnan(targets)).astype(np.float64)
    counts = Counts(*(often @ part for part in (true, said, true * said)))
    with np.errstate(invalid="ignore"):
        found = {
            name: np.asarray(row.of_counts(counts)) for name, row in LABEL_METRICS.items() if row.of_counts is not None
        }
    return {"map": _map(often, probabilities, targets), **found}


def _map(often: NDArray[np.float64], scores: Array, targets: Array) -> NDArray[np.float64]:
    """Return the mean average precision (B,)."""
    total, labels = np.zeros(len(often)), np.zeros(len(often))
    for label in range(targets.shape[1]):
        known = np.flatnonzero(~np.isnan(targets[:, label]))
        order, ends = rank(scores[known, label])
        drawn = often[:, known[order]]
        hits = np.cumsum(drawn * targets[known[order], label], axis=1)[:, ends - 1] if len(ends) else np.zeros((1, 1))
        above = np.cumsum(drawn, axis=1)[:, ends - 1] if len(ends) else np.zeros((1, 1))
        positives = hits[:, -1:]
        steps = np.diff(hits, axis=1, prepend=0) / np.maximum(positives, 1)
        values = (steps * hits / np.maximum(above, 1)).sum(axis=1)
        total, labels = total + values * (positives[:, 0] > 0), labels + (positives[:, 0] > 0)
    with np.errstate(invalid="ignore"):
        mean: NDArray[np.float64] = total / labels
    return mean
