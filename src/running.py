"""A run: one session in its folder, alone there, whose record is kept true however it ends."""

import logging
import shlex
import sys
from contextlib import nullcontext

import lightning as L
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.errors import InputError
from src.logs import is_follower
from src.results import sum_up
from src.run import RunFolder
from src.session import Session
from src.training.hardware import describe_hardware
from src.training.resumption import last_whole

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
        if not is_follower():
            folder.clear(all_of_it=checkpoint is None)
    try:
        session = Session(cfg, folder, checkpoint)
    except OmegaConfBaseException as error:  # a setting was taken out with ~
        raise InputError(f"{str(error).splitlines()[0]}: the configuration needs it") from error
    main_process = session.trainer.is_global_zero
    if main_process:
        for change in folder.start(command=command, seed=cfg.seed, hardware=describe_hardware(), resumed=resume):
            log.warning("since this run began %s: it may not go on exactly as it would have", change)
        folder.keep_settings(OmegaConf.to_yaml(cfg))
    try:
        with folder.recorded() if main_process else nullcontext():
            metrics = session.run()
    except (KeyboardInterrupt, SystemExit) as error:
        if main_process and folder.last_checkpoint.exists():
            _say_how_to_go_on(folder, error)
        raise
    if main_process:
        sum_up(metrics, folder)
    return metrics


def _say_how_to_go_on(folder: RunFolder, error: BaseException) -> None:
    """One line on stderr; of a sweep the command line says it."""
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        return
    print(f"interrupted: python -m src.train resume={shlex.quote(folder.shown)} goes on", file=sys.stderr)
    if isinstance(error, KeyboardInterrupt):
        error.args = ("said",)
