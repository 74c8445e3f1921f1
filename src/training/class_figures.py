"""The table of metrics as torchmetrics: images of one class each, counted on the device, over all processes.

No update waits for the device (tests/training/test_no_sync.py), as torchmetrics' own would: it looks for NaN in every
loss, and counts with `torch.bincount`, which asks for the largest number first.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor
from torchmetrics import MeanMetric, Metric, MetricCollection, classification

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


class MeanLoss(MeanMetric):
    """The weighted mean of losses. One that is not a number stays one: left out, it would flatter a broken network."""

    def __init__(self) -> None:
        # What torchmetrics does without its check drops the weights (1.9): hence an update of our own.
        super().__init__(nan_strategy="disable")

    def update(self, value: Tensor, weight: float | Tensor = 1) -> None:  # type: ignore[override]
        if isinstance(weight, Tensor):
            weight = weight.to(self.dtype)
        self.mean_value += value.to(self.dtype) * weight
        self.weight += weight


class _CountsByClass(classification.MulticlassStatScores):
    """Hits and misses of each class, counted in as many additions as there are images."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add predicted and true classes, (N,) each."""
        zeros = torch.zeros(cast(int, self.num_classes), dtype=torch.long, device=target.device)
        ones = torch.ones_like(target, dtype=torch.long)
        hits = zeros.index_add(0, target, (preds == target).long())
        others = zeros.index_add(0, preds, ones) - hits
        missed = zeros.index_add(0, target, ones) - hits
        self._update_state(hits, others, len(target) - hits - others - missed, missed)


class _OfClassesWithImages(_CountsByClass):
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


class _FromCounts(_CountsByClass):
    """A metric computed by its row of the table, from the counts that the macro averages keep anyway."""

    def __init__(self, row: TableRow, **settings: Any) -> None:
        super().__init__(**settings)
        self._of_counts = cast(Callable[[Counts], Any], row.of_counts)

    def compute(self) -> Tensor:
        hits, others, _, missed = (state.cpu().double().numpy() for state in self._final_state())
        value = self._of_counts(Counts(support=hits + missed, predicted=hits + others, hits=hits))
        return torch.tensor(float(value), device=self.device)
