"""The figures that sum up a classifier, each with the interval that the choice of test images leaves."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack

from .calibration import BINS, bin_of, brier_scores, log_losses
from .metrics import SCORES, Counts

RESAMPLES = 1000
LEVEL = 0.95
TOP = 5
"""How many guesses top-5 accuracy allows; it needs at least twice as many classes."""
AT_ONCE = 2_000_000  # weights of images held in memory: 16 MB


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % bootstrap interval [low, high]."""

    value: float
    low: float
    high: float


def headline(
    logits: NDArray[np.floating], probabilities: NDArray[np.floating], targets: NDArray[np.int64], seed: int
) -> dict[str, Estimate]:
    """Return the metrics of the table but the loss, `nll`, `ece`, `brier`, and of 10 classes or more `top5_accuracy`.

    `logits` (N, K), `probabilities` (N, K) their softmax in float64, `targets` (N,).

    An interval holds the middle 95 % of the figures of 1,000 resamples with replacement (Efron 1979). The ECE, a sum of
    absolute values, is larger in a resample than in the sample, by about as much as it is larger in the sample than in
    truth: its interval is reflected at the estimate (the basic bootstrap) and cut at 0.
    """
    sums = _sums_of_images(logits, probabilities, targets)
    classes = logits.shape[1]
    values = _figures(np.asarray(sums.sum(axis=0))[None], classes)
    draws = [_figures(totals, classes) for totals in _resampled(sums, np.random.default_rng(seed))]
    tail = (1 - LEVEL) / 2
    estimates = {}
    for name, value in values.items():
        point = float(value[0])
        low, high = (float(q) for q in np.quantile(np.concatenate([some[name] for some in draws]), (tail, 1 - tail)))
        if name == "ece":
            low, high = (min(1.0, max(0.0, 2 * point - end)) for end in (high, low))
        estimates[name] = Estimate(point, low, high)
    return estimates


def _sums_of_images(
    logits: NDArray[np.floating], probabilities: NDArray[np.floating], targets: NDArray[np.int64]
) -> csr_array:
    """Return what has to be added up for all figures, a row an image: (N, 4 + 3 K + B).

    1, right among the first five, negative log-likelihood, Brier score; one-hot: the target, the prediction, the
    target where it was predicted; and in the bin of its confidence, right − confidence.
    """
    images, classes = logits.shape
    predicted = logits.argmax(axis=1)
    right = (predicted == targets).astype(np.float64)
    # How many classes rank before the target. Of equal logits the smaller index comes first.
    own = logits[np.arange(images), targets][:, None]
    before = (logits > own).sum(axis=1) + ((logits == own) & (np.arange(classes) < targets[:, None])).sum(axis=1)
    confidences = probabilities.max(axis=1)
    plain = np.stack(
        [np.ones(images), before < TOP, log_losses(logits, targets), brier_scores(probabilities, targets)],
        axis=1,
    )
    return hstack(
        [
            csr_array(plain),
            _one_hot(targets, np.ones(images), classes),
            _one_hot(predicted, np.ones(images), classes),
            _one_hot(targets, right, classes),
            _one_hot(bin_of(confidences), right - confidences, BINS),
        ],
        format="csr",
    )


def _one_hot(places: NDArray[np.int64], values: NDArray[np.float64], width: int) -> csr_array:
    """Return (N, width) with one value in each row, at its place."""
    return csr_array((values, places, np.arange(len(places) + 1)), shape=(len(places), width))


def _resampled(sums: csr_array, random: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """Yield the column sums of resamples of the rows, some at a time: (b, columns)."""
    images = sums.shape[0]
    transposed = csr_array(sums.T)
    step = max(1, min(RESAMPLES, AT_ONCE // images))
    for start in range(0, RESAMPLES, step):
        count = min(step, RESAMPLES - start)
        drawn = random.integers(0, images, size=(count, images)) + images * np.arange(count)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=count * images).reshape(count, images)
        yield (transposed @ weights.T.astype(np.float64)).T


def _figures(totals: NDArray[np.float64], classes: int) -> dict[str, NDArray[np.float64]]:
    """Return the figures (b,) from column sums (b, columns) of `_sums_of_images`."""
    count, top, nll, brier = totals[:, :4].T
    support, predicted, hits, gaps = np.split(totals[:, 4:], [classes, 2 * classes, 3 * classes], axis=1)
    counts = Counts(support, predicted, hits)
    figures = {name: row.of_counts(counts) for name, row in SCORES.items() if row.of_counts is not None}
    figures |= {"nll": nll / count, "ece": np.abs(gaps).sum(axis=1) / count, "brier": brier / count}
    return figures if classes < 2 * TOP else figures | {"top5_accuracy": top / count}
