"""What differs between targets of one class and of several labels an image: counting, dividing, thinning out.

`ONE` has targets int64 (N,); `SEVERAL` float32 (N, K), 1 or 0, NaN where nobody knows. `kind_of` chooses; the data
module asks it, and knows nothing of the difference itself.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from .class_balance import balanced_weights
from .iterative_stratification import divide
from .splits import FRACTION_DRAW, SPLITS, TEST_DRAW, VAL_DRAW, check_groups, class_ranks, split_dataset, thin_out


class LabelKind(NamedTuple):
    """Functions of targets.

    Attributes:
        split: as `split_dataset`.
        thin: as `thin_out`.
        weights: the weight (K,) of each class in the loss with which classes of unequal size count alike.
        counts: how many images each of K classes has, (K,).
        stand_ins: int64 (N,), a class for each image, for draws in which classes take turns.
        examples: which images of each of the first classes an audit shows, up to a number, drawn by a seed.
    """

    split: Callable[..., dict[str, np.ndarray]]
    thin: Callable[..., np.ndarray]
    weights: Callable[[np.ndarray, int], list[float]]
    counts: Callable[[np.ndarray, int], np.ndarray]
    stand_ins: Callable[[np.ndarray], np.ndarray]
    examples: Callable[[np.ndarray, int, int, int], list[np.ndarray]]


def kind_of(targets: np.ndarray) -> LabelKind:
    return ONE if targets.ndim == 1 else SEVERAL


def split_multilabel(
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
    """Return sorted indices into `targets` (N, K) for train, val and test, as `split_dataset`, stratified by label.

    A label of few images may be missing in a part that is made here, never in train.

    Raises:
        InputError: there are too few images or groups, or a label has no image to train on.
    """
    codes = None if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    positive, parts = targets == 1, dict(published)
    train = parts["train"]
    if codes is not None:
        check_groups(codes[train], np.empty(0), [], [name for name in SPLITS if name == "train" or name not in parts])

    def take(shares: Sequence[float], draw: int, wanted: int) -> tuple[np.ndarray, np.ndarray]:
        """Return which images become part `wanted`, and which are left for train."""
        random = np.random.default_rng((seed, draw))
        part = divide(positive[train], shares, random, None if codes is None else codes[train])
        return train[part == wanted], train[part != wanted]

    units = f"{len(train):,} images" if codes is None else f"{len(np.unique(codes[train])):,} groups"
    if folds is not None and fold is not None:
        if folds > (len(train) if codes is None else len(np.unique(codes[train]))):
            raise InputError(f"data.folds={folds}, but there are {units} only: take fewer folds")
        parts["test"], train = take([1 / folds] * folds, TEST_DRAW, fold)
    for name, fraction, draw in (("test", test_fraction, TEST_DRAW), ("val", val_fraction, VAL_DRAW)):
        if name not in parts:
            parts[name], train = take([1 - fraction, fraction], draw, 1)
    parts["train"] = train
    if lacking := [name for name in SPLITS if not len(parts[name])]:
        remedy = "add images" if codes is None else "take other groups, or data.group=none"
        raise InputError(f"{units} are too few for {', '.join(SPLITS)}: {lacking[0]} would have none: {remedy}")
    check_labels(targets[train], class_names)
    return {name: np.sort(parts[name]) for name in SPLITS}


def check_labels(targets: np.ndarray, class_names: Sequence[str]) -> None:
    """Raise `InputError` for a label that no training image has."""
    none = count_positives(targets, len(class_names)) == 0
    if none.any():
        names = [name for name, lacks in zip(class_names, none, strict=True) if lacks]
        raise InputError(
            f"no training image has the label {', '.join(map(repr, names[:8]))}: add some, or name the others with "
            "data.label=[…]"
        )


def thin_out_multilabel(
    train: np.ndarray,
    targets: np.ndarray,  # noqa: ARG001  # as `thin_out`
    *,
    imbalance: float,
    fraction: float,
    max_images: int | None,
    seed: int,
) -> np.ndarray:
    """Return some of `train` (n,), sorted, by chance; for one seed, a smaller choice is part of every larger one."""
    if imbalance != 1:
        raise InputError(
            "data.imbalance makes classes unbalanced where an image has one; data.multilabel=true has none"
        )
    limit = max(round(fraction * len(train)), 2)  # batch norm cannot train on a single image
    order = np.random.default_rng((seed, FRACTION_DRAW)).permutation(train)
    return np.sort(order[: min(limit, max_images or limit)])


def positive_weights(targets: np.ndarray, classes: int) -> list[float]:
    """Return the weight (K,) of a label's positive images with which they weigh as much as its negative ones."""
    positives, negatives = count_positives(targets, classes), (targets == 0).sum(axis=0)
    return [float(weight) for weight in np.where(positives, negatives, 1) / np.maximum(positives, 1)]


def count_positives(targets: np.ndarray, classes: int) -> np.ndarray:
    counts: np.ndarray = (targets == 1).sum(axis=0)
    assert len(counts) == classes
    return counts


def rarest_labels(targets: np.ndarray) -> np.ndarray:
    """Return of each image (N,) its label that fewest have, or K where it has none."""
    positive = targets == 1
    ranks = np.where(positive, positive.sum(axis=0), len(targets) + 1)
    labels: np.ndarray = np.where(positive.any(axis=1), ranks.argmin(axis=1), targets.shape[1])
    return labels


def class_examples(targets: np.ndarray, classes: int, number: int, seed: int) -> list[np.ndarray]:
    ranks = class_ranks(targets, np.random.default_rng(seed))
    return [np.flatnonzero((targets == target) & (ranks < number)) for target in range(classes)]


def label_examples(targets: np.ndarray, classes: int, number: int, seed: int) -> list[np.ndarray]:
    order = np.random.default_rng(seed).permutation(len(targets))
    return [np.sort(order[targets[order, label] == 1][:number]) for label in range(classes)]


ONE = LabelKind(
    split_dataset,
    thin_out,
    balanced_weights,
    counts=lambda targets, classes: np.bincount(targets, minlength=classes),
    stand_ins=lambda targets: targets,
    examples=class_examples,
)
SEVERAL = LabelKind(
    split_multilabel, thin_out_multilabel, positive_weights, count_positives, rarest_labels, label_examples
)
