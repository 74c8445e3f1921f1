"""What TensorBoard shows of a run: curves, charts of train and val together, pictures, hyper-parameters.

It sorts by name, and opens on what comes first: `train/`, then `val/`. All else is named so that it comes later.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import lightning as L
import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import DictConfig

from ..analysis.tasks import Task
from ..runs.turned import chosen

WHOLE_RUN = "whole_run/"
"""How the tags begin of what a run has one of: its final figures, which are the metrics of the HParams tab."""

NO_CURVES = ("baseline/", "best_", "test/", "epoch")
"""How the names begin of what is measured once, and of Lightning's count of the epochs."""

OF_TRAINING = ("lr", "images_per_second")

COUNTS = ("train_seconds", "images_per_second", "best_epoch", "parameters")
"""What the HParams tab shows of every run beside its figures."""


class RunLogger(TensorBoardLogger):
    """Lightning's TensorBoard logger with its event files at the top of the run folder and nothing else there.

    The base class would put a second copy of the configuration, hparams.yaml, beside the run's own in `.hydra/`.
    """

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write the curves; learning rate and speed, which Lightning logs without a group, to those of the training."""
        curves = {
            f"train/{name}" if name in OF_TRAINING else name: value
            for name, value in metrics.items()
            if not name.startswith(NO_CURVES)
        }
        super().log_metrics(curves, step)

    def __init__(self, save_dir: str) -> None:
        super().__init__(save_dir=save_dir, name="", version="", default_hp_metric=False)

    def save(self) -> None:
        self.experiment.flush()

    def finalize(self, status: str) -> None:
        """Keep the file open: Lightning calls this after each of measuring, training and measuring again."""
        self.experiment.flush()


class TensorBoardCharts(L.Callback):
    """Adds a Custom Scalars tab with train and val of each metric in one chart."""

    def on_fit_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        layout = {
            "train and val": {
                name: ["Multiline", [f"^train/{name}$", f"^val/{name}$"]] for name in pl_module.task.metrics
            }
        }
        for logger in tensorboards(trainer):
            logger.experiment.add_custom_scalars(layout)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Put everything before a checkpoint on the disk: a run resumed from it won't write it again."""
        for logger in tensorboards(trainer):
            logger.experiment.flush()


def tensorboards(trainer: L.Trainer) -> list[TensorBoardLogger]:
    """Return the run's TensorBoard loggers; only the first process has any."""
    loggers = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
    return loggers if trainer.is_global_zero else []


def log_result(
    trainer: L.Trainer,
    settings: DictConfig,
    typed: Iterable[str],
    metrics: Mapping[str, float],
    task: Task,
    step: int,
) -> None:
    """Add a row to the HParams tab: what somebody chose for the run beside its final figures.

    Args:
        typed: The words of its command, such as `optimizer.lr=0.1`.
        metrics: What metrics.json holds.
    """
    figures = [name for name, metric in task.metrics.items() if metric.curve and metric.mode == "max"]
    names = [f"{split}/{name}" for split in ("test", "val", "baseline") for name in figures]
    final = {WHOLE_RUN + name.replace("/", "_"): metrics[name] for name in (*names, *COUNTS) if name in metrics}
    for logger in tensorboards(trainer):
        logger.log_hyperparams(chosen(settings, typed), final, step=step)


def log_picture(trainer: L.Trainer, tag: str, picture: np.ndarray, step: int) -> None:
    """Log a picture (H, W, 3), uint8."""
    for logger in tensorboards(trainer):
        logger.experiment.add_image(tag, picture, global_step=step, dataformats="HWC")
