"""When checkpoints are written: for the best epoch, at each epoch's end, at intervals within one, and when stopping.

Lightning 2.6.6 has `every_n_train_steps` and `train_time_interval` for intervals. They write before the validation that
may follow a batch, and a run that resumes there would leave it out; hence `StepCheckpoints`.
"""

import errno
import logging
import re
import time
import warnings
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint, Timer
from torch import Tensor

from ..errors import InputError
from ..networks.saved import SavedFileError
from ..runs.folder import RunFolder
from .agreement import Agreement
from .checkpoint_files import WholeCheckpointIO, load_whole
from .stopping import Stop
from .unfinished import batches_done, validates

log = logging.getLogger(__name__)

UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}


class RunCheckpoint(ModelCheckpoint):
    """Lightning's ModelCheckpoint, for runs that resume exactly, even after their folder was moved.

    Its state names files, which are looked for in the folder's present place; otherwise Lightning forgets how good the
    best one is. Only the one file that it writes itself may be named, as Lightning removes what a better one replaces.
    And if the validation after an epoch's last batch finds a new best, it is written when the epoch has
    ended: an earlier checkpoint could not resume, because the epoch's own figures are lost.

    Args:
        first: The one that stands before it in the list of callbacks; what that has just written is what is to be
            written here.
        places, settings: Lightning's.
    """

    _validated = False
    _written: Path | None = None  # since the last batch

    def __init__(self, *places: Any, first: "RunCheckpoint | None" = None, **settings: Any) -> None:
        super().__init__(*places, **settings)
        self._first = first

    @property
    def state_key(self) -> str:
        """Lightning's own, under which earlier versions' checkpoints hold the state."""
        return ModelCheckpoint.__qualname__ + super().state_key.removeprefix(type(self).__qualname__)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        moved = {
            key: self._here(state_dict[key]) for key in ("best_model_path", "kth_best_model_path", "last_model_path")
        }
        best = {here: score for path, score in state_dict["best_k_models"].items() if (here := self._here(path))}
        super().load_state_dict(state_dict | moved | {"dirpath": self.dirpath, "best_k_models": best})
        for path in list(best):
            self._forget_unless_whole(Path(path))

    def _here(self, path: str) -> str:
        own = f"{self.filename}{self.FILE_EXTENSION}"
        return str(Path(self.dirpath or "") / own) if Path(path).name == own else ""

    def _forget_unless_whole(self, path: Path) -> None:
        """Let the next best take the place of a file that is damaged or was removed."""
        try:
            load_whole(path)
        except SavedFileError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno not in (None, errno.ENOENT):
                return  # it may be whole
            log.warning("%s is lost (%s): what is best from now on takes its place", path, error)
            path.unlink(missing_ok=True)
            del self.best_k_models[str(path)]

    def on_train_batch_start(self, *_: Any) -> None:
        self._validated, self._written = False, None

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._validated = True
        super().on_validation_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._written = None
        super().on_train_epoch_end(trainer, pl_module)

    def _save_checkpoint(self, trainer: L.Trainer, filepath: str) -> None:
        files = trainer.strategy.checkpoint_io
        if self._first is not None and isinstance(files, WholeCheckpointIO):
            with files.copying(self._first._written):
                super()._save_checkpoint(trainer, filepath)
        else:
            super()._save_checkpoint(trainer, filepath)
        self._written = Path(filepath)

    def _should_save_on_train_epoch_end(self, trainer: L.Trainer) -> bool:
        return super()._should_save_on_train_epoch_end(trainer) or (self._validated and batches_done(trainer) == 0)


class StepCheckpoints(Checkpoint):
    """Write `path` within epochs, so that little is lost, and end the run when `stop` asks for it.

    If a validation follows a batch, the checkpoint waits for it, since an earlier one could not say that it is still to
    come. The checkpoint of an epoch's end is not this one's. A `Checkpoint` runs after all other callbacks and so keeps
    what they know of the validation; the best checkpoint must stand before it in the list.

    Args:
        steps, seconds: How often; both None: only when stopping.
    """

    def __init__(self, path: Path, stop: Stop, steps: int | None = None, seconds: float | None = None) -> None:
        self.path = path
        self._stop = stop
        self._steps, self._seconds = steps, seconds
        self._saved_step, self._saved_at = 0, 0.0
        self._agreement = Agreement(stop)
        self._may_leave = False
        self._is_over = False

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Note that a callback ended the training, which Lightning forgets, and of how many epochs.

        Not that the time is up or all steps are done: the next run may have more.
        """
        callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        left = [callback.time_remaining() for callback in callbacks if isinstance(callback, Timer)]
        if (
            trainer.should_stop
            and not all_steps_done(trainer)
            and not any(seconds is not None and seconds <= 0 for seconds in left)
        ):
            checkpoint["stopped_early_of"] = trainer.max_epochs

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Leave it ended, unless the run gets more epochs."""
        self._is_over = checkpoint.get("stopped_early_of") == trainer.max_epochs

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Replace Lightning's handlers, which would end the run without a checkpoint; it restores older ones later.

        Of several processes it has none (`src.training.processes`).
        """
        self._stop.listen()
        trainer.should_stop |= self._is_over
        self._note(trainer)
        self._leave_if_asked(trainer)

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Replace them here, too."""
        self._stop.listen()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: tuple[Tensor, Tensor], batch_idx: int
    ) -> None:
        """Leave only now, not with the checkpoint: the loggers have got the figures of its batch in between."""
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
        if all_steps_done(trainer):  # within an epoch Lightning validates where the time is up, but not for steps
            trainer.should_stop = True
        if not validates(trainer):
            self._save_if_due(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.sanity_checking:
            self._save_if_due(trainer)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leave if asked during the last batch or validation of the epoch before: its checkpoint is written now."""
        self._note(trainer)
        self._leave_if_asked(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._leave_if_asked(trainer)

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

    def _leave_if_asked(self, trainer: L.Trainer) -> None:
        if trainer.world_size > 1:
            self._agreement.reach()
        if self._stops(trainer):
            self._stop.leave()

    def _stops(self, trainer: L.Trainer) -> bool:
        return bool(self._stop) if trainer.world_size == 1 else self._agreement.stops

    def _save_if_due(self, trainer: L.Trainer) -> None:
        done = batches_done(trainer)
        if done == 0 or trainer.should_stop or not self._is_due(trainer, done):  # the epoch's end writes another
            return
        trainer.save_checkpoint(self.path)
        self._note(trainer)
        self._may_leave = self._stops(trainer)

    def _is_due(self, trainer: L.Trainer, done: int) -> bool:
        if trainer.world_size == 1:
            return bool(self._stop) or self._has_waited(trainer)
        # What each process has accumulated by itself is in no checkpoint: it waits for the step.
        if done % trainer.accumulate_grad_batches != 0:
            return False
        return self._agreement.is_due(self._has_waited(trainer))

    def _has_waited(self, trainer: L.Trainer) -> bool:
        """Return whether it is time for a checkpoint by the settings."""
        if self._steps is not None:
            return trainer.global_step - self._saved_step >= self._steps
        return self._seconds is not None and time.monotonic() - self._saved_at >= self._seconds

    def _note(self, trainer: L.Trainer) -> None:
        self._saved_step, self._saved_at = trainer.global_step, time.monotonic()


def all_steps_done(trainer: L.Trainer) -> bool:
    """Return whether `trainer.max_steps` ends the training here."""
    return 0 <= trainer.max_steps <= trainer.global_step


def checkpoint_callbacks(folder: RunFolder, stop: Stop, *, monitor: str, mode: str, every: Any) -> list[L.Callback]:
    """Return what writes best.ckpt and last.ckpt; `every` is `checkpoint_every`.

    Lightning's own `save_last` writes last.ckpt only when the best is written.
    """
    # A run that is resumed goes on there, and `src.resuming.unfinished` sees to it that it does so with the next batch.
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
    warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before the epoch ended")
    settings: dict[str, Any] = {"dirpath": folder.checkpoints, "enable_version_counter": False}
    best, last = folder.best_checkpoint.stem, folder.last_checkpoint.stem
    # Figures of the training images are there at an epoch's end alone.
    at_the_end = True if monitor.startswith("train/") else None
    steps, seconds = checkpoint_interval(every)
    of_best = RunCheckpoint(filename=best, monitor=monitor, mode=mode, save_on_train_epoch_end=at_the_end, **settings)
    return [
        of_best,
        RunCheckpoint(first=of_best, filename=last, save_on_train_epoch_end=True, **settings),
        StepCheckpoints(folder.last_checkpoint, stop, steps, seconds),
    ]


def checkpoint_interval(every: Any) -> tuple[int | None, float | None]:
    """Return steps or seconds from what was typed: 500, `30s`, `10min`, `1.5h` or null; else raise `InputError`."""
    if every is None:
        return None, None
    if isinstance(every, int) and not isinstance(every, bool) and every > 0:
        return every, None
    match = re.fullmatch(rf"(\d+\.?\d*) *({'|'.join(UNITS)})", str(every))
    if match is None or float(match[1]) == 0:
        raise InputError(f"checkpoint_every={every} is not possible: take steps such as 500, or a time such as 10min")
    return None, float(match[1]) * UNITS[match[2]]
