"""Checkpoints between the ends of epochs: every so many steps or minutes, and when somebody wants the run to stop."""

import re
import time
from pathlib import Path
from typing import Any

import lightning as L
from torch import Tensor

from src.errors import InputError
from src.training.stopping import Stop

STEPS_BETWEEN_CLOCKS = 64
"""Of a distributed run: how often its processes agree on the time."""

UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}


class StepCheckpoints(L.Callback):
    """Writes `path` in the middle of epochs, so that little is lost, and ends the run where `stop` asks for it.

    `steps` or `seconds` say how often; both None: only when stopping. A batch that ends the epoch or is followed by a
    validation is passed over: a checkpoint of it could not say that the validation is still to come, and one behind it
    follows soon.
    """

    def __init__(self, path: Path, stop: Stop, steps: int | None = None, seconds: float | None = None) -> None:
        self.path = path
        self._stop = stop
        self._steps, self._seconds = steps, seconds
        self._saved_step, self._saved_at = 0, 0.0
        self._may_leave = False

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Lightning's own handlers, set before this, would end the run without a checkpoint. When the fit is over it
        puts back those of before it began. Several processes are left to Lightning, which tells all of them.
        """
        if trainer.world_size == 1:
            self._stop.listen()
        self._note(trainer)
        self._stop.leave_if_asked()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: tuple[Tensor, Tensor], batch_idx: int
    ) -> None:
        """Not at once when the checkpoint is written: only then are the figures of its batch given to the loggers."""
        if self._may_leave:
            self._stop.leave()

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: tuple[Tensor, Tensor],
        batch_idx: int,
    ) -> None:
        done = batch_idx + 1
        if done >= trainer.num_training_batches or _validates(trainer, done):
            return
        if self._is_due(trainer, done):
            trainer.save_checkpoint(self.path)
            self._note(trainer)
            self._may_leave = bool(self._stop)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Asked during the last batch or the validation of the epoch before, whose checkpoint is written now."""
        self._note(trainer)
        self._stop.leave_if_asked()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._stop.leave_if_asked()

    def on_test_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._stop.leave_if_asked()

    def _is_due(self, trainer: L.Trainer, done: int) -> bool:
        if self._stop:
            return True
        if self._steps is not None:
            return trainer.global_step - self._saved_step >= self._steps
        if self._seconds is None:
            return False
        due = time.monotonic() - self._saved_at >= self._seconds
        if trainer.world_size == 1:
            return due
        # All processes write together: the first one's clock counts, and asking for it makes all of them wait.
        return done % STEPS_BETWEEN_CLOCKS == 0 and bool(trainer.strategy.broadcast(due))

    def _note(self, trainer: L.Trainer) -> None:
        self._saved_step, self._saved_at = trainer.global_step, time.monotonic()


def checkpoint_interval(every: Any) -> tuple[int | None, float | None]:
    """Steps or seconds from what was typed: 500, `30s`, `10min`, `1.5h` or null; `InputError` for anything else."""
    if every is None:
        return None, None
    if isinstance(every, int) and not isinstance(every, bool) and every > 0:
        return every, None
    match = re.fullmatch(rf"(\d+\.?\d*) *({'|'.join(UNITS)})", str(every))
    if match is None or float(match[1]) == 0:
        raise InputError(f"checkpoint_every={every} is not possible: take steps such as 500, or a time such as 10min")
    return None, float(match[1]) * UNITS[match[2]]


def _validates(trainer: L.Trainer, done: int) -> bool:
    """Whether a validation follows the batch with which so many of the epoch are done."""
    every = trainer.val_check_batch
    return bool(trainer.enable_validation) and every is not None and every != float("inf") and done % int(every) == 0
