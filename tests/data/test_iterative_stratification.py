"""Splits of images with several labels: shares of every label, and groups that stay together."""

from functools import partial

import numpy as np
import pytest

from src.data.iterative_stratification import divide
from src.data.label_kinds import rarest_labels, split_multilabel, thin_out_multilabel
from src.errors import InputError


def labels(images: int, shares: list[float], seed: int = 0) -> np.ndarray:
    """Random bool (N, K), label k with probability shares[k]."""
    return np.random.default_rng(seed).random((images, len(shares))) < shares


def test_parts_have_their_share_of_images_and_of_every_label():
    positive = labels(3_000, [0.5, 0.2, 0.05, 0.01])
    part = divide(positive, [0.8, 0.1, 0.1], np.random.default_rng(1))
    assert np.abs(np.bincount(part) / 3_000 - [0.8, 0.1, 0.1]).max() < 0.01
    for label in range(4):
        mine = np.bincount(part[positive[:, label]], minlength=3)
        wanted = np.array([0.8, 0.1, 0.1]) * positive[:, label].sum()
        assert np.abs(mine - wanted).max() <= max(2.0, 0.05 * wanted.max())


def test_it_is_better_than_chance_for_rare_labels():
    positive = labels(2_000, [0.02] * 8)

    def deviation(part: np.ndarray) -> float:
        shares = np.array([(positive[part == 1, k].sum()) / positive[:, k].sum() for k in range(8)])
        return float(np.abs(shares - 0.1).mean())

    ours = deviation(divide(positive, [0.9, 0.1], np.random.default_rng(0)))
    chance = np.mean([deviation(np.random.default_rng(s).random(2_000) < 0.1) for s in range(20)])
    assert ours < 0.02 < chance


@pytest.mark.parametrize("seed", range(50))
def test_no_group_is_divided(seed):
    random = np.random.default_rng(seed)
    images, classes = int(random.integers(20, 300)), int(random.integers(2, 9))
    targets = (random.random((images, classes)) < random.uniform(0.2, 0.6, classes)).astype(np.float32)
    targets[random.random(targets.shape) < 0.1] = np.nan
    groups = random.integers(0, max(6, images // 4), images)
    splits = split_multilabel(
        targets, {"train": np.arange(images)}, [str(k) for k in range(classes)],
        val_fraction=0.2, test_fraction=0.2, seed=seed, groups=[str(g) for g in groups],
    )  # fmt: skip
    assert sorted(np.concatenate(list(splits.values()))) == list(range(images))
    of = {name: set(groups[indices].tolist()) for name, indices in splits.items()}
    assert sum(map(len, of.values())) == len(set.union(*of.values()))


def test_folds_cover_all_images_once_and_evenly():
    targets = labels(500, [0.3, 0.1, 0.04]).astype(np.float32)
    names, all_of_them = ["a", "b", "c"], {"train": np.arange(500)}
    parts = [
        split_multilabel(targets, all_of_them, names, val_fraction=0.1, test_fraction=0.1, seed=3, folds=5, fold=fold)
        for fold in range(5)
    ]
    assert sorted(np.concatenate([part["test"] for part in parts])) == list(range(500))
    rare = [int(targets[part["test"], 2].sum()) for part in parts]
    assert max(rare) - min(rare) <= 1


def test_a_label_that_train_lacks_is_refused():
    targets = np.zeros((40, 2), dtype=np.float32)
    targets[:20, 0] = 1
    with pytest.raises(InputError, match="no training image has the label 'b'"):
        split_multilabel(targets, {"train": np.arange(40)}, ["a", "b"], val_fraction=0.1, test_fraction=0.1, seed=0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"folds": 13, "fold": 0}, r"^data\.folds=13, but there are 12 groups only: take fewer folds"),
        ({"folds": 12, "fold": 0, "groups": None}, None),
        ({"folds": 49, "fold": 0, "groups": None}, r"^data\.folds=49, but there are 48 images only"),
        (
            {"val_fraction": 0.001},
            "^12 groups are too few for train, val, test: val would have none: take other groups",
        ),
        ({"val_fraction": 0.001, "groups": None}, "^48 images are too few for train, val, test: val .* none: add"),
    ],
)
def test_too_few_of_what_is_divided_are_named(settings: dict, said: str | None):
    targets = labels(48, [0.5, 0.5]).astype(np.float32)
    usual = {"val_fraction": 0.1, "test_fraction": 0.1, "groups": [str(i // 4) for i in range(48)], "seed": 0}
    divide = partial(split_multilabel, targets, {"train": np.arange(48)}, ["a", "b"], **{**usual, **settings})
    if said is None:
        assert len(divide()["test"]) == 4
        return
    with pytest.raises(InputError, match=said):
        divide()


def test_the_rarest_label_stands_in():
    nan = np.nan
    targets = np.array([[1, 1, 0], [1, 0, nan], [0, 0, 0], [1, 0, 1], [1, nan, 0]], dtype=np.float32)
    assert rarest_labels(targets).tolist() == [1, 0, 3, 2, 0]


def test_fewer_images_lie_inside_more():
    targets, train = labels(100, [0.5, 0.5]).astype(np.float32), np.arange(10, 90)
    few, more = (
        thin_out_multilabel(train, targets, imbalance=1.0, fraction=share, max_images=None, seed=1)
        for share in (0.1, 0.5)
    )
    assert len(few) == 8
    assert set(few) <= set(more) <= set(train)
    with pytest.raises(InputError, match="imbalance"):
        thin_out_multilabel(train, targets, imbalance=2.0, fraction=1.0, max_images=None, seed=1)
