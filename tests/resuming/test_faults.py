"""Runs from under which something is taken away: a process, a folder, files, the disk. Each ends in one line."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from src.resuming.checkpoint_files import load_whole
from src.resuming.starting_point import progress
from src.runs.folder import RunFolder
from tests.support.launched import Launched
from tests.support.short_run import RUN, digest, epochs, finish


def after_first_epoch(photos: Path, folder: Path, act: Callable[[Launched], object]) -> Launched:
    """A run to which something happens in its second epoch: its code has to be 1, with one line and no process left."""
    with Launched(*RUN, f"data.root={photos}", cwd=folder) as command:
        while 1 not in epochs(folder / "run"):
            assert command.is_alive(), command.said
            time.sleep(0.005)
        act(command)
        assert command.code(60) == 1, command.said
        for _ in range(30):
            if not command.processes():
                break
            time.sleep(0.1)
        assert not command.processes()
    assert "Traceback" not in command.said
    errors = [line for line in command.said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert command.said.splitlines()[-1] == errors[0]
    return command


@pytest.fixture
def own_photos(photos: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged, at the end of a link: the run is to know its images by their place in a folder."""
    return Path(shutil.copytree(photos, tmp_path / "photos"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("which", "number"),
    [(0, signal.SIGKILL), (-1, signal.SIGSEGV), (1, signal.SIGBUS)],
    ids=["of training by SIGKILL", "of validation by SIGSEGV", "of training by SIGBUS"],
)
def test_a_worker_that_is_killed_is_named_by_its_signal(
    which: int, number: signal.Signals, photos: Path, undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    def kill(command: Launched) -> None:
        os.kill(sorted(command.workers())[which], number)

    command = after_first_epoch(photos, tmp_path, kill)
    assert f"error: a process that reads images was killed by {number.name}" in command.said
    run = RunFolder(tmp_path / "run")
    assert run.status == "failed"
    assert number.name in run.record()["error"]
    load_whole(run.last_checkpoint)
    finish(tmp_path, photos)
    assert digest(run.path) == digest(undisturbed[0])


@pytest.mark.slow
def test_workers_die_with_a_run_that_is_killed(photos: Path, tmp_path: Path) -> None:
    with Launched(*RUN, f"data.root={photos}", cwd=tmp_path) as command:
        while not command.workers():
            assert command.is_alive(), command.said
            time.sleep(0.005)
        os.kill(command.pid, signal.SIGKILL)
        assert command.code() == -signal.SIGKILL
        end = time.monotonic() + 10
        while command.processes():
            assert time.monotonic() < end
            time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", [".", "checkpoints"])
def test_a_run_folder_that_vanishes_costs_a_line(name: str, photos: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")

    def remove(_: Launched) -> None:
        while (run.path / name).resolve().exists():  # the run may be writing
            shutil.rmtree(run.path / name, ignore_errors=True)

    command = after_first_epoch(photos, tmp_path, remove)
    assert f"{run.path / name} has vanished" in command.said or f"{run.checkpoints} has vanished" in command.said
    assert run.status == (None if name == "." else "failed")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "file", "cut file"])
def test_images_that_vanish_cost_a_line(
    kind: str, own_photos: Path, undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    """And when they are back, the run goes on."""
    aside = tmp_path / "aside"
    target = own_photos if kind == "folder" else own_photos / "high"

    def damage(_: Launched) -> None:
        target.rename(aside)
        if kind == "cut file":
            shutil.copytree(aside, target)
            for file in target.iterdir():
                file.write_bytes(file.read_bytes()[:200])

    command = after_first_epoch(own_photos, tmp_path, damage)
    assert "has changed since training began" in command.said
    run = RunFolder(tmp_path / "run")
    assert run.status == "failed"
    steps, _ = progress(run.last_checkpoint)
    assert steps >= 6
    shutil.rmtree(target, ignore_errors=True)
    aside.rename(target)
    finish(tmp_path, own_photos)
    assert digest(run.path) == digest(undisturbed[0])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system takes root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_up_costs_a_line_and_no_checkpoint(
    photos: Path, undisturbed: tuple[Path, float], small_disk: Path
) -> None:
    filler = small_disk / "filler"

    def fill(_: Launched) -> None:
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))

    after_first_epoch(photos, small_disk, fill)
    load_whole(RunFolder(small_disk / "run").last_checkpoint)
    filler.unlink()
    finish(small_disk, photos)
    assert digest(small_disk / "run") == digest(undisturbed[0])
