"""A run: one session in its folder, alone there, whose record is kept true however it ends."""

import logging
import shlex
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import lightning as L
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..data.workers import deaths_named
from ..errors import InputError, first_line
from ..logs import is_follower, say_interrupted
from ..resuming.event_files import cut_events
from ..resuming.starting_point import last_whole, progress
from ..runs.folder import RunFolder
from .hardware import describe_hardware
from .results import sum_up
from .session import Session

log = logging.getLogger(__name__)


def run_training(cfg: DictConfig, folder: RunFolder, command: str, *, resume: bool = False) -> dict[str, float]:
    """One run in `folder`, from configuration to figures; what metrics.json holds.

    With `resume` the folder holds a run that ended early: it goes on, or begins anew where it has no whole epoch.
    Raises `InputError` while nothing is begun, `RunError` where the loss is not finite.
    """
    lightning_log = logging.getLogger("lightning")
    lightning_log.handlers.clear()  # it would print to stderr by itself; the root's handlers are ours
    lightning_log.propagate = True
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    # A distributed run's other processes are started by the first, which is in the folder already.
    with nullcontext() if is_follower() else folder.locked():
        return _run_alone(cfg, folder, command, resume)


def _run_alone(cfg: DictConfig, folder: RunFolder, command: str, resume: bool) -> dict[str, float]:
    checkpoint = None
    if resume:
        checkpoint = last_whole(folder)
        if checkpoint is None and folder.is_whole:
            raise InputError(f"{folder.shown} is finished and has no whole checkpoint left: train a new run")
    try:
        session = Session(cfg, folder, checkpoint)
    except OmegaConfBaseException as error:  # a setting was taken out with ~
        raise InputError(f"{first_line(error)}: the configuration needs it") from error
    main_process = session.trainer.is_global_zero
    if main_process:
        if resume:
            folder.clear(all_of_it=checkpoint is None)
        changes = folder.start(
            command=command,
            seed=cfg.seed,
            hardware=describe_hardware(),
            resumed=resume,
            batch_size=session.found_batch_size,
        )
    try:
        with folder.recorded() if main_process else nullcontext(), deaths_named():
            if main_process:
                _prepare(folder, cfg, changes, checkpoint)
            metrics = session.run()
    except (KeyboardInterrupt, SystemExit) as error:
        if main_process:
            _say_how_to_go_on(folder, error)
        raise
    if main_process:
        sum_up(metrics, folder)
    return metrics


def _prepare(folder: RunFolder, cfg: DictConfig, changes: Sequence[str], checkpoint: Path | None) -> None:
    """Leave in the folder, and say, what the run begins or goes on with."""
    for change in changes:
        log.warning("since this run began %s: it may not go on exactly as it would have", change)
    folder.keep_settings(OmegaConf.to_yaml(cfg))
    if checkpoint is not None:
        cut_events(folder.path, *progress(checkpoint))


def _say_how_to_go_on(folder: RunFolder, error: BaseException) -> None:
    """One line on stderr; of a sweep the command line says it."""
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        return
    does = "goes on" if folder.last_checkpoint.exists() else "begins it again: there is no checkpoint yet"
    say_interrupted(f": python -m src.train resume={shlex.quote(folder.shown)} {does}")
    if isinstance(error, KeyboardInterrupt):
        error.args = ("said",)
