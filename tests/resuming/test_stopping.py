"""Runs that are told to stop, by a signal or by a person at a terminal, at any moment."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest

from src.errors import RunError
from src.resuming import stopping
from src.resuming.starting_point import progress
from src.runs.folder import RunFolder
from src.training import configured
from tests.support.launched import Launched
from tests.support.short_run import EPOCHS, RUN, STEPS_AN_EPOCH, curves, digest, epochs, finish

ROOT = Path(__file__).parents[2]
CTRL_C = b"\x03"


class Diary(L.Callback):
    """Notes each step that is over, before anything else can happen to it."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        with self.file.open("a") as file:
            file.write(f"{trainer.global_step}\n")


@pytest.fixture
def diary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which every run of this test notes its steps."""
    file = tmp_path.with_name(f"{tmp_path.name}_diary")
    made = configured.checkpoint_callbacks
    monkeypatch.setattr(configured, "checkpoint_callbacks", lambda *a, **k: [Diary(file), *made(*a, **k)])
    return file


def wait_for_epoch(command: Launched, run: Path, number: int = 1) -> None:
    while number not in epochs(run):
        assert command.is_alive(), command.said
        time.sleep(0.01)


def stopped_in_a_line(command: Launched, run: RunFolder, code: int, within: float = 60) -> None:
    """It ends with this exit code, says how to go on in its last line, and nothing is left at work."""
    assert command.code(within) == code, command.said
    assert not command.processes()
    assert "Traceback" not in command.said
    last = plain(command.said).splitlines()[-1]
    does = "goes on" if run.last_checkpoint.exists() else "begins it again: there is no checkpoint yet"
    assert last == f"interrupted: python -m src.train resume=run {does}", command.said
    assert command.said.count("interrupted") == 1
    assert run.status == "interrupted"


def plain(said: str) -> str:
    """Without a terminal's control sequences, and without what they have rubbed out of a line."""
    return re.sub(r".*\r", "", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(10))
def test_sigterm_at_ten_moments(
    number: int, photos: Path, undisturbed: tuple[Path, float], tmp_path: Path, diary: Path
) -> None:
    """From the first moment to the last figures; every second time all processes of the run get it.

    Seven of them by the work that is done, one in the test, two while the figures are drawn.
    """
    whole, seconds = undisturbed
    run, random = RunFolder(tmp_path / "run"), np.random.default_rng(number)
    with Launched(*RUN, f"data.root={photos}", cwd=tmp_path) as command:
        if number < 7:
            command.work((number + random.random()) / 10 * seconds)
        else:
            while not (EPOCHS in epochs(run.path) if number == 7 else run.metrics_file.exists()):
                assert command.is_alive(), command.said
                time.sleep(0.01)
            time.sleep(random.uniform(0, 0.02 * seconds))
        if command.is_alive():
            (os.kill if number % 2 == 0 else os.killpg)(command.pid, signal.SIGTERM)
        code = command.code(60)
        assert not command.processes()
        assert "Traceback" not in command.said
    steps = [int(line) for line in diary.read_text().split()] if diary.exists() else []
    print(f"moment {number}: after {len(steps)} steps: {code}, {run.status}")
    if run.status == "finished":  # while it was saying so
        assert code in (0, 143)
    elif run.path.exists():
        stopped_in_a_line(command, run, 143)
        if steps:
            assert steps[-1] - progress(run.last_checkpoint)[0] <= 1
    else:
        assert code in (143, -signal.SIGTERM)  # before it listened
        assert not list(tmp_path.iterdir())
    finish(tmp_path, photos)
    assert digest(run.path) == digest(whole)
    assert curves(run.path) == curves(whole)


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, *(pytest.param(n, marks=pytest.mark.slow) for n in (signal.SIGINT, signal.SIGUSR1))]
)
def test_a_run_that_is_told_to_stop_keeps_its_last_batch(
    number: signal.Signals, photos: Path, undisturbed: tuple[Path, float], tmp_path: Path, diary: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    with Launched(*RUN, f"data.root={photos}", cwd=tmp_path) as command:
        while not diary.exists() or len(diary.read_text().split()) < 7:
            assert command.is_alive(), command.said
            time.sleep(0.005)
        os.killpg(command.pid, number)  # as a batch system does, and a terminal
        stopped_in_a_line(command, run, 130 if number == signal.SIGINT else 143)
    steps = diary.read_text().split()
    assert int(steps[-1]) == progress(run.last_checkpoint)[0]
    finish(tmp_path, photos)
    assert diary.read_text().split() == [str(step) for step in range(1, STEPS_AN_EPOCH * EPOCHS + 1)], "each step once"
    assert digest(run.path) == digest(undisturbed[0])
    assert curves(run.path) == curves(undisturbed[0])


def stop_within(stop: stopping.Stop, then: Callable[[], None]) -> None:
    with stop.patience():
        os.kill(os.getpid(), signal.SIGTERM)
        then()


def test_an_error_has_the_last_word(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """What was to be said of a stop is not said behind it, and the signals are back."""

    def fail() -> None:
        raise RunError("the disk is full")

    monkeypatch.setattr(stopping, "SECONDS_UNTIL_SAID", 0.05)
    before = [signal.getsignal(number) for number in stopping.SIGNALS]
    with caplog.at_level("INFO"):
        with pytest.raises(RunError):
            stop_within(stopping.Stop(), fail)
        time.sleep(0.1)
    assert not caplog.text
    assert [signal.getsignal(number) for number in stopping.SIGNALS] == before


def test_a_stop_that_takes_long_is_said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(stopping, "SECONDS_UNTIL_SAID", 0.0)
    with caplog.at_level("INFO"), pytest.raises(SystemExit):
        stop_within(stopping.Stop(), lambda: time.sleep(0.1))
    assert "SIGTERM: stopping after this batch" in caplog.text


def has_come(run: RunFolder, phase: str) -> bool:
    if phase == "drawing":
        return run.metrics_file.exists()
    return {"training": 1, "testing": EPOCHS}[phase] in epochs(run.path)


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["reading", "training", "testing", "drawing"])
def test_ctrl_c_at_a_terminal(phase: str, photos: Path, undisturbed: tuple[Path, float], tmp_path: Path) -> None:
    """The line stands alone, and the cursor is there again."""
    whole, seconds = undisturbed
    run = RunFolder(tmp_path / "run")
    with Launched(*RUN, f"data.root={photos}", cwd=tmp_path, terminal=True) as command:
        if phase == "reading":
            command.work(0.05 * seconds)
        while phase != "reading" and not has_come(run, phase):
            assert command.is_alive(), command.said
            time.sleep(0.005)
        command.key(CTRL_C)
        if run.record_file.exists():
            stopped_in_a_line(command, run, 130)
        else:
            assert command.code() == 130, command.said
            assert plain(command.said).splitlines()[-1] == "interrupted"
            assert not list(tmp_path.iterdir())
        shown, hidden = command.said.rfind("\x1b[?25h"), command.said.rfind("\x1b[?25l")
        assert hidden <= shown, "the cursor is still hidden"
        assert command.said.endswith("\n")
    finish(tmp_path, photos)
    assert digest(run.path) == digest(whole)


@pytest.mark.slow
@pytest.mark.parametrize("pause", [0.0, 0.1])
def test_ctrl_c_twice_ends_at_once(pause: float, photos: Path, undisturbed: tuple[Path, float], tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with Launched(*RUN, f"data.root={photos}", cwd=tmp_path, terminal=True) as command:
        wait_for_epoch(command, run.path)
        command.key(CTRL_C)
        time.sleep(pause)
        command.key(CTRL_C)
        stopped_in_a_line(command, run, 130, within=2)
    finish(tmp_path, photos)
    assert digest(run.path) == digest(undisturbed[0])


@pytest.mark.slow
def test_ctrl_c_in_a_sweep(photos: Path, tmp_path: Path) -> None:
    words = [word for word in RUN if not word.startswith("hydra.run.dir")]
    sweep = ["-m", *words, f"data.root={photos}", "seed=1,2", "sweep=two", "trainer.max_epochs=1"]
    folder = tmp_path / "outputs/sweeps/two"
    with Launched(*sweep, cwd=tmp_path, terminal=True) as command:
        while not RunFolder(folder / "1_seed=2").record_file.exists():
            assert command.is_alive(), command.said
            time.sleep(0.02)
        command.key(CTRL_C)
        assert command.code(60) == 130
        assert not command.processes()
    said = plain(command.said)
    assert said.splitlines()[-1] == "interrupted: the same command goes on where this one stopped, with sweep=two"
    assert said.count("interrupted") == 1
    assert "Traceback" not in said
    assert [RunFolder(folder / name).status for name in ("0_seed=1", "1_seed=2")] == ["finished", "interrupted"]


@pytest.mark.slow
def test_a_process_as_people_start_it(photos: Path, undisturbed: tuple[Path, float], tmp_path: Path) -> None:
    """Not forked from the tests: with an interpreter's own beginning and end."""
    run = RunFolder(tmp_path / "run")
    process = subprocess.Popen(
        [sys.executable, "-m", "src.train", *RUN, f"data.root={photos}"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        while 1 not in epochs(run.path):
            assert process.poll() is None
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, errors) == (130, "interrupted: python -m src.train resume=run goes on\n")
    assert shutil.which("pgrep") is None or subprocess.run(["pgrep", "-s", str(process.pid)]).returncode == 1
    finish(tmp_path, photos)
    assert digest(run.path) == digest(undisturbed[0])


def test_what_is_ignored_and_what_submitit_answers_stays_so() -> None:
    """nohup lets SIGHUP be ignored; submitit's job requeues itself on its signals, and bypasses SIGTERM."""

    def bypass(number: int, frame: object) -> None: ...

    bypass.__module__ = "submitit.core.job_environment"
    before = {number: signal.getsignal(number) for number in stopping.SIGNALS}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, bypass)
        stop = stopping.Stop()
        stop.listen()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is bypass
        assert signal.getsignal(signal.SIGUSR1) == stop.ask
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_two_signals_at_once_are_one_request_unless_a_person_sends_them() -> None:
    """Slurm sends a preempted job SIGTERM twice within milliseconds, and the checkpoint is still to be written."""
    stop = stopping.Stop()
    stop.ask(signal.SIGTERM)
    stop.ask(signal.SIGTERM)
    stop.ask(signal.SIGUSR1)
    assert stop.signal == signal.SIGTERM
    with pytest.raises(KeyboardInterrupt):
        stop.ask(signal.SIGINT)
    stop._asked_at -= stopping.SECONDS_OF_ONE_REQUEST
    with pytest.raises(SystemExit):
        stop.ask(signal.SIGTERM)
