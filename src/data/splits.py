"""Which images are for training, validation and test: seeded, stratified by class, disjoint."""

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import InputError
from .groups import fold_groups, take_groups

SPLITS = ("train", "val", "test")

# What a draw is for. Two draws with one seed must not be the same draw.
TEST_DRAW, VAL_DRAW, SUBSET_DRAW, SAMPLE_DRAW, IMBALANCE_DRAW, FRACTION_DRAW, LABEL_DRAW = range(7)


def split_dataset(
    targets: np.ndarray,
    published: Mapping[str, np.ndarray],
    class_names: Sequence[str],
    *,
    val_fraction: float,
    test_fraction: float,
    seed: int,
    folds: int | None = None,
    fold: int | None = None,
    groups: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
    """Return sorted indices into `targets` (N,) for train, val and test.

    A published split stays as it is. A missing test split is `test_fraction` of the published train split, a missing
    val split `val_fraction` of the rest, class by class, with at least one of each class in each part.

    With `folds` the test split is part `fold` of that many equal parts of the train split, always the same for a seed;
    a published test split then stays unused, for a final measurement.

    With `groups` (N,) no group is in two of the parts that are made here. A part then lacks a class that is in too few
    groups; train never does.

    Raises:
        InputError: a class has too few images to be in every part, or there are too few groups.
    """
    codes = None if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    if folds is not None and fold is not None:
        published = cross_validation(targets, published, class_names, folds=folds, fold=fold, seed=seed, groups=codes)
    train = published["train"]
    missing = [name for name in ("test", "val") if name not in published]
    counts = np.bincount(targets[train], minlength=len(class_names))
    if codes is None:
        check_images(counts, class_names, ["train", *missing])
    else:
        check_groups(codes[train], counts, class_names, ["train", *missing])
    parts = dict(published)
    for name in missing:
        fraction, draw = (test_fraction, TEST_DRAW) if name == "test" else (val_fraction, VAL_DRAW)
        keep = 1 if name == "val" or "val" in published else 2
        random = np.random.default_rng((seed, draw))
        if codes is None:
            taken = take_stratified(targets[train], fraction, keep, random)
        else:
            taken = take_groups(targets[train], codes[train], fraction, keep, random)
        parts[name], train = train[taken], train[~taken]
    parts["train"] = train
    return {name: np.sort(parts[name]) for name in SPLITS}


def cross_validation(
    targets: np.ndarray,
    published: Mapping[str, np.ndarray],
    class_names: Sequence[str],
    *,
    folds: int,
    fold: int,
    seed: int,
    groups: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Return the published splits, with part `fold` of `folds` of their train split as the test split.

    Raises:
        InputError: a class has fewer images than there are folds.
    """
    from sklearn.model_selection import StratifiedKFold  # slow to import, and rarely needed

    train = published["train"]
    counts = np.bincount(targets[train], minlength=len(class_names))
    if counts.min() < folds:
        smallest = class_names[int(counts.argmin())]
        raise InputError(f"data.folds={folds}, but class {smallest!r} has {counts.min()} images: take fewer folds")
    if groups is not None:
        test = fold_groups(targets[train], groups[train], folds, fold, seed)
        return dict(published) | {"train": train[~test], "test": train[test]}
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed).split(train, targets[train])
    rest, test = list(parts)[fold]
    return dict(published) | {"train": train[rest], "test": train[test]}


def check_images(counts: np.ndarray, class_names: Sequence[str], parts: Sequence[str]) -> None:
    """Raise `InputError` where a class has fewer images than there are parts; `counts` (K,)."""
    few = [f"{name!r} ({count})" for name, count in zip(class_names, counts, strict=True) if count < len(parts)]
    if few:
        raise InputError(
            f"too few readable images in class {', '.join(few)}: {len(parts)} are needed, one for each of "
            f"{', '.join(parts)}: add images or remove the class."
        )


def check_groups(groups: np.ndarray, counts: np.ndarray, class_names: Sequence[str], parts: Sequence[str]) -> None:
    """Raise `InputError` where there are fewer groups (N,) than parts, or a class, of `counts` (K,), has no image."""
    number = len(np.unique(groups))
    if number < len(parts):
        raise InputError(
            f"{number} group{'s' * (number != 1)} can't be divided into {', '.join(parts)}: take other groups, or "
            "data.group=none"
        )
    if lacking := [name for name, count in zip(class_names, counts, strict=True) if not count]:
        raise InputError(
            f"no image for training in class {', '.join(map(repr, lacking[:8]))}, whose groups are elsewhere: add "
            "images, remove the class, or say data.group=none"
        )


def take_stratified(targets: np.ndarray, fraction: float, keep: int, random: np.random.Generator) -> np.ndarray:
    """Return a mask (N,) of `fraction` of each class; at least one image is taken and at least `keep` are left.

    Shares are rounded by the largest-remainder method, so that they add up to the fraction of all, rounded.
    """
    classes, sizes = np.unique(targets, return_counts=True)
    counts = np.floor(sizes * fraction).astype(np.int64)
    missing = round(len(targets) * fraction) - counts.sum()
    counts[np.argsort(counts - sizes * fraction, kind="stable")[:missing]] += 1
    taken = np.zeros(len(targets), dtype=bool)
    for target, count in zip(classes, np.clip(counts, 1, sizes - keep), strict=True):
        taken[random.permutation(np.flatnonzero(targets == target))[:count]] = True
    return taken


def thin_out(
    train: np.ndarray, targets: np.ndarray, *, imbalance: float, fraction: float, max_images: int | None, seed: int
) -> np.ndarray:
    """Return those of `train` (n,), indices into `targets` (N,), to train on, sorted.

    First the classes are made unbalanced (see `long_tail`), then cut to `fraction` of what is left and to `max_images`,
    each class keeping its share and at least one image. For one seed, a smaller choice is part of every larger one.

    Raises:
        InputError: `max_images` is below the number of classes.
    """
    train = train[long_tail(targets[train], imbalance, seed)]
    labels = targets[train]
    classes = len(np.unique(labels))
    if max_images is not None and max_images < classes:
        raise InputError(f"data.max_images={max_images} is too few for {classes} classes: give at least {classes}.")
    limit = max(round(fraction * len(train)), classes, 2)  # batch norm cannot train on a single image
    order = stratified_order(labels, np.random.default_rng((seed, FRACTION_DRAW)))
    firsts = np.sort(np.unique(labels[order], return_index=True)[1])  # one of each class comes before all others
    order = np.concatenate([order[firsts], np.delete(order, firsts)])
    return np.sort(train[order[: min(limit, max_images or limit)]])


def long_tail(targets: np.ndarray, ratio: float, seed: int) -> np.ndarray:
    """Return a mask (N,) that leaves class c of K with n·ratio^(-c/(K-1)) images, at least one and at most all.

    The profile of Cui et al. (https://arxiv.org/abs/1901.05555, section 5.1): classes shrink by a constant factor in
    the order of their index. n is the size of the largest, rounded down to a multiple of `ratio` where there is one:
    144 to 7.2 images, rounded, would not be 20 to 1, but 140 to 7 are.
    """
    counts = np.bincount(targets)
    largest = np.floor(counts.max() / ratio + 1e-9) * ratio or counts.max()
    steps = np.arange(len(counts)) / max(len(counts) - 1, 1)
    wanted = np.maximum(np.rint(largest * ratio**-steps), 1)
    kept: np.ndarray = class_ranks(targets, np.random.default_rng((seed, IMBALANCE_DRAW))) < wanted[targets]
    return kept


def permute_labels(targets: np.ndarray, train: np.ndarray, seed: int) -> np.ndarray:
    """Return `targets` (N,) with those of the images `train` (n,) permuted among them (Zhang et al. 2017).

    A control: what is learned then can't come from the classes (https://arxiv.org/abs/1611.03530). Each class keeps its
    number of training images, and all other labels stay true.
    """
    permuted = targets.copy()
    permuted[train] = np.random.default_rng((seed, LABEL_DRAW)).permutation(targets[train])
    return permuted


def stratified_subset(targets: np.ndarray, limit: int, seed: int) -> np.ndarray:
    """Return sorted indices of at most `limit` images, with the classes in the proportions of `targets` (N,)."""
    return np.sort(stratified_order(targets, np.random.default_rng((seed, SUBSET_DRAW)))[:limit])


def stratified_order(targets: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return all indices into `targets` (N,), ordered so that any first k hold each class's share of k, within one."""
    ranks = class_ranks(targets, random)
    # image r of n in its class stands at (r + u) / n
    offsets = random.random(int(targets.max(initial=-1)) + 1)
    positions = (ranks + offsets[targets]) / np.bincount(targets)[targets]
    return np.argsort(positions, kind="stable")


def round_robin(targets: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return indices of at most `count` images, the classes in turn, as even as the numbers allow."""
    random = np.random.default_rng((seed, SAMPLE_DRAW))
    ranks = class_ranks(targets, random)
    turn = random.permutation(int(targets.max(initial=-1)) + 1)
    return np.lexsort((turn[targets], ranks))[:count]


def class_ranks(targets: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return for each image its place (from 0) in a random order of its class's images."""
    ranks = np.empty(len(targets), dtype=np.int64)
    for target in np.unique(targets):
        members = np.flatnonzero(targets == target)
        ranks[members] = random.permutation(len(members))
    return ranks
