"""The table of metrics as torchmetrics: images of one class each, counted on the device, over all processes."""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection, classification

from ..analysis.metrics import SCORES, Counts
from ..analysis.metrics import Metric as TableRow


def class_figures(num_classes: int, prefix: str) -> MetricCollection:
    """Return the table's metrics but the loss, each under `prefix` and its name."""
    figures: dict[str, Metric | MetricCollection] = {}
    for name, row in SCORES.items():
        constructor: Callable[..., Metric] = partial(_FromCounts, row)
        if row.constructor:
            constructor = MACRO.get(row.constructor) or getattr(classification, row.constructor)
        figures[name] = constructor(num_classes=num_classes, average=row.average, validate_args=False)
    return MetricCollection(figures, prefix=prefix)


class _OfClassesWithImages(classification.MulticlassStatScores):
    """Leaves a class without images out of the average, as `src.analysis.metrics` does.

    torchmetrics leaves out those that were not predicted either; the others' predictions are forgotten here.
    """

    def _final_state(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        hits, others, rest, missed = super()._final_state()
        return hits, others * (hits + missed > 0), rest, missed


class _Precision(_OfClassesWithImages, classification.MulticlassPrecision): ...


class _Recall(_OfClassesWithImages, classification.MulticlassRecall): ...


class _F1Score(_OfClassesWithImages, classification.MulticlassF1Score): ...


MACRO: dict[str, type[Metric]] = {
    "MulticlassPrecision": _Precision,
    "MulticlassRecall": _Recall,
    "MulticlassF1Score": _F1Score,
}


class _FromCounts(classification.MulticlassStatScores):
    """A metric computed by its row of the table, from the counts that the macro averages keep anyway."""

    def __init__(self, row: TableRow, **settings: Any) -> None:
        super().__init__(**settings)
        self._of_counts = cast(Callable[[Counts], Any], row.of_counts)

    def compute(self) -> Tensor:
        hits, others, _, missed = (state.cpu().double().numpy() for state in self._final_state())
        value = self._of_counts(Counts(support=hits + missed, predicted=hits + others, hits=hits))
        return torch.tensor(float(value), device=self.device)
