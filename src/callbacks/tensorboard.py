"""What TensorBoard shows of a run: its curves, and charts of train and val together.

It sorts by name, and opens on what comes first: `train/`, then `val/`. All else is named so that it comes later.
"""

from collections.abc import Mapping
from typing import Any

import lightning as L
from lightning.pytorch.loggers import TensorBoardLogger

from .loggers import curves, loggers


class RunLogger(TensorBoardLogger):
    """Lightning's TensorBoard logger with its event files at the top of the run folder and nothing else there.

    The base class would put a second copy of the configuration, hparams.yaml, beside the run's own in `.hydra/`.
    """

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write the curves."""
        super().log_metrics(curves(metrics), step)

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
    return [logger for logger in loggers(trainer) if isinstance(logger, TensorBoardLogger)]
