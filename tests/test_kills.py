"""Runs that are killed at any moment, told to stop, or find their checkpoints damaged: nothing finished is lost."""

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from src.run import RunFolder
from src.training.checkpoint_files import check_seal
from tests.command_line import run_here, start
from tests.photographs import make_photos

RUN = (
    "data=folder", "data.image_size=16", "data.batch_size=8", "data.num_workers=2", "model=cifar_resnet20",
    "trainer=cpu", "trainer.max_epochs=6", "baseline=false", "cost=false", "callbacks.gradcam.images=2",
    "checkpoint_every=2", "optimizer.lr=0.05",
)  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def undisturbed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, float]:
    """The digest of the weights that a run ends with which nobody disturbs, and the seconds that it takes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    began = time.monotonic()
    assert run_here(*RUN, f"data.root={photos}", "hydra.run.dir=run", cwd=folder).returncode == 0
    return digest(folder / "run"), time.monotonic() - began


def digest(run: Path) -> str:
    """SHA-256 of the weights, optimizer and schedule that the run ended with, and of its best weights."""
    sha = hashlib.sha256()
    for file in (RunFolder(run).last_checkpoint, RunFolder(run).best_checkpoint):
        checkpoint = torch.load(file, weights_only=True)
        for name, value in sorted(checkpoint["state_dict"].items()):
            sha.update(name.encode() + value.numpy().tobytes())
        for state in checkpoint["optimizer_states"][0]["state"].values():
            sha.update(b"".join(value.numpy().tobytes() for value in state.values() if isinstance(value, torch.Tensor)))
        sha.update(str(checkpoint["lr_schedulers"]).encode())
    return sha.hexdigest()


def epochs(run: Path) -> list[int]:
    """Those that metrics.csv tells of."""
    file = RunFolder(run).history_file
    return RunFolder(run).history()["epoch"].tolist() if file.exists() else []


def kill_and_resume(folder: Path, photos: Path, kills: int, seconds: float, seed: int) -> int:
    """Kill a run so often, each time after a random part of the `seconds` of a whole run; how often it was alive."""
    random = np.random.default_rng(seed)
    run, done, alive = folder / "run", [], 0
    words = [*RUN, f"data.root={photos}", "hydra.run.dir=run"]
    for _ in range(kills):
        process = start(*words, cwd=folder, log=folder / "log.txt")
        process.join(random.uniform(0.05, 0.6) * seconds)
        alive += process.is_alive()
        process.kill()
        process.join()
        seen = epochs(run)
        assert seen == list(range(1, len(seen) + 1))
        assert len(seen) >= len(done), "a finished epoch was lost"
        done = seen
        if RunFolder(run).record_file.exists() and (run / ".hydra/overrides.yaml").exists():
            words = ["resume=run"]
    return alive


def finish(folder: Path, photos: Path) -> None:
    words = ["resume=run"] if (folder / "run/run.json").exists() else [*RUN, f"data.root={photos}", "hydra.run.dir=run"]
    result = run_here(*words, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert epochs(folder / "run") == [1, 2, 3, 4, 5, 6]
    assert not [path for path in (folder / "run").rglob("*") if ".partial" in path.name]


def test_a_run_that_was_killed_thrice_ends_in_the_same_bits(
    photos: Path, undisturbed: tuple[str, float], tmp_path: Path
) -> None:
    assert kill_and_resume(tmp_path, photos, 3, undisturbed[1], seed=1) > 0
    finish(tmp_path, photos)
    assert digest(tmp_path / "run") == undisturbed[0]


@pytest.mark.slow
@pytest.mark.parametrize("elsewhere", [False, True], ids=["TMPDIR here", "TMPDIR on another file system"])
def test_twenty_kills(
    elsewhere: bool, photos: Path, undisturbed: tuple[str, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if elsewhere:
        shm = Path("/dev/shm")
        if not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("no other file system to write to")
        monkeypatch.setenv("TMPDIR", str(shm))
    alive = 0
    for number in range(5):
        folder = tmp_path / str(number)
        folder.mkdir()
        alive += kill_and_resume(folder, photos, 4, undisturbed[1], seed=number)
        finish(folder, photos)
        assert digest(folder / "run") == undisturbed[0]
    assert alive >= 15


@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, *(pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGINT, signal.SIGUSR1))],
)
def test_a_run_that_is_told_to_stop_keeps_its_last_batch(
    number: signal.Signals, photos: Path, undisturbed: tuple[str, float], tmp_path: Path
) -> None:
    process = start(*RUN, f"data.root={photos}", "hydra.run.dir=run", cwd=tmp_path, log=tmp_path / "log.txt")
    while not epochs(tmp_path / "run") and process.is_alive():
        time.sleep(0.02)
    assert process.pid
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == (130 if number == signal.SIGINT else 143)
    said = (tmp_path / "log.txt").read_text().splitlines()
    assert said[-1] == "interrupted: python -m src.train resume=run goes on"
    assert not any("Traceback" in line for line in said)
    run = RunFolder(tmp_path / "run")
    assert run.status == "interrupted"
    finish(tmp_path, photos)
    assert digest(tmp_path / "run") == undisturbed[0]


@pytest.mark.slow
def test_a_damaged_checkpoint_is_named_and_the_one_before_taken(
    photos: Path, undisturbed: tuple[str, float], tmp_path: Path
) -> None:
    process = start(*RUN, f"data.root={photos}", "hydra.run.dir=run", cwd=tmp_path, log=tmp_path / "log.txt")
    while len(epochs(tmp_path / "run")) < 3 and process.is_alive():
        time.sleep(0.02)
    process.kill()
    process.join()
    last = RunFolder(tmp_path / "run").last_checkpoint
    whole = last.read_bytes()
    last.write_bytes(whole[: len(whole) // 2])
    result = run_here("resume=run", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "last.ckpt is passed over: " in result.stdout
    assert digest(tmp_path / "run") == undisturbed[0]


def test_a_finished_run_goes_on_only_with_more_epochs(photos: Path, tmp_path: Path) -> None:
    words = [*RUN, f"data.root={photos}", "trainer.max_epochs=2", "hydra.run.dir=run"]
    assert run_here(*words, cwd=tmp_path).returncode == 0
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    again = run_here("resume=run", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (
        0,
        "run is finished, with 2 epochs: trainer.max_epochs=N gives it more\n",
    )
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == files
    for word, now in (("model=simple_cnn", "simple_cnn"), ("seed=5", "5"), ("data.image_size=20", "20")):
        other = run_here("resume=run", word, cwd=tmp_path)
        assert other.returncode == 2
        assert f"now it is {now}" in other.stderr
    more = run_here("resume=run", "trainer.max_epochs=3", cwd=tmp_path)
    assert (more.returncode, more.stderr) == (0, "")
    assert epochs(tmp_path / "run") == [1, 2, 3]
    assert RunFolder(tmp_path / "run").metrics()["epochs"] == 3
    assert run_here("resume=run", cwd=tmp_path).stdout.startswith("run is finished, with 3 epochs")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("resume=nowhere", "is no folder"),
        ("resume=.", "holds no run of src.train (no run.json in it)"),
        ("resume=file", "is no folder"),
    ],
)
def test_what_is_no_run_gets_its_line(word: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run_here(word, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


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
    photos: Path, undisturbed: tuple[str, float], small_disk: Path, tmp_path: Path
) -> None:
    process = start(*RUN, f"data.root={photos}", "hydra.run.dir=run", cwd=small_disk, log=tmp_path / "log.txt")
    while len(epochs(small_disk / "run")) < 2 and process.is_alive():
        time.sleep(0.02)
    filler = small_disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))

    process.join()
    said = (tmp_path / "log.txt").read_text()
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert (process.exitcode, len(errors)) == (1, 1), said
    assert "Traceback" not in said
    check_seal(RunFolder(small_disk / "run").last_checkpoint)
    filler.unlink()
    finish(small_disk, photos)
    assert digest(small_disk / "run") == undisturbed[0]
