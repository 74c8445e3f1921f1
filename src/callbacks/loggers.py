"""What a run shows besides its curves, and how each kind of logger takes it.

A logger that has no way to show something leaves it out: one answer below is what the kinds without a line get.
"""

import logging
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import singledispatch
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from omegaconf import DictConfig
from PIL import Image

from ..analysis.tasks import Task
from ..errors import first_line
from ..runs.turned import chosen, varied

log = logging.getLogger(__name__)

WHOLE_RUN = "whole_run/"
"""How the names begin of what a run has one of: its final figures, in TensorBoard the metrics of the HParams tab."""

EPOCH = "shown_epoch"
"""What W&B counts pictures and what is measured by epoch in: its other curves count steps."""

NO_CURVES = ("baseline/", "best_", "test/", "epoch")
"""How the names begin of what is measured once, and of Lightning's count of the epochs."""

OF_TRAINING = ("lr", "images_per_second")

COUNTS = ("train_seconds", "images_per_second", "best_epoch", "parameters")
"""What is shown of every run beside its figures."""

Chosen = Mapping[str, int | float | str | bool]


def curves(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return what is a curve; learning rate and speed, which Lightning logs without a group, are of the training."""
    return {
        f"train/{name}" if name in OF_TRAINING or name.startswith("lr-") else name: value
        for name, value in metrics.items()
        if not name.startswith(NO_CURVES)
    }


def loggers(trainer: L.Trainer) -> list[Logger]:
    """Return the run's loggers; only the first process has any."""
    return list(trainer.loggers) if trainer.is_global_zero else []


# A picture ------------------------------------------------------------------------------------------------------------


def log_picture(trainer: L.Trainer, tag: str, picture: np.ndarray, epoch: int) -> None:
    """Log a picture (H, W, 3), uint8, of an epoch."""
    for logger in loggers(trainer):
        show_picture(logger, tag, picture, epoch)


@singledispatch
def show_picture(logger: Logger, tag: str, picture: np.ndarray, epoch: int) -> None:
    """Show a picture."""


@show_picture.register
def _(logger: TensorBoardLogger, tag: str, picture: np.ndarray, epoch: int) -> None:
    logger.experiment.add_image(tag, picture, global_step=epoch, dataformats="HWC")


@show_picture.register
def _(logger: WandbLogger, tag: str, picture: np.ndarray, epoch: int) -> None:
    import wandb

    logger.experiment.log({tag: wandb.Image(Image.fromarray(picture)), EPOCH: epoch})


@show_picture.register
def _(logger: MLFlowLogger, tag: str, picture: np.ndarray, epoch: int) -> None:
    assert logger.run_id is not None
    logger.experiment.log_image(logger.run_id, Image.fromarray(picture), f"{tag}/epoch_{epoch:03d}.png")


# A figure of an epoch -------------------------------------------------------------------------------------------------


def log_by_epoch(trainer: L.Trainer, tag: str, value: float, epoch: int) -> None:
    """Log a figure whose step is an epoch, as that of a picture is."""
    for logger in loggers(trainer):
        show_by_epoch(logger, tag, value, epoch)


@singledispatch
def show_by_epoch(logger: Logger, tag: str, value: float, epoch: int) -> None:
    """Show a figure by epoch."""


@show_by_epoch.register
def _(logger: TensorBoardLogger, tag: str, value: float, epoch: int) -> None:
    logger.experiment.add_scalar(tag, value, global_step=epoch)


@show_by_epoch.register
def _(logger: WandbLogger, tag: str, value: float, epoch: int) -> None:
    logger.experiment.log({tag: value, EPOCH: epoch})


@show_by_epoch.register
def _(logger: MLFlowLogger, tag: str, value: float, epoch: int) -> None:
    assert logger.run_id is not None
    logger.experiment.log_metric(logger.run_id, tag, value, step=epoch)


# Settings and final figures -------------------------------------------------------------------------------------------


def log_result(
    trainer: L.Trainer,
    settings: DictConfig,
    typed: Iterable[str],
    metrics: Mapping[str, float],
    task: Task,
    epoch: int,
) -> None:
    """Log what somebody chose for the run beside its final figures, such as `whole_run/test_f1`, at the best epoch.

    Args:
        typed: The words of its command, such as `optimizer.lr=0.1`.
        metrics: What metrics.json holds.
    """
    figures = [name for name, metric in task.metrics.items() if metric.curve and metric.mode == "max"]
    names = [f"{split}/{name}" for split in ("test", "val", "baseline") for name in figures]
    final = {WHOLE_RUN + name.replace("/", "_"): metrics[name] for name in (*names, *COUNTS) if name in metrics}
    for logger in loggers(trainer):
        show_result(logger, chosen(settings, typed), final, epoch)


@singledispatch
def show_result(logger: Logger, settings: Chosen, final: Mapping[str, float], epoch: int) -> None:
    """Show the chosen settings and the final figures."""


@show_result.register
def _(logger: TensorBoardLogger, settings: Chosen, final: Mapping[str, float], epoch: int) -> None:
    several = varied(Path(logger.log_dir).parent)
    starred = {name for name in settings if {name, name.removesuffix(".name")} & several}
    # The HParams tab shows at first the five that come first by name: a star puts what a sweep varies before all else.
    # The plain name stays beside it, so that runs of several sweeps, and single ones, have a column in common.
    first = {f"*{name}": value for name, value in settings.items() if name in starred}
    logger.log_hyperparams(first | dict(settings), dict(final), step=epoch)


@show_result.register
def _(logger: WandbLogger, settings: Chosen, final: Mapping[str, float], _epoch: int) -> None:
    logger.experiment.config.update(dict(settings), allow_val_change=True)
    logger.experiment.summary.update(dict(final))


@show_result.register
def _(logger: MLFlowLogger, settings: Chosen, final: Mapping[str, float], epoch: int) -> None:
    client, run = logger.experiment, logger.run_id
    assert run is not None
    known = client.get_run(run).data.params
    logger.log_hyperparams({name: value for name, value in settings.items() if name not in known})
    for name, value in settings.items():
        if known.get(name, str(value)) != str(value):  # of a run that was given more epochs; a parameter stays
            client.set_tag(run, name, str(value))
    for name, value in final.items():
        client.log_metric(run, name, value, step=epoch)


# Where it is seen -----------------------------------------------------------------------------------------------------


@singledispatch
def seen_by(logger: Logger, logdir: str) -> str | None:
    """Return the command that shows what was logged, behind its name; None where it is a file, or needs none."""


@seen_by.register
def _(_logger: TensorBoardLogger, logdir: str) -> str:
    return f"TensorBoard  tensorboard --logdir {shlex.quote(logdir)}"


@seen_by.register
def _(logger: MLFlowLogger, _logdir: str) -> str:
    return f"MLflow       mlflow ui --backend-store-uri {shlex.quote(str(logger._tracking_uri))}"


# The end --------------------------------------------------------------------------------------------------------------


@contextmanager
def closing(trainer: L.Trainer) -> Iterator[None]:
    """Tell the loggers how the block ended. What goes wrong with that is no reason to lose a training."""
    status = "failed"
    try:
        yield
        status = "finished"
    except (KeyboardInterrupt, SystemExit):
        status = "interrupted"
        raise
    finally:
        for logger in loggers(trainer):
            try:
                close(logger, status)
            except Exception as error:
                log.warning("%s can't be closed: %s", type(logger).__name__, first_line(error))


@singledispatch
def close(logger: Logger, status: str) -> None:
    """End a logger, if it has begun; `status` is that of run.json."""


@close.register
def _(logger: TensorBoardLogger, _status: str) -> None:
    if logger._experiment is not None:
        logger.experiment.close()


@close.register
def _(logger: CSVLogger, _status: str) -> None:
    if logger._experiment is not None:
        logger.save()


@close.register
def _(logger: WandbLogger, status: str) -> None:
    if logger._experiment is not None:
        logger.experiment.finish(exit_code=0 if status == "finished" else 1)
        logger._experiment = None


@close.register
def _(logger: MLFlowLogger, status: str) -> None:
    ends: dict[str, Any] = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
    if logger._initialized and logger.run_id is not None:
        logger.experiment.set_terminated(logger.run_id, ends[status])
