"""How Lightning's Trainer meets the processes that are there: those of a launcher, or those that it starts itself."""

import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from typing import Any

import lightning as L
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.utilities.distributed import _set_num_threads_if_needed
from lightning.pytorch.strategies.launchers.subprocess_script import _SubprocessScriptLauncher

from ..data import ImageDataModule
from ..errors import InputError
from ..ranks.joining import crew
from ..runs.folder import RunFolder
from ..settings.defaults import PACKAGE

log = logging.getLogger(__name__)


def settle_processes(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the group `trainer` for the processes that torchrun, srun or the like have started.

    One process has one device. Raise `InputError` where other numbers were asked for. A process that nobody has started
    as one of several keeps its settings, and looks for no scheduler: a shell within Slurm's allocation is one.
    """
    # Lightning looks for Slurm whatever it is given, and complains where there is one that nobody has asked for.
    warnings.filterwarnings("ignore", "The `srun` command is available")
    here, machines = crew().place, crew().machines
    plugins = list(trainer["plugins"] or [])
    if here.environment is None:
        if trainer["num_nodes"] not in (1, "1"):
            raise InputError(
                f"trainer.num_nodes={trainer['num_nodes']} needs a process for each device of each machine: start them "
                "with torchrun or srun"
            )
        return {**trainer, "plugins": [LightningEnvironment(), *plugins]}
    each = here.size // machines
    if each * machines != here.size:
        raise InputError(f"{here.size} processes on {machines} machines: start as many on each of them")
    for key, there, usual in (("devices", each, ("auto", -1, "-1", 1, "1")), ("num_nodes", machines, (1, "1"))):
        asked = trainer[key]
        if asked not in usual and (len(asked) if isinstance(asked, list) else str(asked)) not in (there, str(there)):
            raise InputError(
                f"trainer.{key}={asked}, but {here.size} processes on {machines} "
                f"{'machine' if machines == 1 else 'machines'} were started: leave it out, or start others"
            )
    devices = trainer["devices"] if isinstance(trainer["devices"], list) else each
    strategy = "ddp" if trainer["strategy"] == "auto" and here.size > 1 else trainer["strategy"]
    places = {"devices": devices, "num_nodes": machines, "strategy": strategy}
    return {**trainer, **places, "plugins": [here.environment, *plugins]}


def keep_global_batch(data: ImageDataModule, folder: RunFolder, processes: int) -> None:
    """Let the batches of a run that goes on with another number of processes hold the images that they would have held.

    Batch k of all processes together is the same then, and so are the steps of an epoch and the learning rates. Raise
    `InputError` where the processes can't share it evenly: the mean of their gradients would not be that of the images.
    """
    began = crew().share("processes", lambda: folder.processes) or processes
    if began == processes:
        return
    together = data.batch_size * began
    if together % processes:
        raise InputError(
            f"{folder.shown} was begun with batches of {together} images ({began} × {data.batch_size}), which "
            f"{processes} processes can't share evenly: take a number that divides {together}"
        )
    data.batch_size = together // processes
    log.warning(
        "goes on with %d × %d images a batch instead of %d × %d: weights will differ in rounding, and where batch norm "
        "sees other batches by more than that",
        *(processes, data.batch_size, began, together // began),
    )


def leave_signals_to_us(trainer: L.Trainer) -> None:
    """Keep Lightning from ending processes: `src.ranks.crew` ends all with one, `src.resuming` answers signals.

    Lightning 2.6.6 kills all processes, the first as well, when one that it started has died: nobody says why. And
    after each batch it broadcasts whether SIGTERM has come, and waits for the device to hear of it. Its handler of
    SIGTERM broadcasts, too: in one process alone, while the others are at another collective, both wait for half an
    hour, within C++ code, where no signal is answered any more.
    """
    launcher = trainer.strategy.launcher
    if isinstance(launcher, _SubprocessScriptLauncher):
        launcher.__class__ = _Unobserved
    if trainer.world_size > 1:
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]
        connector = trainer._signal_connector

        def keep_ours() -> None:  # and put them back when a loop has ended, as Lightning does with its own
            connector._original_handlers = connector._get_current_signal_handlers()

        connector.register_signal_handlers = keep_ours  # type: ignore[method-assign]


class _Unobserved(_SubprocessScriptLauncher):
    """Starts the processes without a thread that looks after them, and kills none when Ctrl-C ends the first."""

    def kill(self, signum: Any) -> None:
        """Nothing: the others end by themselves, or with the first."""

    def launch(self, function: Any, *args: Any, trainer: Any = None, **kwargs: Any) -> Any:  # noqa: ARG002
        self.cluster_environment.validate_settings(num_devices=self.num_processes, num_nodes=self.num_nodes)
        if not self.cluster_environment.creates_processes_externally:
            with as_command():
                self._call_children_scripts()
        _set_num_threads_if_needed(num_processes=self.num_processes)
        return function(*args, **kwargs)


@contextmanager
def as_command() -> Iterator[None]:
    """Let Lightning find the module that it starts the other processes with: that of `__main__`.

    It is the launcher's (joblib, submitit, Ray) where a run of a sweep has a process of its own.
    """
    main = sys.modules["__main__"]
    before = main.__spec__
    is_ours = before is not None and before.name.partition(".")[0] == PACKAGE
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN and not is_ours:
        main.__spec__ = ModuleSpec(f"{PACKAGE}.{HydraConfig.get().job.name}", None)
    try:
        yield
    finally:
        main.__spec__ = before
