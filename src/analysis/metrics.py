"""THE table of metrics: one row a metric, read by training, TensorBoard, history, tables, report, page and `monitor`.

`METRICS` is of images of one class each, `LABEL_METRICS` of images with any number of labels.

Imports neither torch nor NumPy, because the command line reads it before anything else.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, SupportsFloat

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """What classification metrics are computed from: arrays (…, K), float64, one entry a class.

    Attributes:
        support: images of the class.
        predicted: images that were given the class.
        hits: images of the class that were given it.
    """

    support: "Array"
    predicted: "Array"
    hits: "Array"


@dataclass(frozen=True)
class Metric:
    """One row of the table.

    Attributes:
        name: the key in files and in TensorBoard, behind the split: `test/f1`.
        title: what columns are headed by.
        of_counts: the metric (…) from counts (…, K): what intervals are computed with.
        constructor: a class of `torchmetrics.classification` that takes `num_classes` and `average`; "" where training
            computes the metric by `of_counts` as well.
        average: over the classes (`macro`), over the images (`micro`), or neither.
        mode: whether the best value is the largest or the smallest.
        highest: the largest possible value.
        percent: whether reports show it in percent.
        digits: decimals in reports.
        curve: whether learning curves and the epoch's line on screen show it.
        label: what it is called where there is room; "" for the title.
        of_classes: of a macro average, the figure of each class (…, K) from its own counts.
    """

    name: str
    title: str
    of_counts: Callable[[Counts], Any] | None = None
    constructor: str = ""
    average: Literal["macro", "micro"] | None = None
    mode: Literal["max", "min"] = "max"
    highest: float = 1.0
    percent: bool = True
    digits: int = 1
    curve: bool = False
    label: str = ""
    of_classes: Callable[[Counts], Any] | None = None

    @property
    def heading(self) -> str:
        """The title as charts have it: `Macro F1`, `Accuracy`."""
        if self.average == "macro":
            return f"Macro {self.title}"
        return self.title[0].upper() + self.title[1:] if self.title.islower() else self.title  # mAP stays as it is


def _accuracy(counts: Counts) -> "Array":
    share: Array = counts.hits.sum(axis=-1) / counts.support.sum(axis=-1)
    return share


def _precision(counts: Counts) -> "Array":
    return _share(counts.hits, counts.predicted)


def _recall(counts: Counts) -> "Array":
    return _share(counts.hits, counts.support)


def _f1(counts: Counts) -> "Array":
    return _share(2 * counts.hits, counts.support + counts.predicted)


def _micro_f1(counts: Counts) -> "Array":
    """Return the F1 of all labels of all images together."""
    return _share(2 * counts.hits.sum(axis=-1), (counts.support + counts.predicted).sum(axis=-1))


def _mcc(counts: Counts) -> "Array":
    """Return the Matthews correlation, in [−1, 1]; 0 where all images are of one class, or were given one.

    Gorodkin 2004, https://doi.org/10.1016/j.compbiolchem.2004.09.006. Not torchmetrics' `MulticlassMatthewsCorrCoef`:
    in 1.9, of 90 images of one class and 10 of another, all given the first, it makes 0.27, where scikit-learn has 0.
    """
    import numpy as np

    images = counts.support.sum(axis=-1)
    together = counts.hits.sum(axis=-1) * images - (counts.support * counts.predicted).sum(axis=-1)
    own, said = (images**2 - (some**2).sum(axis=-1) for some in (counts.support, counts.predicted))
    spread = np.sqrt(own * said)
    correlation: Array = together / np.where(spread > 0, spread, 1)  # without spread `together` is 0
    return correlation


def _share(above: "Array", below: "Array") -> "Array":
    """Return the quotient of each class; 0 where `below` is 0, as in scikit-learn and torchmetrics."""
    import numpy as np

    quotients: Array = above / np.where(below > 0, below, 1)
    return quotients


def _macro(of_classes: "Callable[[Counts], Array]") -> "Callable[[Counts], Array]":
    """Return the mean of a figure over the classes that have images; one that is never predicted counts 0.

    torchmetrics and scikit-learn also count 0 for a class without images that was predicted by mistake: the more often
    a network is tempted by classes that aren't there, the more classes its figure would be spread over.
    """

    def mean(counts: Counts) -> "Array":
        there = counts.support > 0
        average: Array = (of_classes(counts) * there).sum(axis=-1) / there.sum(axis=-1)
        return average

    return mean


_ROWS = (
    Metric("loss", "loss", mode="min", highest=math.inf, percent=False, digits=2, curve=True),
    Metric("accuracy", "accuracy", _accuracy, "MulticlassAccuracy", "micro", curve=True),
    Metric("precision", "precision", _macro(_precision), "MulticlassPrecision", "macro", of_classes=_precision),
    Metric("recall", "recall", _macro(_recall), "MulticlassRecall", "macro", of_classes=_recall),
    Metric("f1", "F1", _macro(_f1), "MulticlassF1Score", "macro", curve=True, of_classes=_f1),
    Metric("mcc", "MCC", _mcc, percent=False, digits=3, label="Matthews correlation (MCC)"),
)

METRICS: Mapping[str, Metric] = {row.name: row for row in _ROWS}
"""By name, in the order of the files' columns."""

SCORES: Mapping[str, Metric] = {name: row for name, row in METRICS.items() if name != "loss"}
"""All but the loss, which is no function of the predicted classes."""

SHOWN: Mapping[str, Metric] = {**SCORES, "loss": METRICS["loss"]}
"""In the order of tables for people."""

_LABEL_ROWS = (
    METRICS["loss"],
    Metric("map", "mAP", curve=True, label="mean average precision (mAP)"),
    Metric("f1", "F1", _macro(_f1), average="macro", curve=True, of_classes=_f1),
    Metric("f1_micro", "F1 (micro)", _micro_f1, average="micro"),
    Metric("precision", "precision", _macro(_precision), average="macro", of_classes=_precision),
    Metric("recall", "recall", _macro(_recall), average="macro", of_classes=_recall),
)

LABEL_METRICS: Mapping[str, Metric] = {row.name: row for row in _LABEL_ROWS}
"""The table where an image has several labels. A label's image is one of which it is known, and true."""

MONITORS = tuple(
    dict.fromkeys(f"{split}/{name}" for table in (SHOWN, LABEL_METRICS) for split in ("val", "train") for name in table)
)
"""What can make a checkpoint the best one."""


def mode_of(monitor: str) -> Literal["max", "min"]:
    """Return which value of a monitor such as `val/loss` is the best."""
    return {**METRICS, **LABEL_METRICS}[monitor.rpartition("/")[2]].mode


SPLITS: Mapping[str, str] = {
    "baseline": "before training",
    "train": "train",
    "val": "validation",
    "test": "test",
}
"""How figures of metrics.json begin, and what people call them; `baseline` is the untrained network on the test set."""


def read_figures(
    logged: Mapping[str, SupportsFloat], split: str, table: Mapping[str, Metric] = METRICS
) -> dict[str, float]:
    """Return a split's metrics, by name, from what Lightning has logged as `split/name`.

    A macro average in float32 can be 1.0000001: no value is higher than it can be.
    """
    return {name: min(float(logged[f"{split}/{name}"]), row.highest) for name, row in table.items()}
