"""How unlike the images that a network was validated on an image is, and how often that happens among those.

Distances are those of deep nearest neighbours (https://arxiv.org/abs/2204.06507), p-values conformal
(https://arxiv.org/abs/2104.08279, section 2): of images like the validation images, p is at most α for a share of α.
"""

import math

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 10
"""Whose distance counts: the tenth nearest."""

BLOCK = 1 << 24
"""Distances computed at a time: 64 MB."""


def neighbour_distances(bank: NDArray[np.floating], features: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the distance of each row (M,) of `features` (M, F) to its tenth nearest in `bank` (N, F), in [0, 2].

    Features are compared by their directions.
    """
    known, new = _directions(bank), _directions(features)
    place = min(NEIGHBOURS, len(bank)) - 1
    found = [np.empty(0, np.float32)]
    for rows in np.array_split(new, max(1, math.ceil(len(new) * len(known) / BLOCK))):
        squares = np.maximum(2 - 2 * rows @ known.T, 0)
        found.append(np.sqrt(np.partition(squares, place, axis=1)[:, place]))
    return np.concatenate(found)


def p_values(known: NDArray[np.floating], scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return (1 + how many of `known` (N,) are at least as large) / (N + 1) for each of `scores` (M,)."""
    below = np.searchsorted(np.sort(known), scores, side="left")
    shares: NDArray[np.float64] = (1 + len(known) - below) / (len(known) + 1)
    return shares


def fewest_known(share: float) -> int:
    """Return of how many known images p can be as small as `share`."""
    return math.ceil(round(1 / share, 9)) - 1


def _directions(features: NDArray[np.floating]) -> NDArray[np.float32]:
    values = features.astype(np.float32)
    directions: NDArray[np.float32] = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    return directions
