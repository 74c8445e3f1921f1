"""The table of metrics as torchmetrics: images with any number of labels, counted on the device, over all processes."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MultilabelPrecisionRecallCurve, MultilabelStatScores
from torchmetrics.utilities.data import dim_zero_cat

from ..analysis.label_scores import best_thresholds, mean_average_precision
from ..analysis.metrics import LABEL_METRICS, Counts
from ..analysis.metrics import Metric as TableRow

UNKNOWN = -1
"""What stands for an unknown label in torchmetrics, which leaves it out."""

BINS = 100
"""Thresholds by which an epoch of training ranks images: it would otherwise have to remember all it has answered."""


def label_figures(num_labels: int, prefix: str, *, binned: bool) -> MetricCollection:
    """Return the table's metrics but the loss, each under `prefix` and its name.

    `binned`: `map` is computed from `BINS` thresholds, not from every probability.
    """
    figures: dict[str, Metric | MetricCollection] = {}
    for name, row in LABEL_METRICS.items():
        if row.of_counts is not None:
            figures[name] = _LabelCounts(row, num_labels=num_labels)
        elif name == "map":
            figures[name] = _BinnedRanking(num_labels) if binned else Ranking(num_labels)
    return MetricCollection(figures, prefix=prefix)


def add_batch(figures: MetricCollection, probabilities: Tensor, decided: Tensor, targets: Tensor) -> None:
    """Count a batch: `probabilities`, `decided` (bool) and `targets`, NaN where unknown, are (N, K)."""
    known = targets.nan_to_num(UNKNOWN).long()
    figures.update(preds=probabilities, decided=decided.long(), target=known)


class Ranking(MultilabelPrecisionRecallCurve):
    """Mean average precision of all that was said. Probabilities are kept; float64 tells those near 1 apart."""

    def __init__(self, num_labels: int, thresholds: int | None = None) -> None:
        super().__init__(num_labels, thresholds=thresholds, ignore_index=UNKNOWN, validate_args=False)

    def update(self, preds: Tensor, target: Tensor) -> None:
        super().update(preds, target)

    def compute(self) -> Any:
        return torch.tensor(mean_average_precision(*self._said()), device=self.device)

    def best_thresholds(self) -> NDArray[np.float64]:
        """Return the thresholds (K,) with the best F1 on all that was said, by any process."""
        with self.sync_context():
            return best_thresholds(*self._said())

    def _said(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        scores, targets = (dim_zero_cat(part).cpu().double().numpy() for part in (self.preds, self.target))
        return scores, np.where(targets == UNKNOWN, np.nan, targets)


class _BinnedRanking(Ranking):
    """Mean average precision from counts at `BINS` thresholds: its state stays as small as it begins."""

    def __init__(self, num_labels: int) -> None:
        super().__init__(num_labels, thresholds=BINS)

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count as torchmetrics does, but without waiting for a GPU: see `class_figures`."""
        above = preds.unsqueeze(-1) >= cast(Tensor, self.thresholds)  # (N, K, T)
        for label in (0, 1):
            true = target == label
            over = (above & true.unsqueeze(-1)).sum(dim=0).T  # (T, K)
            self.confmat[:, :, label, 1] += over
            self.confmat[:, :, label, 0] += true.sum(dim=0) - over

    def compute(self) -> Any:
        counts = self.confmat.double().flip(0)  # (T, K, 2, 2), from the highest threshold down
        hits, said = counts[:, :, 1, 1], counts[:, :, :, 1].sum(dim=2)
        positives = counts[0, :, 1].sum(dim=1)
        steps = hits.diff(dim=0, prepend=torch.zeros_like(hits[:1]))
        values = (steps * hits / said.clamp(min=1)).sum(dim=0) / positives
        return values[positives > 0].mean().float()


class _LabelCounts(MultilabelStatScores):
    """A metric computed by its row of the table, from the counts of each label."""

    def __init__(self, row: TableRow, num_labels: int) -> None:
        super().__init__(num_labels=num_labels, average=None, ignore_index=UNKNOWN, validate_args=False)
        self._of_counts = cast(Callable[[Counts], Any], row.of_counts)

    def update(self, decided: Tensor, target: Tensor) -> None:
        super().update(decided, target)

    def compute(self) -> Tensor:
        hits, others, _, missed = (state.cpu().double().numpy() for state in self._final_state())
        with np.errstate(invalid="ignore"):  # no label is known
            value = self._of_counts(Counts(support=hits + missed, predicted=hits + others, hits=hits))
        return torch.tensor(float(value), device=self.device)
