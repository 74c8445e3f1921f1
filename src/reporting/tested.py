"""What a run has answered to the test set, read and checked: predictions.csv and per_class.csv of either task."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..analysis.label_scores import count_labels
from ..analysis.metrics import LABEL_METRICS
from ..analysis.tasks import MULTILABEL, ONE_CLASS, Task
from ..frames import pd
from ..names import JOINED, together
from ..runs.columns import read_csv, refuse_infinite
from ..runs.contents import UnusableError

TOLERANCE = 1e-3
"""How far a figure in metrics.json, a float32 mean, may be from that of predictions.csv."""

FIGURES = ("support", "precision", "recall", "f1")


class Tested(NamedTuple):
    """The two tables. `predictions` also has what is `true` and what was `said`, in words, and `right`."""

    predictions: pd.DataFrame
    per_class: pd.DataFrame

    @classmethod
    def none(cls) -> "Tested":
        """Return tables without a row, of a run that has left the test set alone."""
        empty = pd.DataFrame(columns=["path", "target", "predicted", "true", "said", "right"])
        return cls(empty, pd.DataFrame(columns=["class", *FIGURES]))


class LabelAnswers(NamedTuple):
    """Of N images and K labels: `targets` 1, 0, or NaN where unknown, what was `decided`, and `probabilities`."""

    targets: NDArray[np.float64]
    decided: NDArray[np.bool_]
    probabilities: NDArray[np.float64]


def read_tested(folder: Path, metrics: Mapping[str, float], task: Task) -> Tested:
    """Return the tables of a run; raise `UnusableError` if they and metrics.json can't be of the same test."""
    return READERS[task.name](folder, metrics)


def _read_classes(folder: Path, metrics: Mapping[str, float]) -> Tested:
    per_class = _read_per_class(folder, FIGURES)
    words = ("path", "target", "predicted")
    predictions = read_csv(folder, "predictions.csv", (*words, "confidence"), text=words)
    refuse_infinite("predictions.csv", predictions, ("confidence",))
    _check_names(per_class, set(predictions["target"]) | set(predictions["predicted"]))
    rows, support = len(predictions), per_class["support"].sum()
    if rows != support:
        raise UnusableError(f"predictions.csv has {rows:,} rows, and per_class.csv counts {support:,} images")
    _check_paths(predictions)
    right = predictions["target"] == predictions["predicted"]
    _check_figure(right.mean(), metrics, "accuracy")
    true, said = predictions["target"], predictions["predicted"]
    return Tested(predictions.assign(true=true, said=said, right=right), per_class)


def _read_labels(folder: Path, metrics: Mapping[str, float]) -> Tested:
    per_class = _read_per_class(folder, (*FIGURES, "unknown", "average_precision", "threshold"))
    words, names = ("path", "target", "predicted", "unknown"), per_class["class"].tolist()
    columns = (*words, *(f"probability_{name}" for name in names))
    predictions = read_csv(folder, "predictions.csv", columns, text=words, empty=words[1:])
    refuse_infinite("predictions.csv", predictions, columns[len(words) :])
    _check_names(per_class, {name for word in words[1:] for cell in predictions[word] for name in _split(cell)})
    _check_paths(predictions)
    said = label_answers(predictions, names)
    counts = count_labels(said.decided, said.targets)
    if counts.support.tolist() != per_class["support"].tolist():
        raise UnusableError("predictions.csv and per_class.csv count different numbers of images of a label")
    micro = LABEL_METRICS["f1_micro"]
    assert micro.of_counts is not None
    _check_figure(float(micro.of_counts(counts)), metrics, micro.name)
    true, decided = said.targets == 1, said.decided & ~np.isnan(said.targets)  # nobody can say whether others are right
    told = predictions.assign(true=together(true, names), said=together(decided, names))
    return Tested(told.assign(right=(true == decided).all(axis=1)), per_class)


READERS: Mapping[str, Callable[[Path, Mapping[str, float]], Tested]] = {
    ONE_CLASS.name: _read_classes,
    MULTILABEL.name: _read_labels,
}


def label_answers(predictions: pd.DataFrame, names: list[str]) -> LabelAnswers:
    """Return what predictions.csv says of several labels an image, the labels in the order of `names`."""
    places = {name: place for place, name in enumerate(names)}
    true, decided, unknown = (np.zeros((len(predictions), len(names)), dtype=bool) for _ in range(3))
    for matrix, word in ((true, "target"), (decided, "predicted"), (unknown, "unknown")):
        for row, cell in enumerate(predictions[word]):
            matrix[row, [places[name] for name in _split(cell)]] = True
    said = predictions[[f"probability_{name}" for name in names]].to_numpy(dtype=np.float64)
    return LabelAnswers(np.where(unknown, np.nan, true.astype(np.float64)), decided, said)


def _split(cell: str) -> list[str]:
    return cell.split(JOINED) if cell else []


def _read_per_class(folder: Path, figures: tuple[str, ...]) -> pd.DataFrame:
    table = read_csv(folder, "per_class.csv", ("class", *figures), text=("class",))
    refuse_infinite("per_class.csv", table, figures)
    names = table["class"]
    if not names.is_unique:
        raise UnusableError(f"per_class.csv has the class {names[names.duplicated()].iloc[0]!r} more than once")
    return table


def _check_names(per_class: pd.DataFrame, named: set[str]) -> None:
    if unknown := named - set(per_class["class"]):
        raise UnusableError(f"predictions.csv has the class {min(unknown)!r}, and per_class.csv hasn't")


def _check_paths(predictions: pd.DataFrame) -> None:
    paths = predictions["path"]
    if not paths.is_unique:
        raise UnusableError(f"predictions.csv has {paths[paths.duplicated()].iloc[0]!r} more than once")


def _check_figure(counted: float, metrics: Mapping[str, float], name: str) -> None:
    told = metrics.get(f"test/{name}", counted)
    if abs(counted - told) > TOLERANCE:
        said = f"{told:.4f} in metrics.json and {counted:.4f} in predictions.csv"
        raise UnusableError(f"test {name} is {said}: they are not of the same run")
