"""What a person sees while a network trains: a bar on a terminal, plain lines everywhere."""

import logging
import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import RichProgressBar
from rich.console import Console
from rich.progress import ProgressColumn, TimeRemainingColumn
from rich.table import Column

from ..activity import clear
from ..tables import duration
from .throughput import Throughput

log = logging.getLogger(__name__)


MEASURED = {
    "baseline": "Before training",
    "best_train": "Measuring: train",
    "best_val": "Measuring: validation",
    "test": "Measuring: test",
}
"""What a bar says of the images that the module measures, by `evaluated`."""


WIDE = 120
"""Columns of a terminal in which all of Lightning's bar stands in a line with our figures."""


class TrainingBar(RichProgressBar):
    """Lightning's Rich bar with the module's figures and images/s of the last batches, counting epochs from 1."""

    SECONDS_BETWEEN_READINGS = 0.5
    """Reading a figure waits for the GPU, so it happens by the clock and not every batch."""

    def __init__(self, throughput: Throughput) -> None:
        super().__init__(refresh_rate=4)
        self._throughput = throughput
        self._outputs: dict[str, Any] = {}
        self._read_at = 0.0
        self._figures: dict[str, Any] = {}

    def _init_progress(self, trainer: L.Trainer) -> None:
        clear()  # one bar at a time
        super()._init_progress(trainer)
        if self.progress is not None:
            self.progress.live.transient = True  # gone when it is done
        if self._metric_component is not None:
            self._metric_component._table_column = Column(no_wrap=True)

    def configure_columns(self, trainer: L.Trainer) -> list[ProgressColumn]:
        columns: list[ProgressColumn] = super().configure_columns(trainer)
        if self._console is None or self._console.width >= WIDE:
            return columns
        return [*columns[:3], TimeRemainingColumn(compact=True)]

    @property
    def test_description(self) -> str:
        evaluated = getattr(self.trainer.lightning_module, "evaluated", ())
        place = self._current_eval_dataloader_idx or 0
        return MEASURED.get(evaluated[place], "Testing") if place < len(evaluated) else "Testing"

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: dict[str, Any], batch: Any, batch_idx: int
    ) -> None:
        self._outputs = outputs
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        now = time.monotonic()
        if self._outputs and now - self._read_at >= self.SECONDS_BETWEEN_READINGS:
            self._read_at = now
            self._figures = {
                **{name: float(value) for name, value in self._outputs.items()},
                "images/s": f"{self._throughput.epoch_images_per_second:,.0f}",
            }
        return self._figures

    def _get_train_description(self, current_epoch: int) -> str:
        last = self.trainer.max_epochs
        return f"Epoch {current_epoch + 1}" + (f"/{last}" if last and last > 0 else "")


class EpochEstimate(L.Callback):
    """Says once, after the first batches, how long an epoch and all epochs will take."""

    BATCHES, SECONDS = 5, 1.0
    """How long it waits after the first batch, which also starts workers and compiles."""

    def __init__(self) -> None:
        self._start: float | None = None
        self._done = False

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if self._done or not trainer.is_global_zero:
            return
        now = time.perf_counter()
        if self._start is None:
            self._start = now
            return
        batches, total = batch_idx, int(trainer.num_training_batches)
        waited = batches >= self.BATCHES and now - self._start >= self.SECONDS
        if waited or (batch_idx + 1 >= total and batches > 0):
            self._done = True
            epoch = (now - self._start) / batches * total
            epochs, steps = trainer.max_epochs or 0, trainer.max_steps
            rest = f", {epochs} epochs about {duration(epochs * epoch)}" if epochs > 1 else ""
            if epochs < 0 < steps:
                each = epoch / total * trainer.accumulate_grad_batches
                rest = f", {steps:,} steps about {duration(steps * each)}"
            log.info("an epoch of %d batches takes about %s%s", total, duration(epoch), rest)


def progress_callbacks(console: Console, throughput: Throughput, bar: bool = True) -> list[L.Callback]:
    """Return what shows progress: the bar on a terminal alone, as it fills pipes and log files with control codes."""
    bars: list[L.Callback] = [TrainingBar(throughput)] if bar and console.is_terminal else []
    return [EpochEstimate(), *bars]
