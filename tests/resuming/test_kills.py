"""Runs that are killed at any moment (`kill -9`) and gone on with: nothing finished is lost, and all ends the same."""

import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from src.resuming.checkpoint_files import load_whole
from src.resuming.starting_point import progress
from src.runs.folder import RunFolder
from tests.support.command_line import run_here
from tests.support.launched import Launched
from tests.support.short_run import RUN, STEPS_AN_EPOCH, curves, digest, epochs, finish


def kept_steps(run: RunFolder) -> int:
    """The steps in the newest checkpoint, which is whole: a kill leaves none half-written under its name."""
    if not run.last_checkpoint.exists():
        return 0
    load_whole(run.last_checkpoint)
    return progress(run.last_checkpoint)[0]


def kill(folder: Path, photos: Path, wait: float) -> bool:
    """Begin a run, or go on with it, and kill it after so many seconds of work; whether it was still alive then."""
    run = RunFolder(folder / "run")
    words = ["resume=run"] if run.path.exists() else [*RUN, f"data.root={photos}"]
    before = kept_steps(run)
    with Launched(*words, cwd=folder) as command:
        if alive := command.work(wait):
            os.kill(command.pid, signal.SIGKILL)
        assert command.code() in (-signal.SIGKILL, 0), command.said
        assert "error" not in command.said
        all_gone(command, within=20)
    kept, written = kept_steps(run), epochs(run.path)
    assert kept >= before, "steps were lost that a checkpoint had"
    assert written == list(range(1, len(written) + 1))
    # An epoch's row is written a moment before its checkpoint, the one before that two batches earlier.
    assert kept >= STEPS_AN_EPOCH * len(written) - 2, "a finished epoch was lost"
    forget_what_has_not_begun(run)
    return alive


def forget_what_has_not_begun(run: RunFolder) -> None:
    """Killed while Hydra wrote `.hydra/`, the run can only be begun again."""
    if run.path.exists() and run.overrides() is None:
        assert not run.record_file.exists()
        shutil.rmtree(run.path)


def all_gone(command: Launched, within: float) -> None:
    end = time.monotonic() + within
    while command.processes():
        assert time.monotonic() < end, "a process has outlived the run"
        time.sleep(0.05)


def check_same(run: Path, undisturbed: Path, kills: int) -> None:
    """The same files and curves. A point may be missing for each kill: it is written a moment behind its checkpoint."""
    assert digest(run) == digest(undisturbed)
    found, wanted = curves(run), curves(undisturbed)
    assert found.keys() == wanted.keys()
    for tag, points in found.items():
        assert points == sorted(points, key=lambda point: point[0]), tag
        assert set(points) <= set(wanted[tag]), tag
        assert len(points) >= len(wanted[tag]) - kills, tag


def test_a_run_that_was_killed_thrice_ends_in_the_same_bits(
    photos: Path, undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    whole, seconds = undisturbed
    random = np.random.default_rng(1)
    for _ in range(3):  # three of these cannot come to the run's end
        assert kill(tmp_path, photos, random.uniform(0, seconds / 3))
    finish(tmp_path, photos)
    check_same(tmp_path / "run", whole, kills=3)


@pytest.mark.parametrize("how", ["disk", "memory"])
def test_kept_pictures_are_the_same_after_a_kill(
    how: str, photos: Path, undisturbed: tuple[Path, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those on the disk are there still; those in memory ended with the run, and are made again."""
    monkeypatch.setenv("RESLENS_CACHE", str(tmp_path / "cache"))
    run = RunFolder(tmp_path / "run")
    monkeypatch.setattr("src.data.kept_media._in_memory", {})  # what earlier runs of this process have left there
    with Launched(*RUN, f"data.root={photos}", f"data.cache={how}", cwd=tmp_path) as command:
        while not kept_steps(run):
            assert command.is_alive(), command.said
            time.sleep(0.01)
        os.kill(command.pid, signal.SIGKILL)
        assert command.code() == -signal.SIGKILL
        assert "60 images decoded in" in command.said
        all_gone(command, within=20)
    resumed = run_here("resume=run", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert ("nothing to decode" if how == "disk" else "60 images decoded in") in resumed.stdout
    assert digest(run.path) == digest(undisturbed[0])


@pytest.mark.slow
@pytest.mark.parametrize("elsewhere", [False, True], ids=["TMPDIR here", "TMPDIR on another file system"])
def test_twenty_kills(
    elsewhere: bool, photos: Path, undisturbed: tuple[Path, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if elsewhere:
        shm = Path("/dev/shm")
        if not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("no other file system to write to")
        monkeypatch.setenv("TMPDIR", str(shm))
    whole, seconds = undisturbed
    random, kills = np.random.default_rng(7 + elsewhere), [0]
    while sum(kills) < 20:
        folder = tmp_path / str(len(kills))
        folder.mkdir(exist_ok=True)
        if kill(folder, photos, random.uniform(0, seconds)):
            kills[-1] += 1
        else:
            check_same(folder / "run", whole, kills[-1])
            kills.append(0)
    folder = tmp_path / str(len(kills))
    folder.mkdir(exist_ok=True)
    finish(folder, photos)
    check_same(folder / "run", whole, kills[-1])
    print(f"{sum(kills)} kills in {len(kills)} runs, {kills}: all ended in the same bits")


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk on which flushing a file takes 50 ms: time enough to meet a run in the midst of it."""
    fsync = os.fsync

    def slowly(descriptor: int) -> None:
        time.sleep(0.05)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", slowly)


@pytest.mark.slow
@pytest.mark.usefixtures("slow_disk")
@pytest.mark.parametrize("name", ["last", "best", "metrics", "run"])
def test_a_kill_in_the_midst_of_writing_leaves_the_file_before(
    name: str, photos: Path, undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    """The checkpoints, metrics.csv (or metrics.json) and run.json."""
    run = RunFolder(tmp_path / "run")
    with Launched(*RUN, f"data.root={photos}", cwd=tmp_path) as command:
        while not (found := list(run.path.rglob(f".{name}.*partial*")) if name == "run" or epochs(run.path) else []):
            assert command.is_alive(), command.said
            time.sleep(0.002)
        os.kill(command.pid, signal.SIGKILL)
        command.code()
    assert found[0].exists(), "killed too late"
    kept_steps(run)
    forget_what_has_not_begun(run)
    finish(tmp_path, photos)
    check_same(run.path, undisturbed[0], kills=1)
