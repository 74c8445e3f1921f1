"""Which process of a training this is, by what each launcher puts into the environment."""

import os

import pytest

from src.errors import InputError
from src.ranks.place import is_follower, place

MEETING = {"MASTER_ADDR": "node0", "MASTER_PORT": "29500"}
TORCHRUN = MEETING | {
    "RANK": "3", "LOCAL_RANK": "1", "GROUP_RANK": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2",
    "TORCHELASTIC_RUN_ID": "none",
}  # fmt: skip
# A step (srun) of Slurm 22.05, two tasks on each of two machines, in a job that may have more.
STEP = {
    "SLURM_JOB_ID": "12", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NODELIST": "node[3-4]", "SLURM_NTASKS": "8", "SLURM_PROCID": "2", "SLURM_LOCALID": "0",
    "SLURM_NODEID": "1", "SLURM_JOB_NAME": "train",
}  # fmt: skip
SHELL = {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in list(os.environ):
        if name.startswith(("SLURM", "OMPI", "PMI")) or name in {**TORCHRUN, "NODE_RANK": ""}:
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, (0, 1, 0, 0)),
        (TORCHRUN, (3, 4, 1, 1)),
        (TORCHRUN | STEP, (3, 4, 1, 1)),  # torchrun within a job
        (STEP, (2, 4, 1, 0)),
        (STEP | {"SLURM_JOB_NAME": "interactive"}, (2, 4, 1, 0)),  # srun within salloc
        (STEP | {"SLURM_JOB_NAME": "bash", "SLURM_PROCID": "0"}, (0, 1, 0, 0)),  # a shell: srun -n4 --pty bash
        (SHELL, (0, 1, 0, 0)),
        (SHELL | {"SLURM_STEP_ID": "4294967290", "SLURM_STEP_NUM_TASKS": "1"}, (0, 1, 0, 0)),
        (MEETING | {"RANK": "2", "WORLD_SIZE": "3"}, (2, 3, 2, 0)),  # Kubeflow: a process a machine
        ({"LOCAL_RANK": "1", "WORLD_SIZE": "2", "NODE_RANK": "0"} | MEETING, (1, 2, 0, 1)),  # Lightning's own child
        ({"LOCAL_RANK": "0", "WORLD_SIZE": "2", "NODE_RANK": "0"} | MEETING, (0, 2, 0, 0)),
    ],
)
def test_each_launcher_is_understood(variables, expected, environment) -> None:
    for name, value in variables.items():
        environment.setenv(name, value)
    assert tuple(place())[:4] == expected
    assert is_follower() == (expected[0] > 0)


def test_steps_of_one_job_meet_at_ports_of_their_own(environment) -> None:
    ports = set()
    for job in ("12", "13", "10012"):
        for step in ("0", "1"):
            for name, value in (STEP | {"SLURM_JOB_ID": job, "SLURM_STEP_ID": step}).items():
                environment.setenv(name, value)
            environment.delenv("MASTER_PORT", raising=False)
            environment.delenv("MASTER_ADDR", raising=False)
            step_environment = place().environment
            assert step_environment is not None
            assert step_environment.main_address == "node3"
            ports.add(step_environment.main_port)
    assert len(ports) == 6
    assert all(15_000 <= port < 30_000 for port in ports)


def test_a_strange_rank_is_named(environment) -> None:
    environment.setenv("LOCAL_RANK", "first")
    with pytest.raises(InputError, match="LOCAL_RANK=first in the environment is no number"):
        place()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (TORCHRUN | {"WORLD_SIZE": "four"}, "WORLD_SIZE=four in the environment is no number"),
        ({"RANK": "first"}, "RANK=first in the environment is no number"),
        (TORCHRUN | {"MASTER_PORT": "http"}, "MASTER_PORT=http in the environment is no number"),
        (TORCHRUN | {"MASTER_PORT": "99999"}, "MASTER_PORT=99999 in the environment is no port"),
        (TORCHRUN | {"WORLD_SIZE": "2"}, "process 3 of 2, counted from 0, is none"),
        (TORCHRUN | {"RANK": "-1"}, "process -1 of 4, counted from 0, is none"),
        (STEP | {"SLURM_JOB_ID": "?"}, r"SLURM_JOB_ID=\? in the environment is no number"),
        ({"SLURM_STEP_NUM_TASKS": "2"}, "SLURM_PROCID is not set, and others of a launcher are"),
    ],
)
def test_a_strange_environment_is_named(variables, said, environment) -> None:
    for name, value in variables.items():
        environment.setenv(name, value)
    with pytest.raises(InputError, match=said):
        place()


def test_mpirun_without_mpi4py_names_the_package(environment) -> None:
    environment.setenv("OMPI_COMM_WORLD_SIZE", "2")
    with pytest.raises(InputError, match="pip install mpi4py"):
        place()
