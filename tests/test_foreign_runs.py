"""A run folder from a stranger costs no verb more than a line: verb × attack (`tests/support/foreign_runs.py`)."""

import hashlib
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from src.errors import InputError
from src.explanation.judge import judge_settings
from src.runs.folder import RunFolder
from tests.support.command_line import run_here
from tests.support.foreign_runs import ATTACKS

OLD = Path(__file__).parent / "support" / "old_runs" / "finished"

VERBS = {
    "train": ("resume=run", "trainer.max_epochs=4"),
    "evaluate": ("checkpoint=run", "mistakes=0"),
    "predict": ("checkpoint=run", "images=test"),
    "explain": ("checkpoint=run", "max_images=2"),
    "export": ("checkpoint=run",),
    "report": ("runs=.",),
    "runs": ("runs=.", "prune", "delete=true"),
    "app": (),
}

REFUSED = ("link", "dangling", "pipe", "device", "environment", "other kind", "hole", "long record")
"""Kinds of attacks that a training which would write there refuses, at once."""

QUICK = {
    "evaluate": {
        "link, evaluate/",
        "link, checkpoints/",
        "threads, run.json",
        "precision, config.yaml",
        "share, config.yaml",
    },
    "predict": {"link, predict/"},
    "explain": {"link, explain/"},
    "export": {"link, export/"},
    "report": {
        "aliases, config.yaml",
        "pipe, run.json",
        "bomb, images.npz",
        "nothing, images.npz",
        "long name, config.yaml",
    },
    "runs": {"link, explain/", "link, export/", "link, checkpoints/", "pipe, run.json", "aliases, config.yaml"},
    "app": {"aliases, config.yaml", "pipe, run.json", "giant, metrics.json"},
    "train": {"aliases, config.yaml", "aliases, overrides.yaml", "aliases, word", "growing, config.yaml"},
}
"""What is tried each time besides."""

SECONDS, MEBIBYTES = 30, 700  # of the processor; generous: a verb that doesn't mind the attack does its work


def cases() -> Iterator[Any]:
    for verb in VERBS:
        for name in ATTACKS:
            quick = name in QUICK[verb] or (verb == "train" and name.startswith(REFUSED))
            yield pytest.param(verb, name, marks=[] if quick else pytest.mark.slow)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / ".bashrc").write_text("export A=1\n")
    return Path(shutil.copytree(OLD, tmp_path / "run"))


def state(folder: Path) -> dict[str, str]:
    """What is in a folder: each name, and of a file its digest; a giant one is known by its size."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file() and path.stat().st_size < 10**9
        else str(path.lstat().st_size)
        for path in sorted(folder.rglob("*"))
    }


@contextmanager
def time_limit() -> Iterator[None]:
    """End what waits for ever."""

    def late(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(10 * SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def look(folder: Path) -> "subprocess.CompletedProcess[str]":
    """The page's part that reads the run, and what it shows of it."""
    from src.page.exhibits import open_exhibition

    try:
        open_exhibition(str(folder / "run"), torch.device("cpu"))
    except InputError as error:
        return subprocess.CompletedProcess([], 2, "", f"error: {error}\n")
    return subprocess.CompletedProcess([], 0, "", "")


@pytest.mark.parametrize(("verb", "name"), list(cases()))
def test_no_verb_pays_for_it(verb: str, name: str, run: Path) -> None:
    folder = run.parent
    ATTACKS[name](run, folder / "outside")
    outside, there = state(folder / "outside"), {path.name for path in folder.iterdir()}
    peak, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with time_limit():
        result = look(folder) if verb == "app" else run_here(*VERBS[verb], cwd=folder, verb=verb)
    assert time.process_time() - began < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < MEBIBYTES * 1024
    assert state(folder / "outside") == outside
    assert {path.name for path in folder.iterdir()} - there <= {"outputs", "report"}
    assert result.returncode in (0, 2), result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == (1 if result.returncode else 0), result.stderr
    if verb == "train" and name.startswith(REFUSED):
        assert result.returncode == 2
    if result.returncode:
        assert {path.name for path in folder.iterdir()} == there


def test_the_verbs_do_their_work_without_an_attack(run: Path) -> None:
    for verb in ("train", "evaluate", "report"):
        result = run_here(*VERBS[verb], cwd=run.parent, verb=verb)
        assert (result.returncode, result.stderr) == (0, "")


def test_another_name_of_the_log_gets_nothing(run: Path) -> None:
    """A hard link: copied, and gone on with alone."""
    home = run.parent / "outside" / ".bashrc"
    (run / "train.log").unlink()
    (run / "train.log").hardlink_to(home)
    assert run_here(*VERBS["train"], cwd=run.parent).returncode == 0
    assert home.read_text() == "export A=1\n"
    assert (run / "train.log").read_text().startswith("export A=1\n2")


def test_a_folder_that_leads_to_a_run_is_one(run: Path) -> None:
    """`outputs` may lie on another disk."""
    (run.parent / "disk").symlink_to(run.parent)
    result = run_here("checkpoint=disk/run", "mistakes=0", cwd=run.parent, verb="evaluate")
    assert (result.returncode, result.stderr) == (0, "")
    assert RunFolder(run.parent / "disk" / "run").is_whole


def test_a_sweep_with_a_link_is_not_taken_up_again(run: Path) -> None:
    sweep = run.parent / "outputs" / "sweeps" / "s"
    shutil.copytree(OLD.parent / "sweep", sweep)
    (sweep / "3" / "gradcam").rename(run.parent / "outside" / "gradcam")
    (sweep / "3" / "gradcam").symlink_to(run.parent / "outside" / "gradcam")
    words = ("-m", "model=simple_cnn", "model.width=4,6", "seed=1,2", "data=digits", "trainer=cpu", "sweep=s")
    result = run_here(*words, cwd=run.parent)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert "gradcam is a link" in result.stderr


@pytest.mark.parametrize("name", ["metrics.csv", "figures", "checkpoints", "events.out.tfevents.1.mine", "cost.json"])
def test_a_training_takes_nothing_away_from_a_folder_that_has_its_names(name: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    (mine / name).mkdir(parents=True) if "." not in name else mine.mkdir()
    if "." in name:
        (mine / name).write_text("mine")
    result = run_here("data=digits", "model=simple_cnn", "trainer=cpu", "hydra.run.dir=mine", cwd=tmp_path)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert f"holds {name}, which a run would write over" in result.stderr
    assert [path.name for path in mine.iterdir()] == [name]


def test_a_walk_for_runs_ends(tmp_path: Path) -> None:
    result = run_here("runs=/", "output=report", cwd=tmp_path, verb="report")
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert "runs=/ is no folder of runs" in result.stderr


def test_a_judge_that_came_with_a_run_is_loaded_as_any_checkpoint(run: Path) -> None:
    ATTACKS["giant judge"](run, run.parent / "outside")
    result = run_here("checkpoint=run", "method=class_image", "per_class=1", "steps=2", cwd=run.parent, verb="explain")
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert "architecture.width=20000" in result.stderr


def test_a_report_goes_nowhere_through_a_link_beside_the_runs(run: Path) -> None:
    (run / "report").symlink_to(run.parent / "outside")
    (run.parent / "outside" / ".bashrc").unlink()
    result = run_here("runs=run", cwd=run.parent, verb="report")
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert "is a link" in result.stderr
    assert not list((run.parent / "outside").iterdir())


def test_a_folder_in_the_place_of_a_file_is_named(run: Path) -> None:
    for name in ("report.html", "report.md", "table.csv", "comparisons.csv"):
        (run / "report" / name).mkdir(parents=True)
    result = run_here("runs=run", cwd=run.parent, verb="report")
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert "in the place of a file" in result.stderr


def test_a_network_beside_a_run_trains_no_longer_than_it_needs(run: Path) -> None:
    ATTACKS["smoothing, config.yaml"](run, run)
    with pytest.raises(InputError, match="label_smoothing=5"):
        judge_settings(RunFolder(run), model=None, epochs=3, images=9)
    file = run / ".hydra" / "config.yaml"
    file.write_text(file.read_text().replace("label_smoothing: 5", "label_smoothing: 0.0"))
    file.write_text(file.read_text().replace("min_epochs: null", "min_epochs: 1000000000\n  model_registry: a/b"))
    file.write_text(file.read_text().replace("  model_registry: null\n", ""))
    trainer = judge_settings(RunFolder(run), model=None, epochs=3, images=9).trainer
    assert (trainer.min_epochs, trainer.model_registry, trainer.max_epochs) == (None, None, 3)
