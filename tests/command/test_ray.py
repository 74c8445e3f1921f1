"""Sweeps on Ray: killed processes, a killed command, two nodes. Each starts a cluster of this machine."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

from src.runs.differing import number_of
from src.runs.folder import RunFolder
from tests.support.command_line import run_here

ROOT = Path(__file__).parents[2]
QUICK = (
    "model=simple_cnn", "trainer=cpu", "logger=none", "cost=false", "baseline=false", "callbacks=none",
    "data.max_images=300",
)  # fmt: skip
ON_RAY = "hydra/launcher=ray"


class Command:
    """`python -m src.train -m WORDS` in `cwd`, in a process of its own; what it says is in `said`."""

    def __init__(self, *words: str, cwd: Path, verb: tuple[str, ...] = ("-m", "src.train", "-m")) -> None:
        self._file = cwd / f"said_{time.monotonic_ns()}"
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        with self._file.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, *verb, *words], cwd=cwd, stdout=file, stderr=subprocess.STDOUT, env=environment
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
