"""`hydra/launcher=ray`: each run of a sweep is a task of Ray, on this machine or on a cluster.

Ray shares out processors and GPUs, and starts a run again whose process has died: it goes on from its checkpoint. Of
hydra-ray-launcher 1.2.2 we have the way of calling Ray, and not the package: it wants cloudpickle < 3, joblib's wants 3
or later, and it ends a sweep with the first run that can't be saved.
"""

import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from math import inf
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from ..errors import InputError, first_line
from ..resuming.stopping import SECONDS_OF_ONE_REQUEST, SIGNALS
from ..runs.differing import number_of
from ..settings.ray import TARGET

log = logging.getLogger(__name__)

SECONDS_TO_STOP = 60.0
"""What runs that are told to stop have to finish a batch and write a checkpoint."""

SECONDS_TO_SHOW = 1.0
"""Ray passes on with a delay what its processes print."""

SECONDS = 0.5  # until the next look at signals

SECONDS_TO_ANSWER = 10.0

STORE = 100_000_000
"""Bytes of shared memory for what Ray passes around: configurations, no images."""

VARIABLES = {
    "RAY_DEDUP_LOGS": "0",  # two runs may say the same, and both should be seen
    "RAY_COLOR_PREFIX": "0",
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing goes to anybody's server
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # num_gpus=0: the run sees no GPU
    "RAY_worker_niceness": "0",  # as without Ray
}


class RayLauncher(Launcher):
    """Ray's side of a sweep; the arguments are those of `RayLauncherConf`."""

    def __init__(self, num_cpus: float, num_gpus: float | None, max_retries: int, address: str | None) -> None:
        self.num_cpus, self.num_gpus, self.max_retries, self.address = num_cpus, num_gpus, max_retries, address

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.task, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all, and wait; where one of them is lost for good, the others go on."""
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        Path(self.config.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)
        with self._cluster() as ray:
            job, needs = ray.remote(_job), {"num_cpus": self.num_cpus, "num_gpus": self._gpus(ray)}
            state = ray.put((self.context, self.task, Singleton.get_state(), str(Path.cwd())))
            runs = {}
            for index, words in enumerate(job_overrides, initial_job_idx):
                run = self._run(index, words)
                number = number_of(Path(run.hydra.sweep.subdir))  # some runs alone may be wanted (`only=`)
                name = f"run {(index if number is None else number) + 1}"
                runs[job.options(**needs, max_retries=self.max_retries, name=name).remote(state, run)] = name
            _wait(ray, runs)
            time.sleep(SECONDS_TO_SHOW)
        done = JobReturn()
        done.status, done.return_value = JobStatus.COMPLETED, None  # the run's folder tells what became of it
        return [done for _ in job_overrides]

    def _run(self, index: int, words: Sequence[str]) -> DictConfig:
        run = self.context.config_loader.load_sweep_config(self.config, list(words))
        with open_dict(run):
            run.hydra.job.id, run.hydra.job.num = f"{run.hydra.job.name}_{index}", index
        return run

    @contextmanager
    def _cluster(self) -> Iterator[Any]:
        """Connect to the cluster, or make one of this machine, while a block runs."""
        os.environ.update({name: os.environ.get(name, value) for name, value in VARIABLES.items()})
        address = self.address or os.environ.get("RAY_ADDRESS") or "local"
        if address == "local" and "RAY_AUTH_MODE" not in os.environ:
            # Ray 2.59 and later would make a key for all its clusters, and leave it in the home folder
            os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        import ray  # which reads these variables now

        own: dict[str, Any] = {"include_dashboard": False, "object_store_memory": STORE} if address == "local" else {}
        try:
            _knock(address)
            with _handlers_kept():
                ray.init(address=address, logging_level=logging.ERROR, **own)
        except (ValueError, OSError, RuntimeError, ray.exceptions.RayError) as error:
            raise InputError(f"hydra.launcher.address={address} is no cluster of Ray ({first_line(error)})") from error
        try:
            if address == "local":  # others may grow
                self._check_room(ray)
            yield ray
        finally:
            ray.shutdown()

    def _check_room(self, ray: Any) -> None:
        """Raise `InputError` where a run would wait for ever."""
        there = ray.cluster_resources()
        for name, wanted in (("CPU", self.num_cpus), ("GPU", self._gpus(ray))):
            if wanted > there.get(name, 0):
                setting = f"hydra.launcher.num_{name.lower()}s"
                raise InputError(f"{setting}={wanted:g}, but this machine has {there.get(name, 0):g}: take fewer")

    def _gpus(self, ray: Any) -> float:
        return float("GPU" in ray.cluster_resources()) if self.num_gpus is None else self.num_gpus


def _knock(address: str) -> None:
    """Raise `OSError` where nobody listens at HOST:PORT; Ray would wait for minutes."""
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS_TO_ANSWER).close()


def _wait(ray: Any, runs: dict[Any, str]) -> None:
    """Wait until all runs have ended. When this process is told to stop, they are told, and write checkpoints.

    Args:
        runs: what they are called; empty afterwards.
    """
    with _signals_noted() as came:
        until = inf
        while runs and time.monotonic() < until and not _is_urgent(came):
            ended, _ = ray.wait(list(runs), timeout=SECONDS)
            for run in ended:
                name = runs.pop(run)
                try:
                    ray.get(run)
                except ray.exceptions.TaskCancelledError:
                    pass
                except ray.exceptions.RayError as error:
                    if not came:
                        log.warning("%s is lost: %s", name, first_line(error))
            if came and until == inf:
                until = time.monotonic() + SECONDS_TO_STOP
                for run in runs:
                    ray.cancel(run, force=False)


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Put back what answers signals, also beneath Python, where Ray prints its stack."""
    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _signals_noted() -> Iterator[list[tuple[int, float]]]:
    """Note signals and their times while a block runs, and answer the first of them afterwards.

    Ray has a handler of its own, which ends the process, and makes other errors of what ours raise within it.
    """
    came: list[tuple[int, float]] = []
    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: came.append((number, time.monotonic())))
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0][0])


def _is_urgent(came: Sequence[tuple[int, float]]) -> bool:
    """Return whether somebody has asked again, as during a training without Ray."""
    later = [(number, time_ - came[0][1]) for number, time_ in came[1:]]
    return any(number == signal.SIGINT or after > SECONDS_OF_ONE_REQUEST for number, after in later)


def _job(state: tuple[HydraContext, TaskFunction, Any, str], run: DictConfig) -> None:
    """Do one run, in a process of Ray's."""
    context, task, singletons, folder = state
    os.chdir(folder)  # on each machine the same: `outputs` and the images are on a disk that all share
    setup_globals()
    Singleton.set_state(singletons)
    run_job(task, run, "hydra.sweep.dir", "hydra.sweep.subdir", context)
    sys.stdout.flush()


def register() -> None:
    """Let Hydra find the launcher."""
    Plugins.instance().class_name_to_class[TARGET] = RayLauncher


def check_ray(cfg: DictConfig) -> None:
    """Raise `InputError` where Ray is asked for, and isn't there, or for less than nothing."""
    launcher = cfg.hydra.launcher
    if launcher._target_ != TARGET:
        return
    if find_spec("ray") is None:
        raise InputError("hydra/launcher=ray needs Ray, which isn't installed: pip install 'reslens[ray]'")
    for name in ("num_cpus", "num_gpus", "max_retries"):
        if launcher[name] is not None and launcher[name] < 0:
            raise InputError(f"hydra.launcher.{name}={launcher[name]} is not possible: take 0 or more")
