"""Figures of images with any number of labels: average precision, counts, and the thresholds that decide.

All of it takes `scores` (N, K), which rank as probabilities do, and `targets` (N, K): 1, 0, or NaN where nobody knows,
which counts nowhere.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..frames import pd
from .calibration import BINS, bin_of
from .metrics import Counts

Array = NDArray[np.floating]

USUAL_THRESHOLD = 0.5
"""Where the images say nothing: a label that none has, or all."""


def average_precision(scores: Array, targets: Array) -> NDArray[np.float64]:
    """Return Σ_n (R_n − R_{n−1}) P_n of each label, (K,), as scikit-learn; NaN of one that no image has."""
    values = np.full(targets.shape[1], np.nan)
    for label, (own, hits) in enumerate(_known(scores, targets)):
        positives = hits.sum()
        if positives:
            ends, found = _ranked(own, hits)
            values[label] = float((np.diff(found, prepend=0) / positives * (found / ends)).sum())
    return values


def mean_average_precision(scores: Array, targets: Array) -> float:
    """Return the mean over the labels that some image has; NaN without any."""
    values = average_precision(scores, targets)
    return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")


def count_labels(decided: NDArray[np.bool_], targets: Array) -> Counts:
    """Return the counts (K,) that the table's metrics are computed from, of bool decisions (N, K)."""
    true, said = targets == 1, decided & ~np.isnan(targets)
    return Counts(*(part.sum(axis=0).astype(np.float64) for part in (true, said, true & said)))


def best_thresholds(probabilities: Array, targets: Array) -> NDArray[np.float64]:
    """Return of each label (K,) the threshold with the best F1: of several the highest, halfway to what is below it.

    A label is decided where its probability is at least the threshold. `USUAL_THRESHOLD` where no image has the label.
    """
    thresholds = np.full(targets.shape[1], USUAL_THRESHOLD)
    for label, (own, hits) in enumerate(_known(probabilities, targets)):
        positives = hits.sum()
        if positives == 0 or positives == len(hits):
            continue
        ends, found = _ranked(own, hits)
        best = int((2 * found / (ends + positives)).argmax())
        steps = -np.sort(-own.astype(np.float64))[ends - 1]
        below = steps[best + 1] if best + 1 < len(steps) else 0.0
        thresholds[label] = (steps[best] + below) / 2
    return thresholds


def per_label(probabilities: Array, targets: Array, thresholds: Array, class_names: Sequence[str]) -> "pd.DataFrame":
    """Return one row a label: class, support, unknown, precision, recall, f1, average_precision and threshold.

    `support` counts the images that have it, `unknown` those of which nobody knows. Average precision is 0 where no
    image has it, as precision and recall are.
    """
    counts = count_labels(probabilities >= thresholds, targets)
    quotients = [
        np.divide(above, below, out=np.zeros_like(above), where=below > 0)
        for above, below in (
            (counts.hits, counts.predicted),
            (counts.hits, counts.support),
            (2 * counts.hits, counts.support + counts.predicted),
        )
    ]
    return pd.DataFrame(
        {
            "class": list(class_names),
            "support": counts.support.astype(np.int64),
            "unknown": np.isnan(targets).sum(axis=0),
            **dict(zip(("precision", "recall", "f1"), quotients, strict=True)),
            "average_precision": np.nan_to_num(average_precision(probabilities, targets)),
            "threshold": np.asarray(thresholds, dtype=np.float64),
        }
    )


def surest_label_mistakes(
    probabilities: Array, targets: Array, thresholds: Array, most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Return the indices of at most `most` images with a label decided wrongly, and which label of each that is (n,).

    The surest come first, those whose probability is furthest from the truth; of an image its surest counts. The third
    is how many decisions are wrong in all.
    """
    wrong = ((probabilities >= thresholds) != (targets == 1)) & ~np.isnan(targets)
    off = np.where(wrong, np.abs(probabilities - np.nan_to_num(targets)), -1.0)
    labels = off.argmax(axis=1)
    furthest = off[np.arange(len(off)), labels]
    rows = np.argsort(-furthest, kind="stable")[: min(most, int((furthest >= 0).sum()))]
    return rows, labels[rows], int(wrong.sum())


def _known(scores: Array, targets: Array) -> list[tuple[Array, NDArray[np.int64]]]:
    """Return of each label the scores (n,) of the images of which it is known, and whether they have it."""
    known = ~np.isnan(targets)
    return [
        (scores[known[:, label], label], (targets[known[:, label], label] == 1).astype(np.int64))
        for label in range(targets.shape[1])
    ]


def _ranked(scores: Array, hits: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return, for each distinct score from the highest down, how many images have it or more, and how many hit."""
    order, ends = rank(scores)
    return ends, np.cumsum(hits[order])[ends - 1]


def rank(scores: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the order of the images (n,) from the highest score down, and after how many each distinct score ends."""
    order = np.argsort(-scores, kind="stable")
    return order, np.flatnonzero(np.diff(scores[order], append=-np.inf)) + 1


def calibration_errors(probabilities: Array, targets: Array) -> NDArray[np.float64]:
    """Return the calibration error of each label (K,): of its probabilities against how often it is true, in bins.

    Σ_b n_b / n |share_b − mean probability_b|, Guo et al. 2017 (https://arxiv.org/abs/1706.04599) for one label; NaN of
    one that is never known.
    """
    errors = np.full(targets.shape[1], np.nan)
    for label, (own, hits) in enumerate(_known(probabilities, targets)):
        if len(own):
            place = bin_of(own)
            gaps = np.bincount(place, weights=hits, minlength=BINS) - np.bincount(place, weights=own, minlength=BINS)
            errors[label] = np.abs(gaps).sum() / len(own)
    return errors
