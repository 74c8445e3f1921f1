"""What a class can be told from without looking at what is shown: the file's kind and size, brightness, sharpness."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frames import pd
from .intervals import Interval, wilson

LEAK = 0.25
"""How much of the way from guessing to certainty a leak reaches."""
FOLDS = 5
SLICES = 4
FEWEST = 10
"""Images of a class, or of a slice; fewer tell nothing."""


@dataclass(frozen=True)
class Leak:
    """How well a small decision tree tells the class from some properties, cross-validated.

    Attributes:
        properties: those that were looked at, the most telling first.
        accuracy: of a tree with at most 8 leaves on images that it didn't see.
        guessing: the accuracy of always answering the commonest class.
    """

    properties: list[str]
    accuracy: float
    interval: Interval
    guessing: float

    @property
    def found(self) -> bool:
        return self.interval[0] > self.guessing + LEAK * (1 - self.guessing)


def leak(properties: pd.DataFrame, classes: NDArray[np.integer], seed: int = 0) -> Leak | None:
    """Return how well the `classes` (N,) can be told from the `properties`, numbers or words, one row an image.

    None where all images have the same properties, or a class has too few images for cross-validation.
    """
    from sklearn.model_selection import StratifiedKFold, cross_val_predict  # slow to import
    from sklearn.tree import DecisionTreeClassifier

    varying = properties.loc[:, properties.nunique() > 1]
    counts = np.bincount(classes)
    if varying.empty or counts[counts > 0].min() < FOLDS or (counts > 0).sum() < 2:
        return None
    columns = pd.get_dummies(varying)
    tree = DecisionTreeClassifier(max_leaf_nodes=max(8, 2 * len(counts)), min_samples_leaf=5, random_state=seed)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    said = cross_val_predict(tree, columns.to_numpy(dtype=float), classes, cv=folds)
    accuracy = float((said == classes).mean())
    telling = tree.fit(columns.to_numpy(dtype=float), classes).feature_importances_
    by_property = {
        name: float(
            sum(
                telling[i]
                for i, column in enumerate(map(str, columns))
                if column == name or column.startswith(f"{name}_")
            )
        )
        for name in map(str, varying)
    }
    order = sorted(by_property, key=lambda name: -by_property[name])
    return Leak(order, accuracy, wilson(accuracy, len(classes)), float(counts.max() / len(classes)))


def slices(properties: pd.DataFrame, right: NDArray[np.bool_]) -> pd.DataFrame:
    """Return the accuracy by slices of each property: quarters of a number's range by count, or each word.

    Columns: property, of (the slice), images, accuracy, low, high (Wilson's 95 %). Slices with fewer than `FEWEST`
    images are left out, and so are properties of which one slice is left.
    """
    rows = []
    for name in properties:
        own = [(said, share) for said, share in _sliced(properties[name]) if share.sum() >= FEWEST]
        for said, chosen in own if len(own) > 1 else []:
            accuracy = float(right[chosen].mean())
            low, high = wilson(accuracy, int(chosen.sum()))
            rows.append((name, said, int(chosen.sum()), accuracy, low, high))
    return pd.DataFrame(rows, columns=["property", "of", "images", "accuracy", "low", "high"])


def _sliced(values: pd.Series) -> list[tuple[str, NDArray[np.bool_]]]:
    if not pd.api.types.is_numeric_dtype(values) or values.nunique() <= SLICES:
        return [(f"{value:g}" if isinstance(value, (int, float)) else str(value), (values == value).to_numpy())
                for value in sorted(values.unique())]  # fmt: skip
    quarters = pd.qcut(values, SLICES, duplicates="drop")
    return [(f"{part.left:.3g} to {part.right:.3g}", (quarters == part).to_numpy()) for part in quarters.cat.categories]


def widest_gap(sliced: pd.DataFrame) -> Mapping[str, object] | None:
    """Return the property whose slices differ most in accuracy, intervals apart, and its two extreme rows."""
    best: Mapping[str, object] | None = None
    widest = 0.0
    for name, rows in sliced.groupby("property", sort=False):
        worst, top = (rows.iloc[int(place)] for place in (rows["accuracy"].argmin(), rows["accuracy"].argmax()))
        gap = float(top["accuracy"] - worst["accuracy"])
        if worst["high"] < top["low"] and gap > widest:
            widest = gap
            best = {"property": str(name), "worst": worst.to_dict(), "best": top.to_dict()}
    return best


def looks(images: NDArray[np.uint8]) -> pd.DataFrame:
    """Return brightness, contrast, colourfulness, sharpness of uint8 images (N, C, H, W), one row an image.

    Brightness and contrast are the mean and standard deviation of the grey values in [0, 255]; colourfulness is that of
    Hasler & Süsstrunk 2003 (https://doi.org/10.1117/12.477378, eq. 2), of three channels; sharpness is the standard
    deviation of the Laplacian. Of three channels the means of red, green and blue come with them.
    """
    rows = []
    for image in images:
        pixels = image.astype(np.float32)
        grey = pixels.mean(axis=0)
        laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
        row = {"brightness": grey.mean(), "contrast": grey.std(), "sharpness": laplacian.std()}
        if len(pixels) == 3:
            red, green, blue = pixels
            opponents = (red - green, (red + green) / 2 - blue)
            spread = np.hypot(*(one.std() for one in opponents))
            row["colourfulness"] = spread + 0.3 * np.hypot(*(one.mean() for one in opponents))
            row |= {"red": red.mean(), "green": green.mean(), "blue": blue.mean()}
        rows.append({name: float(value) for name, value in row.items()})
    return pd.DataFrame(rows)
