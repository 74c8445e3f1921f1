"""A run's callbacks and loggers: those that every run has, and those that the configuration names."""

import re
from collections.abc import Sequence
from typing import Any

import lightning as L
from hydra.utils import get_class
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf
from rich import get_console

from ..callbacks.first_batch import FirstBatch
from ..callbacks.history import History
from ..callbacks.progress import progress_callbacks
from ..callbacks.tensorboard import TensorBoardCharts
from ..callbacks.test_outputs import Predictions
from ..callbacks.throughput import Throughput
from ..errors import InputError, first_line
from ..resuming.checkpoints import checkpoint_callbacks
from ..resuming.stopping import Stop
from ..runs.folder import RunFolder
from ..settings.defaults import PACKAGE
from ..settings.trust import check_named, resolved
from .averaging import RunningAverage


def run_callbacks(
    cfg: DictConfig,
    folder: RunFolder,
    throughput: Throughput,
    history: History,
    predictions: Predictions,
    stop: Stop,
    first_batch: FirstBatch,
    own: Sequence[L.Callback] = (),
) -> list[L.Callback]:
    """Return a run's callbacks, those that write checkpoints last: these keep what the others know."""
    progress = progress_callbacks(get_console(), throughput, bar=cfg.trainer.enable_progress_bar)
    callbacks = [throughput, *progress, history, predictions, first_batch, TensorBoardCharts()]
    callbacks += [build(node, "callbacks") for node in cfg.callbacks.values() if node is not None]
    callbacks += own
    if not any(cfg.logger.values()) and any(isinstance(callback, LearningRateMonitor) for callback in callbacks):
        raise InputError("callbacks=lr_monitor writes to the loggers, and there is none: leave it, or logger=none, out")
    if (decay := OmegaConf.select(cfg, "ema")) is not None:  # earlier runs have none
        callbacks.append(RunningAverage(decay))
    if cfg.trainer.enable_checkpointing:
        every = OmegaConf.select(cfg, "checkpoint_every")
        callbacks += checkpoint_callbacks(folder, stop, monitor=cfg.monitor, mode=cfg.mode, every=every)
    return callbacks


def run_loggers(cfg: DictConfig, folder: RunFolder) -> list[Logger]:
    """Return the loggers that the configuration names; they write into the run folder."""
    return [build(node, "logger", save_dir=str(folder.path)) for node in cfg.logger.values() if node is not None]


def build(node: DictConfig, group: str, **arguments: Any) -> Any:
    """Return the callback or logger that a configuration node names.

    Raises:
        InputError: It names anything else than `src.settings.nameable` lists, for a configuration from elsewhere must
            not name code, or it doesn't take these arguments.
    """
    settings = resolved(node, group)
    check_named({group: {"it": settings}})
    # Configurations say src, whatever name we are installed under: two copies of a class would be two classes.
    target = re.sub(r"^(src|reslens)\.", f"{PACKAGE}.", settings.pop("_target_"))
    try:
        return get_class(target)(**settings, **arguments)
    except Exception as error:
        cause = error.__cause__ or error
        if isinstance(cause, InputError):
            raise cause from None
        raise InputError(f"{group}: {target} can't be made: {first_line(cause)}") from error
