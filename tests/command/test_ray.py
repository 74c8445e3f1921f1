"""Sweeps on Ray: killed processes, a killed command, two nodes. Each starts a cluster of this machine."""

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
import torch

from src.runs.differing import number_of
from src.runs.folder import RunFolder
from tests.support.command_line import run_here
from tests.support.started import free_port

ROOT = Path(__file__).parents[2]
QUICK = (
    "model=simple_cnn", "trainer=cpu", "logger=none", "cost=false", "baseline=false", "callbacks=none",
    "data.max_images=300",
)  # fmt: skip
ON_RAY = "hydra/launcher=ray"


class Command:
    """`python -m src.train -m WORDS` in `cwd`, in a process of its own; what it says is in `said`."""

    def __init__(
        self, *words: str, cwd: Path, verb: tuple[str, ...] = ("-m", "src.train", "-m"), **variables: str
    ) -> None:
        self._file = cwd / f"said_{time.monotonic_ns()}"
        alone = bool(variables.pop("start_new_session", ""))
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | variables
        with self._file.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, *verb, *words],
                cwd=cwd,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=alone,
            )

    def __enter__(self) -> "Command":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait(10)

    @property
    def said(self) -> str:
        return self._file.read_text(errors="replace")

    def wait_for(self, pattern: str, seconds: float = 120) -> re.Match[str]:
        end = time.monotonic() + seconds
        while (found := re.search(pattern, self.said)) is None:
            assert time.monotonic() < end, self.said
            assert self.process.poll() is None, self.said
            time.sleep(0.05)
        return found

    def code(self, seconds: float = 300) -> int:
        return self.process.wait(seconds)


def kill_run(number: int, command: Command) -> None:
    """In the midst of its training."""
    os.kill(int(command.wait_for(rf"\(run {number} pid=(\d+)\) epoch  9/20")[1]), signal.SIGKILL)


def runs_of(sweep: Path) -> list[RunFolder]:
    numbers = {number: path for path in sweep.iterdir() if (number := number_of(path)) is not None}
    return [RunFolder(numbers[number]) for number in sorted(numbers)]


def weights(run: RunFolder) -> dict[str, torch.Tensor]:
    return torch.load(run.best_checkpoint, weights_only=True)["state_dict"]


def same_bits(one: RunFolder, other: RunFolder) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "hydra/launcher=ray needs Ray, which isn't installed: pip install 'reslens[ray]'"),
        (
            ("hydra.launcher.num_cpus=x",),
            "hydra.launcher.num_cpus=x: Value 'x' of type 'str' could not be converted to Float",
        ),
        (("hydra.launcher.runtime_env=x",), "hydra.launcher.runtime_env"),
    ],
)
def test_what_ray_can_not_do_is_said_before(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    if not words and has_ray():
        pytest.skip("Ray is installed")
    result = run_here("-m", *QUICK, "seed=1,2", ON_RAY, *words, cwd=tmp_path)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert said in result.stderr
    assert not list(tmp_path.iterdir())


def has_ray() -> bool:
    try:
        import ray  # noqa: F401
    except ImportError:
        return False
    return True


needs_ray = pytest.mark.skipif(not has_ray(), reason="Ray isn't installed")


@needs_ray
@pytest.mark.slow
def test_a_sweep_outlives_a_killed_worker_and_a_killed_command(tmp_path: Path) -> None:
    """12 runs; all are finished in the end, with the bits of a run alone, and the report is of all of them."""
    words = (*QUICK, "trainer.max_epochs=20", f"seed={','.join(map(str, range(1, 13)))}")
    sweep = (*words, "sweep=s", ON_RAY)
    with Command(*sweep, cwd=tmp_path) as command:
        kill_run(3, command)
        command.wait_for(r"\(run 6 pid=\d+\) epoch  9/20")
        command.process.kill()
    folders = tmp_path / "outputs" / "sweeps" / "s"
    with Command(*sweep, cwd=tmp_path) as command:
        kill_run(9, command)
        assert command.code() == 0, command.said
        finished = command.said.count("finished before")
        assert "run 9 of 12" in command.said.partition("run 12 of 12")[2], "Ray starts it again, behind the others"
    assert 2 <= finished <= 5
    runs = runs_of(folders)
    assert [run.status for run in runs] == ["finished"] * 12
    assert [len(runs[number - 1].record().get("resumed", [])) for number in (1, 3, 6, 9, 12)] == [0, 1, 1, 1, 0]
    assert pd.read_csv(folders / "report" / "table.csv")["n"].tolist() == [12]
    assert not list(folders.glob(".*")), "no claim, no note"
    for seed in (1, 3, 6, 9):
        alone = tmp_path / f"alone_{seed}"
        last = (*words[:-1], f"seed={seed}", f"hydra.run.dir={alone}")
        with Command(*last, cwd=tmp_path, verb=("-m", "src.train")) as command:
            assert command.code() == 0, command.said
        assert same_bits(runs[seed - 1], RunFolder(alone)), seed


@needs_ray
@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "said"),
    [
        (
            "address=127.0.0.1:1",
            "hydra.launcher.address=127.0.0.1:1 is no cluster of Ray ([Errno 111] Connection refused)",
        ),
        ("num_cpus=1000", "hydra.launcher.num_cpus=1000, but this machine has "),
        ("num_gpus=-1", "hydra.launcher.num_gpus=-1.0 is not possible: take 0 or more"),
    ],
)
def test_what_ray_does_not_have_is_said(word: str, said: str, tmp_path: Path) -> None:
    with Command(*QUICK, "seed=1,2", ON_RAY, f"hydra.launcher.{word}", cwd=tmp_path) as command:
        assert command.code() == 2
        assert command.said.startswith(f"error: {said}")
        assert command.said.count("\n") == 1
    assert not (tmp_path / "outputs").exists()


@needs_ray
@pytest.mark.slow
def test_a_command_that_is_told_to_stop_leaves_checkpoints_of_all(tmp_path: Path) -> None:
    words = (*QUICK, "trainer.max_epochs=40", "seed=1,2,3", "sweep=s", ON_RAY)
    with Command(*words, cwd=tmp_path) as command:
        for number in (1, 2):
            command.wait_for(rf"\(run {number} pid=\d+\) epoch  9/40")
        command.process.send_signal(signal.SIGTERM)
        assert command.code() == 143, command.said
        assert "interrupted: the same command goes on where this one stopped, with sweep=s" in command.said
    runs = runs_of(tmp_path / "outputs" / "sweeps" / "s")
    assert [run.status for run in runs[:2]] == ["interrupted"] * 2
    assert [run.status for run in runs[2:]] in ([], [None])
    assert all(run.last_checkpoint.exists() for run in runs[:2])


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Callable[..., tuple[Command, dict[str, str]]]]:
    """Starts a node of a cluster that only this test can reach; all are gone at its end."""
    started: list[Command] = []
    key = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
    start = ("-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1", "--object-store-memory=100000000")

    def node(number: int, *words: str) -> tuple[Command, dict[str, str]]:
        folder = tmp_path / f"node_{number}"
        folder.mkdir()
        started.append(Command(*words, cwd=folder, verb=start, start_new_session="yes", **key))
        started[-1].wait_for("Ray runtime started")
        return started[-1], key

    yield node
    for command in started:
        with suppress(ProcessLookupError):
            os.killpg(command.process.pid, signal.SIGKILL)
        command.process.wait(10)


@needs_ray
@pytest.mark.slow
def test_two_nodes_share_a_sweep_and_one_is_enough(
    nodes: Callable[..., tuple[Command, dict[str, str]]], tmp_path: Path
) -> None:
    port = free_port()
    head, key = nodes(0, "--head", f"--port={port}", "--include-dashboard=false")
    address = head.wait_for(r"--address='([^']+)'")[1]
    other, _ = nodes(1, f"--address={address}")
    words = (*QUICK, "trainer.max_epochs=20", "seed=1,2,3,4", "sweep=s", ON_RAY, f"hydra.launcher.address={address}")
    with Command(*words, cwd=tmp_path, **key) as command:
        for number in (1, 2):
            command.wait_for(rf"\(run {number} pid=\d+\) epoch  9/20")
        os.killpg(other.process.pid, signal.SIGKILL)
        assert command.code() == 0, command.said
    runs = runs_of(tmp_path / "outputs" / "sweeps" / "s")
    assert [run.status for run in runs] == ["finished"] * 4
    assert sum(len(run.record().get("resumed", [])) for run in runs) == 1
    assert pd.read_csv(tmp_path / "outputs/sweeps/s/report/table.csv")["n"].tolist() == [4]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "launcher"),
    [
        ("joblib", ("hydra/launcher=joblib", "hydra.launcher.n_jobs=1")),
        ("ray", (ON_RAY, "hydra.launcher.num_cpus=2")),
        ("submitit", ("hydra/launcher=submitit_local",)),
    ],
)
def test_a_run_that_a_launcher_starts_may_have_several_processes(
    package: str, launcher: tuple[str, ...], tmp_path: Path
) -> None:
    pytest.importorskip(package)
    ddp = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.max_epochs=2")
    for name, how in (("here", ()), ("there", launcher)):
        with Command(*QUICK[:1], *QUICK[2:], *ddp, "seed=1,2", f"sweep={name}", *how, cwd=tmp_path) as command:
            assert command.code() == 0, command.said
    here, there = (runs_of(tmp_path / "outputs" / "sweeps" / name) for name in ("here", "there"))
    for one, other in zip(here, there, strict=True):
        assert other.record()["processes"] == 2
        assert same_bits(one, other)
