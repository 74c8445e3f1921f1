"""What a run's commands do with pictures that are decoded once: sweeps, processes, going on, other verbs."""

import json
import re
import subprocess
from pathlib import Path

import lightning as L
import pandas as pd
import pytest

from src.data import ImageDataModule, kept_media
from src.runs.folder import RunFolder
from src.training.assemble import find_images, keep_pictures
from tests.support.command_line import run_here
from tests.support.short_run import RUN, digest
from tests.support.started import Started


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESLENS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


TINY = (
    "data=folder", "data.image_size=16", "data.batch_size=8", "model=simple_cnn", "trainer=cpu", "trainer.max_epochs=1",
    "cost=false", "callbacks=none", "logger=none", "baseline=false",
)  # fmt: skip


def decoded(said: str) -> list[int]:
    """How many images were decoded, of each run that keeps pictures."""
    lines = [line for line in said.splitlines() if "pictures kept" in line]
    return [int((re.search(r"(\d+) images decoded", line) or [0, 0])[1]) for line in lines]


@pytest.mark.slow
def test_a_run_is_the_same_with_the_cache_and_without(undisturbed, photos: Path, tmp_path: Path) -> None:
    assert run_here(*RUN, f"data.root={photos}", "data.cache=none", cwd=tmp_path).returncode == 0
    assert digest(tmp_path / "run") == digest(undisturbed[0])


@pytest.mark.parametrize(
    ("how", "length", "kept"),
    [
        ("auto", {"max_epochs": 1}, True),
        ("auto", {"max_epochs": -1, "max_time": {"seconds": 1}}, True),
        ("auto", {"max_steps": 2}, False),
        ("auto", {"max_epochs": 1, "limit_train_batches": 2}, False),
        ("auto", {"max_epochs": 2, "limit_train_batches": 0.5}, True),
        ("auto", {"fast_dev_run": True}, False),
        ("disk", {"max_steps": 2}, True),
    ],
    ids=str,
)
def test_auto_does_nothing_for_less_than_an_epoch(photos: Path, cache: Path, how: str, length, kept: bool) -> None:
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, **length)
    data = ImageDataModule(name="folder", root=photos, image_size=16, in_channels=3, batch_size=8, cache=how)
    find_images(data, None, trainer)
    keep_pictures(data, trainer)
    assert bool(data.shelves) == kept
    assert bool(list(cache.glob("*_pictures"))) == kept


def test_a_disk_that_is_full_in_the_middle_leaves_the_run_going(photos: Path, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount")
    monkeypatch.setenv("RESLENS_CACHE", str(folder))
    monkeypatch.setattr(kept_media, "SHARE_OF_DISK", 1e9)  # as where others have filled it meanwhile
    try:
        result = run_here(*TINY, f"data.root={photos}", "data.cache=disk", "hydra.run.dir=run", cwd=tmp_path)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
    assert result.returncode == 0, result.stderr
    assert "pictures are not kept: No space left on device" in result.stdout + result.stderr
    assert RunFolder(tmp_path / "run").status == "finished"


def test_a_sweep_decodes_once(photos: Path, tmp_path: Path) -> None:
    words = ("-m", *TINY, f"data.root={photos}", "optimizer.lr=0.1,0.01", "data.cache=memory")
    result = run_here(*words, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert decoded(result.stdout + result.stderr) == [60, 0]


def test_other_verbs_answer_as_the_training_did(photos: Path, tmp_path: Path) -> None:
    """They read the files themselves."""
    result = run_here(*TINY, f"data.root={photos}", "data.cache=disk", "hydra.run.dir=run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    run = RunFolder(tmp_path / "run")
    assert run_here("checkpoint=run", "output=measured", cwd=tmp_path, verb="evaluate").returncode == 0
    measured = json.loads((tmp_path / "measured" / "evaluate.json").read_bytes())
    for name in ("accuracy", "loss"):
        assert measured[f"test/{name}"] == pytest.approx(run.metrics()[f"test/{name}"], abs=1e-6)
    assert run_here("checkpoint=run", "images=test", "output=answers", cwd=tmp_path, verb="predict").returncode == 0
    ours = pd.read_csv(run.predictions_file).set_index("path").sort_index()
    its = pd.read_csv(tmp_path / "answers" / "predictions.csv").set_index("path").sort_index()
    assert (ours["predicted"] == its["predicted"]).all()
    assert ours["confidence"].to_numpy() == pytest.approx(its["confidence"].to_numpy(), abs=1e-6)


def test_a_wrong_word_is_refused(photos: Path, tmp_path: Path) -> None:
    result = run_here(*TINY, f"data.root={photos}", "data.cache=ram", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "data.cache=ram" in result.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"cache"}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["disk", "memory"])
def test_two_processes_decode_once(photos: Path, tmp_path: Path, how: str) -> None:
    words = (*TINY, f"data.root={photos}", f"data.cache={how}", "trainer=ddp", "trainer.accelerator=cpu")
    with Started(tmp_path, ("-m", "src.train", *words, "trainer.devices=2", "hydra.run.dir=run")) as started:
        assert started.codes() == [0], started.said
        assert decoded(started.said) == [60], started.said
