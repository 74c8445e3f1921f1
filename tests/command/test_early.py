"""What comes before a training: a job that is told to stop then, and a folder that holds something already."""

import errno
import signal
from pathlib import Path

import pytest
from hydra.core import utils

from src.command.early import queue_again_early
from src.ranks import job
from tests.command.test_resume import SMALL
from tests.support.command_line import run_here

SCONTROL = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/asked"
echo "JobId=12 JobState=RUNNING PreemptTime=TIME"
"""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of what scontrol was asked for; no job is preempted."""
    command = tmp_path / "scontrol"
    command.write_text(SCONTROL.replace("TIME", "None"))
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    monkeypatch.setattr(job, "_asked", set())
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)}
    yield tmp_path / "asked"
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("words", "number", "preempted", "again"),
    [
        (["requeue=true"], signal.SIGUSR1, False, True),
        (["requeue=true"], signal.SIGTERM, True, True),
        (["requeue=true"], signal.SIGTERM, False, False),  # cancelled
        (["requeue=true", "requeue=false"], signal.SIGUSR1, False, False),
        ([], signal.SIGUSR1, False, False),
    ],
)
def test_a_job_told_before_its_training_is_queued_again(words, number, preempted, again, asked, capsys) -> None:
    """Once: Slurm would run it twice. Slurm's SIGTERM to what still runs is ignored from then on."""
    if preempted:
        (asked.parent / "scontrol").write_text(SCONTROL.replace("TIME", "2026-01-01T00:00:00"))
    for _ in range(2):
        assert queue_again_early(words, number) is again
    said = asked.read_text() if asked.exists() else ""
    assert said.count("requeue 12") == again
    assert capsys.readouterr().err == ("interrupted: job 12 is queued again, and begins then\n" if again else "")
    assert (signal.getsignal(signal.SIGTERM) == signal.SIG_IGN) is again


def test_a_log_of_somebodys_own_stays(photos: Path, tmp_path: Path) -> None:
    """`resume=auto` removes what a process has left that was ended before its training, Hydra's record with the log."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "train.log").write_text("mine\n")
    words = (*SMALL, f"data.root={photos}", "resume=auto")
    refused = run_here(*words, cwd=tmp_path)
    assert refused.returncode == 2
    assert f"error: {run} holds a run already" in refused.stderr
    assert (run / "train.log").read_text() == "mine\n"
    (run / "train.log").unlink()
    (run / ".hydra").mkdir()
    (run / ".hydra" / "config.yaml").write_text("cut off: [")
    assert run_here(*words, cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("folder", ["runs/${now:%H}", "runs/${ hex:4}", "runs/${sweep}"])
def test_a_folder_that_is_another_each_time_is_none_to_go_on_in(folder: str, tmp_path: Path) -> None:
    refused = run_here(f"hydra.run.dir={folder}", "resume=auto", "requeue=true", cwd=tmp_path)
    assert refused.returncode == 2
    assert "is another folder each time" in refused.stderr
    assert not any(tmp_path.iterdir())


def test_a_disk_that_is_full_at_once_takes_a_line(photos: Path, tmp_path: Path, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(utils, "_save_config", fail)
    result = run_here(*SMALL, f"data.root={photos}", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "run can't be written (No space left on device): make room, or name another folder" in result.stderr
    assert not (tmp_path / "run").exists()
