"""Which of a training's processes this one is: Lightning's cluster environments are asked, for all of ResLens.

Lightning and torch are imported only where the environment says that somebody has started several processes.
"""

import os
from typing import TYPE_CHECKING, NamedTuple

from ..errors import InputError

if TYPE_CHECKING:
    from lightning.fabric.plugins import ClusterEnvironment


NUMBERS = (
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "GROUP_RANK"),
    *("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_STEP_NUM_TASKS", "SLURM_JOB_ID", "SLURM_STEP_ID"),
)
"""What launchers set, and Lightning takes for numbers, some of them while it is imported."""


class Place(NamedTuple):
    """The place of this process among all.

    Attributes:
        rank: from 0; the first process speaks and writes for all.
        size: how many there are; 1 also where Lightning will start the others later.
        machine, local_rank: which machine it is on, and which of that machine's processes it is, both from 0.
        environment: Lightning's, of what has started all of them; None where nothing has, or Lightning itself.
    """

    rank: int = 0
    size: int = 1
    machine: int = 0
    local_rank: int = 0
    environment: "ClusterEnvironment | None" = None

    @property
    def name(self) -> str:
        """For people: `process 2 of 4`."""
        return f"process {self.rank + 1} of {self.size}"


def place() -> Place:
    """Return the place of this process, from its environment variables. Raise `InputError` where they give none."""
    for name in NUMBERS:
        _number(name, 0)
    known = _environment()
    if known is not None:
        return _checked(known)
    rank, size = _number("LOCAL_RANK", 0), _number("WORLD_SIZE", 1)
    return Place(rank, max(size, rank + 1), 0, rank)  # Lightning sets both for what it starts on one machine


def is_follower() -> bool:
    """Whether this is the second or a later process of a training: the first speaks and writes for all."""
    return place().rank != 0


def _checked(known: "ClusterEnvironment") -> Place:
    if not 0 <= _number("MASTER_PORT", 0) < 1 << 16:
        raise InputError(f"MASTER_PORT={os.environ['MASTER_PORT']} in the environment is no port: take one below 65536")
    try:
        here = Place(known.global_rank(), known.world_size(), known.node_rank(), known.local_rank(), known)
    except KeyError as error:
        lacking = error.args[0]
        raise InputError(f"{lacking} is not set, and others of a launcher are: use torchrun or srun") from error
    if not (0 <= here.rank < here.size and 0 <= here.local_rank < here.size):
        raise InputError(f"process {here.rank} of {here.size}, counted from 0, is none: use torchrun or srun")
    return here


def _environment() -> "ClusterEnvironment | None":
    """Return Lightning's environment of the launcher that started this process as one of several; None without one.

    Lightning would look for Slurm's variables alone. In a shell or a notebook within an allocation they are there, too,
    and one process is meant: only a step (srun) of several tasks has started several. Its own way out is kept: a job
    called bash, as that of `srun --pty bash` is, has started shells.
    """
    there = os.environ.keys()
    if "RANK" in there and "WORLD_SIZE" in there:
        from lightning.fabric.plugins.environments.kubeflow import KubeflowEnvironment
        from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

        # Kubeflow's operator tells no local rank: it starts a process a machine.
        return TorchElasticEnvironment() if "LOCAL_RANK" in there else KubeflowEnvironment()
    if _number("SLURM_STEP_NUM_TASKS", 1) > 1 and os.environ.get("SLURM_JOB_NAME") != "bash":
        from .slurm import SlurmStep

        return SlurmStep()
    if _number("OMPI_COMM_WORLD_SIZE", 1) > 1 or (_number("PMI_SIZE", 1) > 1 and "PMI_RANK" in there):
        from lightning.fabric.plugins.environments.mpi import MPIEnvironment

        try:
            return MPIEnvironment()
        except ModuleNotFoundError as error:
            raise InputError("mpirun has started several processes, which needs mpi4py: pip install mpi4py") from error
    return None


def _number(variable: str, default: int) -> int:
    try:
        return int(os.environ.get(variable, default))
    except ValueError:
        raise InputError(f"{variable}={os.environ[variable]} in the environment is no number: unset it") from None
