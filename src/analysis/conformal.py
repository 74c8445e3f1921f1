"""Conformal prediction: sets of classes that hold the true one as often as asked, from images with known classes.

The score of a class is that of adaptive prediction sets (https://arxiv.org/abs/2006.02544, section 2) without its
random part: the probability of all likelier classes together. That of the likeliest is 0, so that no set is empty.
"""

import math

import numpy as np
from numpy.typing import NDArray


def class_scores(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return of each class the sum of the probabilities of the likelier ones, (N, K), of `shares` (N, K)."""
    order = np.argsort(-shares, axis=1, kind="stable")
    ranked = np.take_along_axis(shares, order, axis=1)
    before = np.zeros_like(ranked)
    np.cumsum(ranked[:, :-1], axis=1, out=before[:, 1:])
    scores = np.empty_like(before)
    np.put_along_axis(scores, order, before, axis=1)
    return scores


def fewest_images(coverage: float) -> int:
    """Return from how many images on sets can have this coverage: of fewer, all classes would be in every set."""
    return math.ceil(round(coverage / (1 - coverage), 9))


def score_limit(shares: NDArray[np.float64], targets: NDArray[np.int64], coverage: float) -> float:
    """Return the score up to which classes belong to a set: the ⌈(n + 1) · coverage⌉-th smallest of the true classes.

    Of another image like these n = N, the set holds the true class with at least this probability, whatever the network
    is worth (https://arxiv.org/abs/2107.07511, theorem 1).

    Args:
        shares: (N, K), N at least `fewest_images(coverage)`; `targets` (N,).
    """
    own = np.sort(class_scores(shares)[np.arange(len(targets)), targets])
    return float(own[_rank(len(own), coverage) - 1])


def prediction_sets(shares: NDArray[np.float64], limit: float) -> NDArray[np.bool_]:
    """Return which classes belong to the set of each image, (N, K); the likeliest always does."""
    return class_scores(shares) <= limit


def likely_coverage(images: int, coverage: float) -> tuple[float, float]:
    """Return the ends of the 95 % interval of the share of further images whose set holds the true class.

    It hangs on which `images` the limit was chosen by, as Beta(k, n + 1 - k) (https://arxiv.org/abs/1209.2673); where
    classes are right without any limit, the share is larger.
    """
    from scipy.stats import beta

    rank = _rank(images, coverage)
    low, high = beta.ppf([0.025, 0.975], rank, images + 1 - rank)
    return float(low), float(high)


def _rank(images: int, coverage: float) -> int:
    return math.ceil(round((images + 1) * coverage, 9))  # 0.9 · 10 is 9, and not a little more
