import time
import warnings
from itertools import combinations

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from src.data.groups import across, match_groups, take_groups
from src.data.splits import split_dataset
from src.errors import InputError


def random_table(seed: int, most: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Targets (N,) and groups (N,) of up to 7 classes and `most` groups, whose sizes and mixtures differ widely."""
    random = np.random.default_rng(seed)
    classes, number = random.integers(2, 8), random.integers(6, most)
    shares = random.dirichlet(np.full(classes, random.uniform(0.5, 5)))
    sizes = random.geometric(1 / random.uniform(1.5, 12), number)
    purity = random.choice([0.3, 1, 5])
    targets = [random.choice(classes, size, p=random.dirichlet(shares * purity * classes + 1e-3)) for size in sizes]
    groups = np.repeat(np.arange(number), sizes)
    shuffled = random.permutation(len(groups))
    return np.unique(np.concatenate(targets), return_inverse=True)[1][shuffled], groups[shuffled]


def divide(targets: np.ndarray, groups: np.ndarray, **settings) -> dict[str, np.ndarray]:
    names = [f"class {i}" for i in range(targets.max() + 1)]
    chosen = {"val_fraction": 0.1, "test_fraction": 0.2, "seed": 0, **settings}
    return split_dataset(
        targets, {"train": np.arange(len(targets))}, names, groups=[f"p{group}" for group in groups], **chosen
    )


def test_no_group_is_on_two_sides_in_a_thousand_tables():
    divided = 0
    for seed in range(1000):
        targets, groups = random_table(seed, most=15)
        try:
            parts = divide(targets, groups, seed=seed)
        except InputError:  # each group has all images of some class
            continue
        divided += 1
        assert sorted(np.concatenate(list(parts.values()))) == list(range(len(targets)))
        assert all(len(part) for part in parts.values())
        for one, other in combinations(parts, 2):
            assert not set(groups[parts[one]]) & set(groups[parts[other]])
        assert set(targets[parts["train"]]) == set(targets)
    assert divided >= 900


def imbalance(targets: np.ndarray, chosen: np.ndarray) -> float:
    """The largest difference between a class's share of the chosen images and of all."""
    counts, some = np.bincount(targets), np.bincount(targets[chosen], minlength=targets.max() + 1)
    return float(np.abs(counts / counts.sum() - some / some.sum()).max())


def test_label_shares_are_as_even_as_those_of_scikit_learn():
    ours, theirs, sizes = [], [], []
    for seed in range(100):
        targets, groups = random_table(seed)
        if np.bincount(targets).max() < 5 or len(set(targets)) < 2:
            continue
        taken = take_groups(targets, groups, 0.2, 1, np.random.default_rng(seed))
        ours.append(imbalance(targets, taken))
        sizes.append(abs(taken.mean() - 0.2))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a class has fewer images than folds
            folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(targets, targets, groups)
            theirs.append(np.mean([imbalance(targets, test) for _, test in folds]))
    assert np.mean(ours) < 0.75 * np.mean(theirs)
    assert np.percentile(ours, 95) < np.percentile(theirs, 95)
    assert np.mean(sizes) < 0.02


def test_folds_keep_groups_together_and_use_each_image_once():
    targets, groups = np.tile([0, 1, 2], 40), np.repeat(np.arange(30), 4)
    tests = []
    for fold in range(5):
        parts = divide(targets, groups, folds=5, fold=fold)
        tests.append(parts["test"])
        for one, other in combinations(parts, 2):
            assert not set(groups[parts[one]]) & set(groups[parts[other]])
    assert sorted(np.concatenate(tests)) == list(range(120))
    with pytest.raises(InputError, match="data.folds=31, but there are 30 groups only"):
        divide(targets, groups, folds=31, fold=0)


def test_seeded():
    targets, groups = random_table(3)
    first, again, other = (divide(targets, groups, seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(first[split], again[split]) for split in first)
    assert not np.array_equal(first["test"], other["test"])


def test_a_class_of_one_group_stays_in_train_and_one_of_two_is_in_the_test():
    targets = np.array([0, 1] * 20 + [2] * 4 + [3] * 4)
    groups = np.array(np.repeat(np.arange(10), 4).tolist() + [10] * 4 + [11] * 2 + [12] * 2)
    parts = divide(targets, groups)
    assert [split for split in parts if 2 in targets[parts[split]]] == ["train"]
    assert [split for split in parts if 3 in targets[parts[split]]] == ["train", "test"]


def test_groups_that_can_not_be_divided():
    with pytest.raises(InputError, match="2 groups can't be divided into train, test, val"):
        divide(np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]))
    with pytest.raises(InputError, match="each has all images of some class"):
        divide(np.repeat([0, 1, 2], 5), np.repeat([0, 1, 2], 5))


@pytest.mark.parametrize("targets", [np.tile([0, 1], 30), np.repeat([0, 1], 30)], ids=["mixed", "pure"])
def test_groups_that_are_too_large_give_one_to_each_part(targets):
    groups = np.tile([0, 1, 2], 20) if targets[1] else np.concatenate([np.tile([0, 1, 2], 10), np.tile([3, 4, 5], 10)])
    parts = divide(targets, groups, test_fraction=0.01, val_fraction=0.01)
    assert all(len(part) for part in parts.values())


def test_a_pattern_makes_groups():
    paths = ["cat/patient_1/a.jpg", "dog/patient_12/a.jpg", "dog/patient_1/b.jpg"]
    assert match_groups(r"patient_(\d+)", paths) == ["1", "12", "1"]
    assert match_groups(r"patient_\d+", paths) == ["patient_1", "patient_12", "patient_1"]
    assert match_groups(r"(cat|dog)/patient_(\d)", paths) == ["cat|1", "dog|1", "dog|1"]
    with pytest.raises(InputError, match=r"data\.group=_\(\\d\)\$ is a pattern that 3 of 3 paths don't fit, such as"):
        match_groups(r"_(\d)$", paths)
    with pytest.raises(InputError, match="no regular expression"):
        match_groups("patient_(", paths)
    with pytest.raises(InputError, match="too long"):
        match_groups("a" * 1000, paths)


@pytest.mark.parametrize("pattern", ["(a+)+$", r"(\w+\s?)*!", "(a|aa)+$", "((a*)*)*b"])
def test_a_pattern_that_would_never_end_gets_a_line(monkeypatch: pytest.MonkeyPatch, pattern: str):
    monkeypatch.setattr("src.data.groups.SECONDS", 1)
    began = time.monotonic()
    with pytest.raises(InputError, match=r"^data\.group=.* is a pattern that takes over 1 s on 2 paths: write one"):
        match_groups(pattern, ["aa.png", "a" * 60 + "/.png"])
    assert time.monotonic() - began < 20


def test_any_path_passes_through_a_pattern():
    paths = ["é/1\udcff.png", "a b/2\n.png", "日本/3.png"]
    assert match_groups("^[^/]+", paths) == ["é", "a b", "日本"]
    assert match_groups(r"(?s)(\d)(x)?(.)", paths) == ["1||\udcff", "2||\n", "3||."]


def test_groups_across_given_splits():
    splits = {"train": np.array([0, 1]), "val": np.array([2]), "test": np.array([3])}
    assert across(["b", "a", "a", "c"], splits) == {"a": ["train", "val"]}
