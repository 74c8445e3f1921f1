"""The run's history: one row an epoch in metrics.csv, one line an epoch on screen."""

import logging
import math
import time
from typing import Any, cast

import lightning as L

from ..analysis.metrics import SCORES
from ..analysis.tasks import ONE_CLASS, Task
from ..errors import RunError, first_line
from ..runs.folder import RunFolder
from ..tables import duration
from .rates import Rates

log = logging.getLogger(__name__)


def columns_of(task: Task) -> tuple[str, ...]:
    """Return the columns of metrics.csv."""
    figures = (f"{split}/{figure}" for split in ("train", "val") for figure in task.metrics)
    return ("epoch", "step", *figures, "lr", "seconds", "images_per_second")


COLUMNS = columns_of(ONE_CLASS)
FIRST_COLUMNS = {*COLUMNS} - {f"{split}/{name}" for split in ("train", "val") for name in SCORES if name != "accuracy"}
"""Those that the files of all versions have."""


class History(L.Callback):
    """Writes each epoch's figures when the epoch ends. Epochs count from 1; 0 is the untrained network.

    Checkpoints keep the rows as well, so that a resumed run writes the whole file, whatever became of it.
    """

    def __init__(self, folder: RunFolder, monitor: str, mode: str, task: Task = ONE_CLASS) -> None:
        self._task, self._columns = task, columns_of(task)
        self.rows: list[dict[str, Any]] = []
        self.rates = Rates()
        self.seconds_before = 0.0  # spent on the epochs before a resume
        self._folder = folder
        self._monitor, self._sign = monitor, 1 if mode == "max" else -1
        self._best = -math.inf
        self._start = 0.0
        self._validation: dict[str, float] = {}  # figures of the epoch's latest one

    @property
    def images_per_second(self) -> float:
        """The last epoch's; 0 before there is one."""
        return float(self.rows[-1]["images_per_second"]) if self.rows else 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "validation": self._validation, "rates": self.rates.pairs}

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Continue after the epochs that a resumed run's checkpoint knows, even if these are all."""
        if trainer.state.fn != "fit":  # also called when the best checkpoint is tested
            return
        epochs = checkpoint["epoch"] + (checkpoint.get("unfinished") is None)
        state = checkpoint["callbacks"].get(self.state_key) or {"rows": self._read(epochs), "validation": {}}
        # A checkpoint of an earlier version doesn't have all of today's metrics.
        self.rows = [dict.fromkeys(self._columns, math.nan) | row for row in state["rows"]]
        self._validation = state["validation"]
        self.rates = Rates(state.get("rates", ()))  # checkpoints of earlier versions have none
        self.seconds_before = sum(row["seconds"] for row in self.rows)
        known = [self._sign * row[self._monitor] for row in self.rows if not math.isnan(row[self._monitor])]
        self._best = max(known, default=-math.inf)
        if self.rows and trainer.is_global_zero:
            self._folder.write_history(self.rows)

    def _read(self, epochs: int) -> list[dict[str, Any]]:
        """Read the rows of so many epochs from metrics.csv, for a checkpoint of an early version, which has none."""
        if epochs == 0:
            return []
        try:
            table = self._folder.history()
            names = set(table.columns)
            if not FIRST_COLUMNS <= names <= set(COLUMNS) or not all(kind.kind in "if" for kind in table.dtypes):
                raise ValueError("it is not what was written")
            rows = cast("list[dict[str, Any]]", table.to_dict("records"))
            if [row["epoch"] for row in rows[:epochs]] != list(range(1, epochs + 1)):
                raise ValueError("epochs are missing")
        except (OSError, ValueError) as error:
            raise RunError(
                f"{self._folder.history_file} is damaged ({first_line(error)}), and this early version's checkpoint "
                "doesn't hold its rows: put the file back, or train a new run"
            ) from error
        return rows[:epochs]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._start = time.perf_counter()  # a run resumed in the middle of an epoch has no epoch start

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._start = time.perf_counter()
        self._validation = {}

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.rates.add(trainer.global_step + 1, trainer.optimizers[0].param_groups[0]["lr"])

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.sanity_checking:
            metrics = trainer.callback_metrics
            self._validation = {name: float(metrics[name]) for name in metrics if name.startswith("val/")}

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Lightning keeps the figures of the last validation, whatever its epoch; a resumed run doesn't know them.
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        metrics = {name: metrics[name] for name in metrics if not name.startswith("val/")} | self._validation
        epoch = trainer.current_epoch + 1
        # Those of `add` have values later, if at all.
        added = {name: math.nan for row in self.rows[-1:] for name in row if name not in self._columns}
        row: dict[str, Any] = {name: metrics.get(name, math.nan) for name in self._columns} | added
        row |= {"epoch": epoch, "step": trainer.global_step}
        row["lr"] = trainer.optimizers[0].param_groups[0]["lr"]
        row["seconds"] = round(time.perf_counter() - self._start, 3)
        row["images_per_second"] = round(metrics.get("images_per_second", math.nan), 1)
        # An epoch cut short by a limit may have been continued.
        self.rows = [*(row for row in self.rows if row["epoch"] < epoch), row]
        better = self._monitor in metrics and self._sign * metrics[self._monitor] > self._best
        if better:
            self._best = self._sign * metrics[self._monitor]
        if trainer.is_global_zero:
            self._folder.write_history(self.rows)
            log.info("%s", epoch_line(row, trainer.max_epochs, better, self._task))

    def add(self, epoch: int, name: str, value: float) -> None:
        """Give the row of the epoch that has just ended one more figure; in the first process."""
        if self.rows and self.rows[-1]["epoch"] == epoch:
            self.rows = [row | {name: row.get(name, math.nan)} for row in self.rows]
            self.rows[-1][name] = value
            self._folder.write_history(self.rows)


def epoch_line(row: dict[str, Any], epochs: int | None, best: bool, task: Task = ONE_CLASS) -> str:
    """Return one epoch as a line of at most 100 columns; ★ marks the best so far by `monitor`."""
    total = f"/{epochs}" if epochs and epochs > 0 else ""
    width = len(total) - 1
    shown = [f"{name} {row[f'val/{name}']:.3f}" for name, metric in task.metrics.items() if metric.curve]
    validation = "" if math.isnan(row["val/loss"]) else f"  val {' '.join(shown)}"
    return (
        f"epoch {row['epoch']:>{max(1, width)}}{total}"
        f"  train loss {row['train/loss']:.3f} {task.first} {row[f'train/{task.first}']:.3f}{validation}"
        f"  {row['images_per_second']:,.0f} images/s  {duration(row['seconds'])}{' ★' if best else ''}"
    )
