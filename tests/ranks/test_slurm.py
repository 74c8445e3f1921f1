"""Trainings under a real Slurm: one folder for all tasks, stopped, preempted, queued again, and gone on."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from src.runs.folder import RunFolder
from tests.ranks.test_launchers import TINY, alone, one_run, same_run
from tests.support.slurm import Slurm, need_slurm
from tests.support.started import by_hand

pytestmark = pytest.mark.slow

EPOCHS = 12
LONG = (
    *TINY, "data.max_images=600", "data.batch_size=4", f"trainer.max_epochs={EPOCHS}", "callbacks.gradcam=null",
    "hydra.run.dir=run", "resume=auto",
)  # fmt: skip
"""Epochs of 75 steps, so that a signal comes in the middle of one."""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    need_slurm()
    with Slurm(tmp_path_factory.mktemp("slurm")) as started:
        yield started


def script(folder: Path, *words: str, srun: str = "srun --kill-on-bad-exit=1") -> Path:
    """A batch script as in `src/ranks/README.md`."""
    file = folder / "job.sh"
    file.write_text(f"#!/bin/bash\n{srun} {sys.executable} -m src.train {' '.join(words)}\n")
    return file


def said(job: Path) -> str:
    return Path(f"{job}.out").read_text(errors="replace")


def tidy(job: Path) -> None:
    Path(f"{job}.out").unlink()
    job.unlink()


def wait_for(condition: Callable[[], bool], job: Path, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, said(job)
        time.sleep(0.05)


@pytest.mark.parametrize(
    "tasks", [("-n2",), ("-N2", "--ntasks-per-node=1"), ("-N2", "--ntasks-per-node=2")], ids=["2", "1 + 1", "2 + 2"]
)
def test_the_tasks_of_srun_leave_one_run(tasks: tuple[str, ...], slurm: Slurm, tmp_path: Path) -> None:
    """On one node or two, without `--ntasks-per-node` too; without trainer=ddp where no strategy is named."""
    words = (sys.executable, "-m", "src.train", *TINY, "hydra.run.dir=run")
    said = slurm.run("srun", *tasks, *words, cwd=tmp_path)
    one_run(RunFolder(tmp_path / "run"), said)
    alone(tmp_path)


def test_steps_side_by_side_are_trainings_of_their_own(slurm: Slurm, tmp_path: Path) -> None:
    """In one job, on one node: they meet at ports of their own."""
    words = f"{sys.executable} -m src.train {' '.join(TINY)}"
    job = tmp_path / "job.sh"
    step = "srun -n2 --exact --overlap"
    job.write_text(f"#!/bin/bash\n{step} {words} hydra.run.dir=a &\n{step} {words} hydra.run.dir=b &\nwait\n")
    assert slurm.wait(slurm.submit(job, "-N1", "-n4"), "COMPLETED", "FAILED") == "COMPLETED", said(job)
    assert [RunFolder(tmp_path / name).record()["status"] for name in "ab"] == ["finished"] * 2


def test_a_shell_in_an_allocation_of_several_tasks_is_one_process(slurm: Slurm, tmp_path: Path) -> None:
    job = script(tmp_path, *TINY, "hydra.run.dir=run", srun="")
    assert slurm.wait(slurm.submit(job, "-n4"), "COMPLETED", "FAILED") == "COMPLETED", said(job)
    one_run(RunFolder(tmp_path / "run"), said(job))


def test_a_task_that_is_killed_ends_the_job(slurm: Slurm, tmp_path: Path) -> None:
    run, job = RunFolder(tmp_path / "run"), script(tmp_path, *LONG, "trainer.max_epochs=5000", srun="srun")
    number = slurm.submit(job, "-n2")
    wait_for(lambda: run.history_file.exists(), job)
    (task,) = [line.split()[0] for line in slurm.run("scontrol", "listpids", f"{number}.0", "node1").splitlines()
               if line.split()[4:5] == ["1"]]  # fmt: skip
    subprocess.run(["kill", "-9", task], check=True)
    began = time.monotonic()
    assert slurm.wait(number, "FAILED", "COMPLETED", seconds=60) == "FAILED"
    assert time.monotonic() - began < 30
    assert run.record()["status"] == "failed"
    assert said(job).count("error: process 2 of 2") == 1


@pytest.mark.parametrize("told", ["by its owner", "by scontrol", "by another job", "by another job, without grace"])
def test_a_job_goes_on_when_it_is_queued_again(told: str, slurm: Slurm, undisturbed: Path, tmp_path: Path) -> None:
    """Mostly in the middle of an epoch, to the bits of one that nothing has stopped."""
    if told.endswith("without grace"):
        slurm.run("scontrol", "update", "PartitionName=low", "GraceTime=0")
    run, job = RunFolder(tmp_path / "run"), script(tmp_path, *LONG, "requeue=true")
    number = slurm.submit(job, "-n2", "-w", "node1")
    wait_for(lambda: run.history_file.exists() and len(run.history()) > 2, job)
    if told == "by its owner":
        slurm.run("scancel", "--signal=USR1", number)
    elif told == "by scontrol":
        slurm.run("scontrol", "requeue", number)
    else:
        urgent = tmp_path / "urgent.sh"
        urgent.write_text("#!/bin/bash\nsleep 1\n")
        other = slurm.submit(urgent, "-p", "high", "-N1", "-n8", "-w", "node1")
        assert slurm.wait(other, "COMPLETED") == "COMPLETED"
        tidy(urgent)
        slurm.run("scontrol", "update", "PartitionName=low", "GraceTime=60")
    wait_for(lambda: run.record()["status"] == "interrupted", job)
    done = len(run.history())
    slurm.begin_now(number)
    wait_for(lambda: len(run.record().get("resumed", [])) == 1, job)
    assert slurm.wait(number, "COMPLETED", "FAILED") == "COMPLETED", said(job)
    assert sum(line.startswith("epoch ") for line in said(job).splitlines()) == EPOCHS >= done > 2
    tidy(job)
    alone(tmp_path)
    same_run(undisturbed, run.path)


def test_a_job_that_is_told_before_its_training_begins_is_queued_again(slurm: Slurm, tmp_path: Path) -> None:
    """While it imports torch: there is no record yet."""
    run, job = RunFolder(tmp_path / "run"), script(tmp_path, *LONG, "requeue=true")
    number = slurm.submit(job, "-n2", "-w", "node1")
    wait_for(lambda: (run.hydra / "overrides.yaml").exists(), job)
    slurm.run("scancel", "--signal=USR1", number)
    wait_for(lambda: "is queued again" in said(job), job)
    assert not run.record_file.exists()
    slurm.begin_now(number)
    assert slurm.wait(number, "COMPLETED", "FAILED") == "COMPLETED", said(job)
    assert "Traceback" not in said(job)
    assert run.is_whole


def test_a_job_that_is_cancelled_stays_so(slurm: Slurm, tmp_path: Path) -> None:
    run, job = RunFolder(tmp_path / "run"), script(tmp_path, *LONG, "requeue=true")
    number = slurm.submit(job, "-n2")
    wait_for(lambda: run.history_file.exists(), job)
    slurm.run("scancel", number)
    wait_for(lambda: run.record()["status"] == "interrupted", job)
    assert slurm.wait(number, "CANCELLED") == "CANCELLED"
    time.sleep(2)
    assert slurm.state(number) == "CANCELLED"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    with by_hand(folder, *LONG) as started:
        assert started.codes() == [0, 0], started.said
    return folder / "run"
