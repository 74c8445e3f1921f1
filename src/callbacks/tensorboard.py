"""What TensorBoard shows of a run beyond its scalars: charts of train and val together, pictures, hyper-parameters."""

from collections.abc import Mapping
from typing import Any

import lightning as L
import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger


class RunLogger(TensorBoardLogger):
    """Lightning's TensorBoard logger with its event files at the top of the run folder and nothing else there.

    The base class would put a second copy of the configuration, hparams.yaml, beside the run's own in `.hydra/`.
    """

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


def log_result(trainer: L.Trainer, settings: Mapping[str, Any], metrics: Mapping[str, float], step: int) -> None:
    """Add a row to the HParams tab: the run's settings, by their dotted names, beside its final figures."""
    for logger in tensorboards(trainer):
        logger.log_hyperparams(flatten(settings), dict(metrics), step=step)


def log_picture(trainer: L.Trainer, tag: str, picture: np.ndarray, step: int) -> None:
    """Log a picture (H, W, 3), uint8."""
    for logger in tensorboards(trainer):
        logger.experiment.add_image(tag, picture, global_step=step, dataformats="HWC")


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, int | float | str | bool]:
    """Turn `{"optimizer": {"lr": 0.1}}` into `{"optimizer.lr": 0.1}`; lists become text, None is left out."""
    flat: dict[str, int | float | str | bool] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        elif value is not None:
            flat[f"{prefix}{key}"] = value if isinstance(value, (int, float, str, bool)) else str(value)
    return flat
