import numpy as np
import pytest

from src.data.splits import round_robin, split_dataset, stratified_subset
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
