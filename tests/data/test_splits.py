from itertools import pairwise

import numpy as np
import pytest

from src.data.splits import long_tail, round_robin, split_dataset, stratified_subset, thin_out
from src.errors import InputError

NAMES = ["ant", "bee", "cat"]
TARGETS = np.repeat([0, 1, 2], [100, 50, 31])


def split(targets=TARGETS, published=None, seed=0, **fractions):
    published = published or {"train": np.arange(len(targets))}
    settings = {"val_fraction": 0.1, "test_fraction": 0.1, **fractions}
    return split_dataset(targets, published, NAMES, seed=seed, **settings)


def test_parts_are_disjoint_complete_and_stratified():
    parts = split()
    assert sorted(np.concatenate(list(parts.values()))) == list(range(181))
    assert np.bincount(TARGETS[parts["test"]]).tolist() == [10, 5, 3]
    assert np.bincount(TARGETS[parts["val"]]).tolist() == [9, 4, 3]  # 10 % of what is left: 16 of 163


def test_seeded_and_deaf_to_the_global_generator():
    first = split()
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    again = split()
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert np.array_equal(np.random.get_state()[1], state)
    assert not np.array_equal(first["val"], split(seed=1)["val"])


def test_what_is_published_stays():
    published = {"train": np.arange(0, 181, 2), "test": np.arange(1, 181, 2)}
    parts = split(published=published)
    np.testing.assert_array_equal(parts["test"], published["test"])
    assert set(parts["train"]) | set(parts["val"]) == set(published["train"])
    published["val"] = published.pop("test")
    parts = split(published=published)
    np.testing.assert_array_equal(parts["val"], published["val"])
    assert set(parts["train"]) | set(parts["test"]) == set(published["train"])


def test_three_images_a_class_are_enough_and_two_are_not():
    parts = split(np.repeat([0, 1, 2], 3))
    assert all(np.bincount(np.repeat([0, 1, 2], 3)[part]).tolist() == [1, 1, 1] for part in parts.values())
    big = split(np.repeat([0, 1, 2], 3), val_fraction=0.99, test_fraction=0.99)
    assert [len(part) for part in big.values()] == [3, 3, 3]
    with pytest.raises(InputError, match=r"'bee' \(2\), 'cat' \(0\): 3 are needed"):
        split(np.repeat([0, 1], [9, 2]))


def test_subset_keeps_the_proportions():
    chosen = stratified_subset(TARGETS, 36, seed=0)
    assert len(np.unique(chosen)) == 36
    assert np.abs(np.bincount(TARGETS[chosen]) - np.array([100, 50, 31]) * 36 / 181).max() <= 1
    np.testing.assert_array_equal(chosen, stratified_subset(TARGETS, 36, seed=0))
    assert not np.array_equal(chosen, stratified_subset(TARGETS, 36, seed=1))


def test_round_robin_takes_the_classes_in_turn():
    chosen = round_robin(TARGETS, 8, seed=0)
    assert sorted(np.bincount(TARGETS[chosen])) == [2, 3, 3]
    assert len(set(TARGETS[chosen[:3]])) == len(set(TARGETS[chosen[3:6]])) == 3
    assert sorted(round_robin(TARGETS, 1000, seed=0)) == list(range(181))


def thin(targets=TARGETS, imbalance=1.0, fraction=1.0, max_images=None, seed=0) -> np.ndarray:
    train = np.arange(0, 2 * len(targets), 2)  # every second image is for training
    everything = np.repeat(targets, 2)
    return thin_out(train, everything, imbalance=imbalance, fraction=fraction, max_images=max_images, seed=seed)


def test_less_training_data_is_stratified_and_nested():
    np.testing.assert_array_equal(thin(), np.arange(0, 362, 2))
    chosen = [thin(fraction=fraction) for fraction in (0.001, 0.1, 0.3, 0.9, 1.0)]
    assert [len(indices) for indices in chosen] == [3, 18, 54, 163, 181]
    for fewer, more in pairwise(chosen):
        assert set(fewer) < set(more)
    for fraction, indices in zip((0.1, 0.3, 0.9), chosen[1:], strict=False):
        counts = np.bincount(TARGETS[indices // 2])
        assert np.abs(counts - fraction * np.array([100, 50, 31])).max() <= 1
    assert not np.array_equal(chosen[1], thin(fraction=0.1, seed=1))
    assert (
        set(thin(max_images=7)) < set(chosen[1]) == set(thin(max_images=18)) == set(thin(fraction=0.3, max_images=18))
    )


def test_the_smallest_class_keeps_an_image():
    targets = np.repeat([0, 1, 2], [500, 1, 2])
    for options in ({"fraction": 0.001}, {"fraction": 0.01}, {"max_images": 3}, {"max_images": 30}):
        assert set(targets[thin(targets, **options) // 2]) == {0, 1, 2}
    with pytest.raises(InputError, match=r"^data\.max_images=2 is too few for 3 classes: give at least 3\.$"):
        thin(targets, max_images=2)


def test_a_lopsided_set_by_hand():
    even = np.repeat(np.arange(5), 100)
    # 100 · 16^(-c/4) = 100 · 2^-c, from 96 = 6 · 16
    assert np.bincount(even[long_tail(even, 16, seed=0)]).tolist() == [96, 48, 24, 12, 6]
    assert np.bincount(even[long_tail(even, 10_000, seed=0)]).tolist() == [100, 10, 1, 1, 1]
    uneven = np.repeat([0, 1, 2], [10, 300, 80])
    assert np.bincount(uneven[long_tail(uneven, 9, seed=0)]).tolist() == [10, 99, 33]  # 297, 99, 33, and 10 there are
    assert long_tail(uneven, 1, seed=0).all()
    assert (long_tail(even, 16, seed=0) <= long_tail(even, 4, seed=0)).all()
    assert not np.array_equal(long_tail(even, 16, seed=0), long_tail(even, 16, seed=1))


def test_lopsided_first_then_less():
    even = np.repeat(np.arange(5), 100)
    counts = np.bincount(even[thin(even, imbalance=16, fraction=0.5) // 2])
    assert np.abs(counts - np.array([48, 24, 12, 6, 3])).max() <= 1


def test_folds_are_disjoint_stratified_and_together_everything():
    parts = [split(folds=5, fold=fold) for fold in range(5)]
    assert sorted(np.concatenate([part["test"] for part in parts])) == list(range(181))
    for part in parts:
        assert sorted(np.concatenate(list(part.values()))) == list(range(181))
        assert np.bincount(TARGETS[part["test"]])[:2].tolist() == [20, 10]
        assert np.bincount(TARGETS[part["test"]])[2] in (6, 7)
    assert not np.array_equal(parts[0]["test"], split(folds=5, fold=0, seed=1)["test"])
    assert all(np.array_equal(parts[3][name], split(folds=5, fold=3)[name]) for name in parts[3])


def test_a_published_test_split_stays_out_of_the_cross_validation():
    published = {"train": np.arange(0, 181, 2), "test": np.arange(1, 181, 2)}
    parts = [split(published=published, folds=3, fold=fold) for fold in range(3)]
    assert sorted(np.concatenate([part["test"] for part in parts])) == list(published["train"])
    for part in parts:
        assert not set(np.concatenate(list(part.values()))) & set(published["test"])


def test_more_folds_than_images_of_a_class_are_refused():
    with pytest.raises(InputError, match="data.folds=32, but class 'cat' has 31 images: take fewer folds"):
        split(folds=32, fold=0)
