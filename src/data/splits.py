"""Which image is for training, which for validation, which for the test: seeded, stratified by class, disjoint."""

from collections.abc import Mapping, Sequence

import numpy as np

from src.errors import InputError

SPLITS = ("train", "val", "test")

# What a draw is for. Two draws with one seed must not be the same draw.
TEST_DRAW, VAL_DRAW, SUBSET_DRAW, SAMPLE_DRAW = range(4)


def split_dataset(
    targets: np.ndarray,
    published: Mapping[str, np.ndarray],
    class_names: Sequence[str],
    *,
    val_fraction: float,
    test_fraction: float,
    seed: int,
) -> dict[str, np.ndarray]:
    """Sorted indices into `targets` (N,) for train, val and test.

    A split that is published stays as it is. A missing test split is `test_fraction` of the published train split, a
    missing val split `val_fraction` of what is then left, class by class, at least one of each class in each part.

    Raises:
        InputError: a class has too few images to be in every part.
    """
    train = published["train"]
    missing = [name for name in ("test", "val") if name not in published]
    counts = np.bincount(targets[train], minlength=len(class_names))
    needed = 1 + len(missing)
    few = [f"{name!r} ({count})" for name, count in zip(class_names, counts, strict=True) if count < needed]
    if few:
        raise InputError(
            f"too few readable images in class {', '.join(few)}: {needed} are needed, one for each of "
            f"{', '.join(['train', *missing])}: add images or remove the class."
        )
    parts = dict(published)
    for name in missing:
        fraction, draw = (test_fraction, TEST_DRAW) if name == "test" else (val_fraction, VAL_DRAW)
        keep = 1 if name == "val" or "val" in published else 2
        taken = take_stratified(targets[train], fraction, keep, np.random.default_rng((seed, draw)))
        parts[name], train = train[taken], train[~taken]
    parts["train"] = train
    return {name: np.sort(parts[name]) for name in SPLITS}


def take_stratified(targets: np.ndarray, fraction: float, keep: int, random: np.random.Generator) -> np.ndarray:
    """A mask (N,) of `fraction` of the images, of each class its share; at least one is taken and at least `keep` left.

    Shares are whole by the method of the largest remainder, so that their sum is the fraction of all, rounded.
    """
    classes, sizes = np.unique(targets, return_counts=True)
    counts = np.floor(sizes * fraction).astype(np.int64)
    missing = round(len(targets) * fraction) - counts.sum()
    counts[np.argsort(counts - sizes * fraction, kind="stable")[:missing]] += 1
    taken = np.zeros(len(targets), dtype=bool)
    for target, count in zip(classes, np.clip(counts, 1, sizes - keep), strict=True):
        taken[random.permutation(np.flatnonzero(targets == target))[:count]] = True
    return taken


def stratified_subset(targets: np.ndarray, limit: int, seed: int) -> np.ndarray:
    """Sorted indices of at most `limit` images, the classes in the proportions of `targets` (N,)."""
    random = np.random.default_rng((seed, SUBSET_DRAW))
    ranks = class_ranks(targets, random)
    # image r of n in its class stands at (r + u) / n: the first k of all have each class's share of k, within one
    offsets = random.random(int(targets.max(initial=-1)) + 1)
    positions = (ranks + offsets[targets]) / np.bincount(targets)[targets]
    return np.sort(np.argsort(positions, kind="stable")[:limit])


def round_robin(targets: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Indices of at most `count` images, the classes in turn, as even as the numbers allow."""
    random = np.random.default_rng((seed, SAMPLE_DRAW))
    ranks = class_ranks(targets, random)
    turn = random.permutation(int(targets.max(initial=-1)) + 1)
    return np.lexsort((turn[targets], ranks))[:count]


def class_ranks(targets: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """For each image its place (from 0) in a random order of its class's images."""
    ranks = np.empty(len(targets), dtype=np.int64)
    for target in np.unique(targets):
        members = np.flatnonzero(targets == target)
        ranks[members] = random.permutation(len(members))
    return ranks
