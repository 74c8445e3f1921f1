"""Which images of a data set are the same picture: exactly, or resized, recompressed or slightly changed.

Copies of the whole picture are found; of small images (`SMALL_SIDE`) only those that are almost equal. Crops, mirrored
and rotated images are not: to a network they are images of their own.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..data.processes import cpu_count, file_progress
from .signatures import Signature


class Rule(NamedTuple):
    """When two images are near duplicates.

    Attributes:
        bits: how many of the 64 of their perceptual hashes may differ. This only narrows the search.
        side: pixels of the thumbnails that are compared, averaged from those of the signatures.
        correlation: least correlation of the thumbnails, over all pixels and channels.
        difference: largest root-mean-square difference of the thumbnails, in grey levels of 255.
    """

    bits: int
    side: int
    correlation: float
    difference: float


# At 16 pixels, which leaves out most of the noise of compression, no two of 3,000 of Tiny ImageNet reach 0.76, and of
# 3,000 cats and dogs one pair is above 0.71, a true one. All of CIFAR-10 has 188 groups; the 60 weakest are true. Of 30
# cats' own copies whose shorter side has 28 pixels, in quality 50, all are found, of 30 of Tiny ImageNet's 26.
PHOTOGRAPH = Rule(bits=8, side=16, correlation=0.97, difference=32)
# Small drawings are alike without being copies: 804 of 1.6 million pairs of the 8×8 digits are above 0.95, and of
# MNIST's 70,000 images no two reach 0.995.
SMALL = Rule(bits=4, side=32, correlation=0.995, difference=16)
SMALL_SIDE = 32  # pixels: of a pair by `SMALL`, the shorter side of both has fewer
# Grey levels. In thumbnails with a smaller standard deviation, all black or white, the pattern is noise of compression:
# such images are duplicates only when they are equal.
LEAST_CONTRAST = 4.0

CHUNKS = 12
"""Parts of a hash. Of two that differ in 8 bits or fewer, at least four parts are equal; see `close_pairs`."""
PAIRS = 4096  # pairs of thumbnails compared at a time, in each thread: 100 MB


def find_duplicates(signatures: Sequence[Signature]) -> list[np.ndarray]:
    """Return groups of two or more images, as sorted indices, ordered by the first image; no image is in two groups.

    A group holds what pairs link together, so that its ends may differ by more than the rule allows.
    """
    digests = np.array([signature.digest for signature in signatures], dtype="V16")
    _, first, same = np.unique(digests, return_index=True, return_inverse=True)
    near = near_pairs([signatures[i] for i in first])  # one image of each exact group: a thousand copies are no pairs
    links = coo_array((np.ones(len(near), dtype=bool), (near[:, 0], near[:, 1])), shape=(len(first), len(first)))
    _, components = connected_components(links, directed=False)
    labels = components[same]
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order])) + 1
    groups = [group for group in np.split(order, starts) if len(group) > 1]
    return sorted(groups, key=lambda group: int(group[0]))


def find_copies(ours: Sequence[Signature], theirs: Sequence[Signature]) -> tuple[np.ndarray, np.ndarray]:
    """Return for each of `theirs` which of `ours` it is a copy of, −1 for none, and whether exactly: both (n,)."""
    known: dict[bytes, int] = {}
    for i, signature in enumerate(ours):
        known.setdefault(signature.digest, i)
    originals = np.array([known.get(signature.digest, -1) for signature in theirs], dtype=np.int64)
    exact = originals >= 0
    distinct, others = list(known.values()), np.flatnonzero(~exact).tolist()
    # Those of one side are compared with each other too: half the pairs, and no second search.
    for left, right in near_pairs([*(ours[i] for i in distinct), *(theirs[i] for i in others)]):
        if left < len(distinct) <= right and originals[others[right - len(distinct)]] < 0:
            originals[others[right - len(distinct)]] = distinct[left]
    return originals, exact


def near_pairs(signatures: Sequence[Signature]) -> np.ndarray:
    """Return the pairs of near duplicates, int64 (n, 2), sorted."""
    textured = [i for i, signature in enumerate(signatures) if signature.contrast >= LEAST_CONTRAST]
    if len(textured) < 2:
        return np.empty((0, 2), dtype=np.int64)
    chosen = [signatures[i] for i in textured]
    hashes = np.array([signature.phash for signature in chosen], dtype=np.uint64)
    small = np.array([min(signature.width, signature.height) < SMALL_SIDE for signature in chosen])
    found = [alike(pairs, hashes, chosen, small) for pairs in close_pairs(hashes)]
    pairs = np.concatenate([np.empty((0, 2), dtype=np.int64), *found])
    ordered: np.ndarray = np.array(textured)[pairs[np.lexsort(pairs.T[::-1])]]
    return ordered


def close_pairs(hashes: np.ndarray, bits: int = PHOTOGRAPH.bits) -> Iterator[np.ndarray]:
    """Yield all pairs, int64 (n, 2), of hashes uint64 (N,) that differ in at most `bits` bits, each pair once.

    Multi-index hashing (Norouzi et al. 2012, https://doi.org/10.1109/CVPR.2012.6248043): cut into 12 parts, two hashes
    that differ in 8 bits share 4 parts. For each choice of 4 parts the hashes are sorted by them, and only those with
    the same ones are compared. A pair belongs to the first choice among the parts that it shares.
    """
    edges = np.linspace(0, 64, CHUNKS + 1).round().astype(int)
    masks = [np.uint64(((1 << int(stop - start)) - 1) << int(start)) for start, stop in pairwise(edges)]
    shared = list(combinations(range(CHUNKS), CHUNKS - bits))
    numbers = {choice: number for number, choice in enumerate(shared)}
    first = np.full(1 << CHUNKS, -1)  # by the set of shared parts: which choice it belongs to
    for parts in range(1 << CHUNKS):
        held = tuple(part for part in range(CHUNKS) if parts >> part & 1)
        if len(held) >= CHUNKS - bits:
            first[parts] = numbers[held[: CHUNKS - bits]]

    def matching(number: int) -> np.ndarray:
        mask = np.bitwise_or.reduce([masks[part] for part in shared[number]])
        order = np.argsort(hashes & mask)
        ordered = hashes[order]
        keys = ordered & mask
        found = []
        at, step = np.flatnonzero(keys[:-1] == keys[1:]), 1
        while len(at):
            differing = ordered[at] ^ ordered[at + step]
            close = np.bitwise_count(differing) <= bits
            parts = sum(((differing[close] & one) == 0).astype(int) << part for part, one in enumerate(masks))
            own = at[close][first[parts] == number]
            found.append(np.stack([order[own], order[own + step]], axis=1))
            step += 1
            at = at[at + step < len(keys)]
            at = at[keys[at] == keys[at + step]]
        return np.sort(np.concatenate(found), axis=1) if found else np.empty((0, 2), dtype=np.int64)

    with ThreadPoolExecutor(cpu_count()) as pool, file_progress("Comparing images", len(shared)) as advance:
        for number, pairs in enumerate(pool.map(matching, range(len(shared)))):
            yield pairs
            advance(number + 1)


def alike(pairs: np.ndarray, hashes: np.ndarray, chosen: Sequence[Signature], small: np.ndarray) -> np.ndarray:
    """Return those of the `pairs` (n, 2) of images with close hashes that are near duplicates by their rule."""
    strict = small[pairs].all(axis=1)
    kept = ~strict | (np.bitwise_count(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]) <= SMALL.bits)
    pairs, strict = pairs[kept], strict[kept]
    found = [pairs[:0]]
    for rule, some in ((SMALL, pairs[strict]), (PHOTOGRAPH, pairs[~strict])):
        for start in range(0, len(some), PAIRS):
            part = some[start : start + PAIRS]
            left, right = (np.stack([chosen[i].thumbnail for i in one]) for one in part.T)
            found.append(part[look_alike(left, right, rule)])
    return np.concatenate(found)


def look_alike(left: np.ndarray, right: np.ndarray, rule: Rule) -> np.ndarray:
    """Return a mask (n,) of which thumbnails uint8 (n, S, S, 3) are near duplicates, each of the other at its place."""
    step = left.shape[1] // rule.side
    shape = (len(left), rule.side, step, rule.side, step, 3)
    left, right = (
        one.reshape(shape).mean(axis=(2, 4), dtype=np.float32).reshape(len(one), -1) for one in (left, right)
    )
    difference = np.sqrt(np.square(left - right).mean(axis=1))
    left -= left.mean(axis=1, keepdims=True)
    right -= right.mean(axis=1, keepdims=True)
    spread = left.std(axis=1) * right.std(axis=1)  # 0 where fine noise has been averaged away
    mask: np.ndarray = ((left * right).mean(axis=1) >= rule.correlation * np.maximum(spread, 1e-6)) & (
        difference <= rule.difference
    )
    return mask
