"""What an audit finds of several labels an image, planted beforehand."""

import numpy as np

from src.auditing.label_findings import contradict, find_labels

NAN = np.nan


def planted() -> tuple[np.ndarray, list[str]]:
    """60 images: `puppy` never without `dog`, `day` never with `night`, `rare` twice; some cells are empty."""
    random = np.random.default_rng(4)
    dog, day = random.random(60) < 0.6, random.random(60) < 0.5
    puppy, rare = dog & (random.random(60) < 0.5), np.arange(60) < 2
    targets = np.stack([dog, puppy, day, ~day, rare], axis=1).astype(np.float32)
    targets[50] = 0
    targets[51] = NAN
    targets[52, 0] = targets[53, 0] = NAN
    return targets, ["dog", "puppy", "day", "night", "rare"]


def test_planted_pairs_are_named_and_nothing_else() -> None:
    targets, names = planted()
    labels = find_labels(targets, names)
    assert [(pair.one, pair.other) for pair in labels.always] == [("puppy", "dog")]
    assert [(pair.one, pair.other) for pair in labels.never] == [("day", "night")]
    assert labels.never[0].by_chance == (targets[:, 2] == 1).sum() * (targets[:, 3] == 1).sum() / 59
    assert labels.rare == {"rare": 2}


def test_empty_cells_and_images_without_labels_are_told_apart() -> None:
    labels = find_labels(*planted())
    assert (labels.without, labels.incomplete, labels.blank, labels.cells, labels.images) == (1, 3, 1, 7, 60)


def test_images_that_have_both_are_counted_one_by_one() -> None:
    targets, names = planted()
    together = find_labels(targets, names).as_dict()["together"]
    for i, one in enumerate(names):
        for j, other in enumerate(names):
            both = sum(row[i] == 1 and row[j] == 1 for row in targets)
            assert together[one].get(other, 0) == both
            assert both or other not in together[one]


def test_only_what_is_known_of_both_contradicts() -> None:
    assert contradict(np.array([[1, 0], [0, 0]]))
    assert contradict(np.array([[1, NAN], [NAN, 0], [0, 0]]))
    assert not contradict(np.array([[1, 0], [1, NAN], [NAN, 0]]))
