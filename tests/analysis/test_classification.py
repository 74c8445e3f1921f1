"""A confusion matrix of many classes shows those with most mistakes."""

import numpy as np
from sklearn.metrics import confusion_matrix as expected
from sklearn.metrics import precision_recall_fscore_support

from src.analysis import classification
from src.analysis.classification import confusion_among, confusion_matrix, most_mistaken, per_class, surest_mistakes


def test_few_classes_are_all_there() -> None:
    random = np.random.default_rng(1)
    targets, predicted = random.integers(0, 7, (2, 500))
    shown = most_mistaken(targets, predicted, 7)
    assert np.array_equal(shown, np.arange(7))
    counts = confusion_among(targets, predicted, shown, 7)
    assert np.array_equal(counts, expected(targets, predicted))
    assert np.array_equal(counts, confusion_matrix(targets, predicted, 7))


def test_of_many_those_with_most_mistakes_are(monkeypatch) -> None:
    monkeypatch.setattr(classification, "MOST_CLASSES", 3)
    targets, predicted = np.array([0, 0, 1, 2, 2, 4, 4, 3, 3]), np.array([0, 0, 4, 2, 4, 2, 2, 3, 1])
    shown = most_mistaken(targets, predicted, 5)
    assert shown.tolist() == [1, 2, 4]
    whole = expected(targets, predicted)
    assert np.array_equal(confusion_among(targets, predicted, shown, 5), whole[np.ix_(shown, shown)])


def test_fifty_thousand_classes_take_no_square() -> None:
    places = np.arange(50_000)
    shown = most_mistaken(places, (places + 1) % 50_000, 50_000)
    assert confusion_among(places, places, shown, 50_000).shape == (1000, 1000)


def test_the_surest_mistakes_come_first() -> None:
    shares = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.05, 0.95], [0.3, 0.7]])
    targets = np.array([0, 0, 1, 0, 0])
    assert surest_mistakes(shares, targets, 3).tolist() == [3, 1, 4]
    assert surest_mistakes(shares, targets, 9).tolist() == [3, 1, 4, 2]
    assert surest_mistakes(shares, shares.argmax(axis=1), 9).tolist() == []


def test_figures_of_classes_are_scikit_learns_to_the_bit() -> None:
    random = np.random.default_rng(0)
    for images in (1, 5, 300):
        targets, predicted = random.integers(0, 6, images), random.integers(0, 5, images)  # the last one is never said
        table = per_class(targets, predicted, list("abcdef"))
        theirs = precision_recall_fscore_support(targets, predicted, labels=range(6), zero_division=0)
        for name, values in zip(("precision", "recall", "f1", "support"), theirs, strict=True):
            np.testing.assert_array_equal(table[name], values)
