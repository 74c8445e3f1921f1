"""Division of images with any number of labels, so that each part has its share of every label.

Sechidis, Tsoumakas & Vlahavas 2011, https://doi.org/10.1007/978-3-642-23808-6_10, algorithm 1: the label that is left
with the fewest images comes first, and each of its images goes to the part that still wants most of this label, then
most images at all. Here a unit is a group of images that stay together; without groups, one image.
"""

from collections.abc import Sequence

import numpy as np


def divide(
    positive: np.ndarray, shares: Sequence[float], random: np.random.Generator, groups: np.ndarray | None = None
) -> np.ndarray:
    """Return the part of each image, int64 (N,), an index into `shares`.

    Args:
        positive: bool (N, K), which labels each image has; one without any goes where images are wanted.
        shares: of the images that each part is to have; they add up to 1.
        groups: (N,), what stays together; None: nothing does.
    """
    images = len(positive)
    members = np.arange(images) if groups is None else np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(members)
    counts = positive.astype(np.int64) if groups is None else _added_up(positive, members, len(sizes))
    part = _assign(counts, sizes, np.asarray(shares, dtype=np.float64), random)
    return part[members]


def _added_up(positive: np.ndarray, members: np.ndarray, units: int) -> np.ndarray:
    counts = np.zeros((units, positive.shape[1]), dtype=np.int64)
    np.add.at(counts, members, positive)
    return counts


def _assign(counts: np.ndarray, sizes: np.ndarray, shares: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the part of each unit (G,), from its images of each label (G, K) and its images in all (G,)."""
    part = np.full(len(sizes), -1, dtype=np.int64)
    wanted = shares[:, None] * counts.sum(axis=0)  # (S, K)
    room = shares * sizes.sum()
    left = counts.sum(axis=0)
    shuffled = random.permutation(len(sizes))
    while (left > 0).any():
        label = int(np.where(left > 0, left, np.iinfo(np.int64).max).argmin())
        units = shuffled[(part[shuffled] < 0) & (counts[shuffled, label] > 0)]
        for unit in units[
            np.argsort(-counts[units, label], kind="stable")
        ]:  # the largest first: small ones even it out
            chosen = part[unit] = _most_wanting(wanted[:, label], room, random)
            wanted[chosen] -= counts[unit]
            room[chosen] -= sizes[unit]
            left -= counts[unit]
    for unit in shuffled[part[shuffled] < 0]:
        chosen = part[unit] = _most_wanting(room, room, random)
        room[chosen] -= sizes[unit]
    return part


def _most_wanting(wanted: np.ndarray, room: np.ndarray, random: np.random.Generator) -> int:
    """Return the part that wants most; of several the one with most room, of these one by chance."""
    best = np.flatnonzero(wanted >= wanted.max() - 1e-9)
    if len(best) > 1:
        best = best[room[best] >= room[best].max() - 1e-9]
    return int(best[0] if len(best) == 1 else random.choice(best))
