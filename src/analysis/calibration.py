"""Whether confidences are honest: reliability, calibration error, proper scores, and the temperature that calibrates.

All of it takes what a network says about N images of K classes: `logits` (N, K), `probabilities` (N, K) whose rows sum
to 1, and the true classes `targets` (N,), int64. Everything is computed in float64.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

BINS = 15
"""Bins of equal width in [0, 1], as in Guo et al. 2017 and torchmetrics."""

HOTTEST = 20.0
"""The temperature is sought between 1 / `HOTTEST` and this; beyond, the images say nothing about it."""


@dataclass(frozen=True, eq=False)
class Reliability:
    """The images in B bins of confidence: how many, their mean confidence and their accuracy, each (B,).

    Mean confidence and accuracy of an empty bin are NaN. A bin includes its lower edge, and the last one also 1.
    """

    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def error(self) -> float:
        """The expected calibration error, Σ_b n_b / N |accuracy_b − confidence_b|, in [0, 1]; 0 is honest.

        Guo et al. 2017, https://arxiv.org/abs/1706.04599, eq. 3. It equals torchmetrics'
        `MulticlassCalibrationError(norm="l1")`, except that torchmetrics gives confidences of exactly 1 their own bin.
        """
        some = self.counts > 0
        gaps = np.abs(self.accuracy[some] - self.confidence[some])
        return float((self.counts[some] * gaps).sum() / self.counts.sum())


def bin_of(confidences: NDArray[np.floating], bins: int = BINS) -> NDArray[np.int64]:
    """Return the bin, from 0, of each confidence (N,)."""
    places: NDArray[np.int64] = np.digitize(confidences, np.linspace(0, 1, bins + 1)[1:-1])
    return places


def reliability(probabilities: NDArray[np.floating], targets: NDArray[np.integer], bins: int = BINS) -> Reliability:
    """Bin the images by the confidence in the predicted class, and count how often it is right."""
    confidences = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == targets
    place = bin_of(confidences, bins)
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        sums = (np.bincount(place, weights=values, minlength=bins) for values in (confidences, correct))
        return Reliability(counts, *(total / counts for total in sums))


def log_losses(
    logits: NDArray[np.floating], targets: NDArray[np.integer], temperature: float = 1.0
) -> NDArray[np.float64]:
    """Return the negative log-likelihood of each image, −log softmax(logits / T)[target], (N,), not clipped."""
    scaled = logits.astype(np.float64) / temperature
    losses: NDArray[np.float64] = logsumexp(scaled, axis=1) - scaled[np.arange(len(targets)), targets]
    return losses


def brier_scores(probabilities: NDArray[np.floating], targets: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return Σ_k (p_k − [k is the target])² of each image, (N,), in [0, 2], as Brier defined it in 1950 for K classes.

    For two classes it is twice scikit-learn's Brier score loss.
    """
    p = probabilities.astype(np.float64)
    scores: NDArray[np.float64] = (p**2).sum(axis=1) - 2 * p[np.arange(len(targets)), targets] + 1
    return scores


@dataclass(frozen=True)
class Temperature:
    """The result of temperature scaling: T, and the mean negative log-likelihood with T = 1 and with T.

    `at_bound`: T is the smallest or largest that was tried; the images would move it further without end.
    """

    value: float
    nll_before: float
    nll_after: float
    at_bound: bool


def fit_temperature(logits: NDArray[np.floating], targets: NDArray[np.integer]) -> Temperature:
    """Find the T in [1 / `HOTTEST`, `HOTTEST`] that minimises the mean negative log-likelihood of softmax(logits / T).

    Guo et al. 2017, https://arxiv.org/abs/1706.04599, section 4.2. The likelihood is convex in β = 1 / T; its slope,
    the mean of E_p[logits] − logits[target], rises with β and is zero at the minimum. Where all images are right the
    minimum is at T → 0, where the network is worse than chance at T → ∞; then T is the bound. Never worse than T = 1.
    """
    from scipy.optimize import brentq  # a quarter of a second of every training to import

    z = logits.astype(np.float64)
    wanted = z[np.arange(len(targets)), targets].mean()

    def slope(cold: float) -> float:
        """Return the slope at β = exp(cold)."""
        return float((softmax(np.exp(cold) * z, axis=1) * z).sum(axis=1).mean() - wanted)

    end = np.log(HOTTEST)
    at_bound = slope(-end) >= 0 or slope(end) <= 0
    cold = (-end if slope(-end) >= 0 else end) if at_bound else float(brentq(slope, -end, end, xtol=1e-12))
    before, after = (float(log_losses(z, targets, t).mean()) for t in (1.0, np.exp(-cold)))
    if after >= before:  # at the minimum already, to the last digit
        return Temperature(1.0, before, before, at_bound=False)
    return Temperature(float(np.exp(-cold)), before, after, at_bound)
