"""Which classes a classifier confuses: figures of each class, from class indices `targets` and `predicted` (N,)."""

from collections.abc import Sequence

import numpy as np

from ..frames import pd

MOST_CLASSES = 1000
"""How many classes a confusion matrix has at most: 15,000 would take 1.8 GB, several times over, and show nothing."""


def per_class(targets: np.ndarray, predicted: np.ndarray, class_names: Sequence[str]) -> pd.DataFrame:
    """Return one row a class: class, support (images of that class), precision, recall, f1, as fractions.

    A class that is never predicted has precision 0, one without images recall 0 (scikit-learn's `zero_division=0`).
    """
    classes = len(class_names)
    support, said = (np.bincount(of, minlength=classes) for of in (targets, predicted))
    hits = np.bincount(targets[targets == predicted], minlength=classes)
    precision, recall = (hits / np.maximum(of, 1) for of in (said, support))
    f1 = 2 * hits / np.maximum(support + said, 1)
    return pd.DataFrame(
        {"class": list(class_names), "support": support, "precision": precision, "recall": recall, "f1": f1}
    )


def confusion_matrix(targets: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Return counts (num_classes, num_classes): rows are the true class, columns the predicted one."""
    return np.bincount(targets * num_classes + predicted, minlength=num_classes**2).reshape(num_classes, num_classes)


def most_mistaken(targets: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the classes to show in a confusion matrix, ascending: all, or the `MOST_CLASSES` with most mistakes."""
    if num_classes <= MOST_CLASSES:
        return np.arange(num_classes)
    wrong = targets != predicted
    mistakes = sum(np.bincount(of[wrong], minlength=num_classes) for of in (targets, predicted))
    return np.sort(np.argsort(-np.asarray(mistakes), kind="stable")[:MOST_CLASSES])


def confusion_among(targets: np.ndarray, predicted: np.ndarray, classes: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the `confusion_matrix` of these `classes` alone, of the images that are of them and were given them."""
    places = np.full(num_classes, -1)
    places[classes] = np.arange(len(classes))
    there = (places[targets] >= 0) & (places[predicted] >= 0)
    return confusion_matrix(places[targets[there]], places[predicted[there]], len(classes))


def surest_mistakes(probabilities: np.ndarray, targets: np.ndarray, most: int) -> np.ndarray:
    """Return the indices of at most `most` misclassified images, the most confident first.

    `probabilities` (N, K), `targets` (N,).
    """
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != targets)
    return wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")][:most]
