"""Trainings of several processes, started as users start them: one folder, one log, one voice, one end."""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from src.runs.folder import RunFolder
from tests.support.started import TORCHRUN, Started, agents, by_hand, by_hand_meeting, torchrun

TINY = (
    "model=simple_cnn", "data=digits", "data.max_images=300", "trainer.max_epochs=2", "trainer.accelerator=cpu",
    "cost=false",
)  # fmt: skip
ENDLESS = (*TINY, "trainer.max_epochs=5000", "callbacks.gradcam=null")


def one_run(run: RunFolder, said: str, epochs: int = 2) -> None:
    """It holds one finished run, which one process has told of."""
    assert run.record()["status"] == "finished", said
    assert len(run.history()) == epochs
    assert len(list(run.path.glob("events*"))) == 1
    assert sum(line.startswith("epoch ") for line in said.splitlines()) == epochs
    assert said.count("best epoch") == 1
    assert not list(run.path.glob("train_ddp*"))
    log = (run.path / "train.log").read_text()
    assert log.count("best epoch") == 1
    predictions = run.predictions()
    assert len(predictions) == predictions.path.nunique() == 180


def alone(folder: Path) -> None:
    """Nothing lies beside the run: no second folder, of another time or name."""
    assert [path.name for path in folder.iterdir() if not path.name.startswith("said_")] == ["run"]


def test_two_processes_begin_stop_and_go_on_with_one_command(tmp_path: Path) -> None:
    """SIGTERM reaches one of them alone."""
    run, epochs = RunFolder(tmp_path / "run"), 12
    words = (*TINY, f"trainer.max_epochs={epochs}", "callbacks.gradcam=null", "hydra.run.dir=run", "resume=auto")
    with by_hand(tmp_path, *words) as started:
        wait_for(lambda: run.history_file.exists(), started)
        os.kill(started.ranks()[1], signal.SIGTERM)
        assert started.codes(60) == [143, 143], started.said
        assert started.said.splitlines()[-1] == "interrupted: python -m src.train resume=run goes on"
    assert run.record()["status"] == "interrupted"
    done = len(run.history())
    assert 1 <= done < epochs
    with by_hand(tmp_path, *words) as started:
        assert started.codes() == [0, 0], started.said
        assert sum(line.startswith("epoch ") for line in started.said.splitlines()) == epochs - done
    assert len(run.history()) == epochs
    alone(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["torchrun", "two agents", "two agents, two processes each", "without trainer=ddp"])
def test_each_way_to_start_them_leaves_one_run(how: str, tmp_path: Path) -> None:
    """Without a name for the folder the first process draws one, with its time and four digits, for all."""
    named = () if how == "torchrun" else ("hydra.run.dir=run",)
    words = (*(() if how.startswith("without") else ("trainer=ddp",)), *TINY, *named)
    commands = agents(*words, processes=2 if how.endswith("each") else 1) if "agents" in how else [torchrun(*words)]
    with Started(tmp_path, *commands) as started:
        assert started.codes() == [0] * len(commands), started.said
        said = started.said
    if how == "torchrun":
        (found,) = (tmp_path / "outputs" / "digits" / "simple_cnn").iterdir()
        found.rename(tmp_path / "run")
        shutil.rmtree(tmp_path / "outputs")
    one_run(RunFolder(tmp_path / "run"), said)
    alone(tmp_path)


@pytest.mark.slow
def test_a_finished_run_is_left_as_it_is_and_goes_on_when_it_gets_more(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with Started(tmp_path, torchrun(*TINY, "hydra.run.dir=run")) as started:
        assert started.codes() == [0], started.said
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in run.path.rglob("*") if path.is_file()}
    with Started(tmp_path, torchrun(*TINY, "seed=7", "hydra.run.dir=run")) as started:
        assert started.codes() == [1]  # torchrun's
        assert started.said.count("error: ") == 1
        assert f"error: {run.path} holds a run already" in started.said
    assert before == {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in run.path.rglob("*") if path.is_file()
    }
    with Started(tmp_path, torchrun("resume=run", "trainer.max_epochs=3")) as started:
        assert started.codes() == [0], started.said
    assert len(run.history()) == 3
    with Started(tmp_path, torchrun(*TINY, "trainer.max_epochs=3", "hydra.run.dir=run", "resume=auto")) as started:
        assert started.codes() == [0]
        assert "run is finished, with 3 epochs: trainer.max_epochs=N gives it more" in started.said
    alone(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("data=folder", "data.root=nowhere"), "the data folder 'nowhere' does not exist"),
        (("optimizer.lr=x",), "optimizer.lr=x is not possible"),
        (("trainer.devices=3",), "trainer.devices=3, but 2 processes on 1 machine were started"),
        (("hydra.run.dir=s3://bucket/run",), "s3:// is on no disk of this machine"),
        (("seed=1,2", "-m"), "a sweep starts the processes of its runs by itself"),
    ],
)
def test_wrong_input_takes_one_line_and_leaves_nothing(words: tuple[str, ...], line: str, tmp_path: Path) -> None:
    with by_hand(tmp_path, *TINY, "hydra.run.dir=run", *words) as started:
        assert started.codes(60) == [2, 2], started.said
        assert started.said.count("error: ") == 1
        assert line in started.said
        assert "Traceback" not in started.said
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP"])
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("how", ["by hand", "by Lightning"])
def test_a_signal_to_one_stops_all_after_the_same_step(name: str, rank: int, how: str, tmp_path: Path) -> None:
    """Steps so long that it comes within an epoch, of which the checkpoint then is."""
    run, slow = RunFolder(tmp_path / "run"), ("model=resnet18", "data.batch_size=8", "data.image_size=32")
    words = (*ENDLESS, *slow, "hydra.run.dir=run")
    lightning = ("-m", "src.train", *words, "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")
    with Started(tmp_path, lightning) if how == "by Lightning" else by_hand(tmp_path, *words) as started:
        wait_for(lambda: run.last_checkpoint.exists(), started)
        time.sleep(1)
        os.kill(started.ranks()[rank], getattr(signal, name))
        assert set(started.codes(30)) == {130 if name == "SIGINT" else 143}, started.said
        assert "Traceback" not in started.said
        assert not started.processes()
    assert run.record()["status"] == "interrupted"
    assert torch.load(run.last_checkpoint, weights_only=True)["unfinished"] is not None


@pytest.mark.slow
def test_processes_that_lightning_starts_go_on_too(tmp_path: Path) -> None:
    run, words = RunFolder(tmp_path / "run"), ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")
    for more in ((*TINY, "hydra.run.dir=run"), ("resume=run", "trainer.max_epochs=3")):
        with Started(tmp_path, ("-m", "src.train", *more, *words)) as started:
            assert started.codes() == [0], started.said
    assert len(run.history()) == 3
    assert run.record()["processes"] == 2
    alone(tmp_path)


@pytest.mark.slow
def test_a_torchrun_that_starts_them_again_needs_no_other_command(tmp_path: Path) -> None:
    run, words = RunFolder(tmp_path / "run"), (*TINY, "trainer.max_epochs=30", "hydra.run.dir=run", "resume=auto")
    again = torchrun(*words)
    with Started(tmp_path, (*again[:2], "--max-restarts", "2", *again[2:])) as started:
        for epochs in (1, 5):
            wait_for(lambda: _rows(run) >= epochs, started)  # noqa: B023
            os.kill(started.ranks()[1], signal.SIGKILL)
            wait_for(lambda: run.record()["status"] == "failed", started)
        assert started.codes() == [0], started.said
    assert len(run.history()) == 30
    assert len(run.record()["resumed"]) == 2


FROM_PYTHON = """
from hydra import compose, initialize_config_dir
from src.settings.composing import CONF
from src.train import train

with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
    cfg = compose("train", overrides=WORDS)
if __name__ == "__main__":
    print("accuracy", train(cfg)["test/accuracy"])
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["torchrun", "Lightning"])
def test_a_program_of_ones_own_leaves_one_run(how: str, tmp_path: Path) -> None:
    """Each process would draw a folder of its own, and measure another network than the first."""
    words = [*TINY, *(["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"] if how == "Lightning" else [])]
    (tmp_path / "own.py").write_text(FROM_PYTHON.replace("WORDS", repr(words)))
    start = ("own.py",) if how == "Lightning" else (*TORCHRUN, "--nproc_per_node", "2", "own.py")
    with Started(tmp_path, start) as started:
        assert started.codes() == [0], started.said
        said = [line for line in started.said.splitlines() if line.startswith("accuracy")]
    (run,) = (tmp_path / "outputs" / "digits" / "simple_cnn").iterdir()
    assert set(said) == {f"accuracy {RunFolder(run).metrics()['test/accuracy']}"}
    assert len(said) == 2


FAILS_ALONE = """
import os, torch
from src.training import classifier
from src.train import compare, main, train

whole = classifier.ImageClassifier.training_step

def step(self, batch, batch_idx):
    if os.environ["RANK"] == "1" and self.trainer.global_step == 3:
        FAILURE
    return whole(self, batch, batch_idx)

classifier.ImageClassifier.training_step = step
main("train", train, after_sweep=compare)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("failure", "line"),
    [
        ("batch = [batch[0].float() * float('nan'), batch[1]]", "error: the training loss is not finite"),
        ("raise ZeroDivisionError('a bug of ours')", "error: a bug of ours"),
    ],
)
def test_what_one_of_them_meets_ends_all_with_its_words(failure: str, line: str, tmp_path: Path) -> None:
    """The others wait for its gradients; their own errors, of gloo, are no news."""
    code, meeting = FAILS_ALONE.replace("FAILURE", failure), by_hand_meeting(2)
    words = ("-c", code, *TINY, "hydra.run.dir=run")
    with Started(tmp_path, words, words, variables=meeting) as started:
        assert started.codes(60) == [1, 1], started.said
        assert started.said.splitlines()[-1].startswith(line)
        assert started.said.count("error: ") == 1
        assert "Traceback" not in started.said
        assert "gloo" not in started.said
    record = RunFolder(tmp_path / "run").record()
    assert record["status"] == "failed"
    assert record["error"].startswith(line.removeprefix("error: "))
    assert "Traceback" in (tmp_path / "run" / "train.log").read_text()


MOMENTS = [0.5, 2, 4, 6, "baseline", "0", "0 and a bit", "1", "1 and a bit", "2 and more"]
"""Seconds from the start, or what has happened before: an epoch is done, and a seeded part of a second."""


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("rank", [0, 1])
def test_when_one_is_killed_all_end_and_the_run_goes_on_exactly(
    moment, rank, undisturbed: Path, tmp_path: Path
) -> None:
    """Under torchrun, which also ends them before they have met. Within 30 s, with a true record; to the same bits."""
    run = RunFolder(tmp_path / "run")
    words = (*TINY, "trainer.max_epochs=4", "checkpoint_every=1", "hydra.run.dir=run", "resume=auto")
    with Started(tmp_path, torchrun(*words)) as started:
        _until(moment, run, started)
        ranks = started.ranks()
        while rank not in ranks and started.is_alive():  # it hasn't been started yet
            time.sleep(0.01)
            ranks = started.ranks()
        os.kill(ranks[rank], signal.SIGKILL)
        began = time.monotonic()
        assert started.codes(30) == [1], started.said
        assert time.monotonic() - began < 30
        assert not started.processes()
        said = started.said
    if run.record_file.exists():
        status = run.record()["status"]
        assert status == ("running" if rank == 0 else "failed")
        if rank == 1:
            assert f"error: {run.record()['error']}" in said
    with Started(tmp_path, torchrun(*words)) as started:
        assert started.codes() == [0], started.said
    same_run(undisturbed, run.path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    words = (*TINY, "trainer.max_epochs=4", "checkpoint_every=1", "hydra.run.dir=run")
    with Started(folder, torchrun(*words)) as started:
        assert started.codes() == [0], started.said
    return folder / "run"


def same_run(one: Path, other: Path) -> None:
    """The same bits: weights, and all columns of the history but the clock's."""
    clock = ["seconds", "images_per_second"]
    histories = [RunFolder(path).history().drop(columns=clock) for path in (one, other)]
    pd.testing.assert_frame_equal(*histories, check_exact=True)
    for name in ("best.ckpt", "last.ckpt"):
        weights = [torch.load(path / "checkpoints" / name, weights_only=True)["state_dict"] for path in (one, other)]
        assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0] | weights[1])
    assert (one / "predictions.csv").read_bytes() == (other / "predictions.csv").read_bytes()


def _until(moment: float | str, run: RunFolder, started: Started) -> None:
    if isinstance(moment, float | int):
        time.sleep(moment)
        return
    if moment == "baseline":
        wait_for(lambda: "before training" in started.said, started)
        return
    epochs = int(moment[0])
    wait_for(lambda: run.last_checkpoint.exists() and (epochs == 0 or _rows(run) >= epochs), started)
    if " " in moment:
        time.sleep(random.Random(moment).random() * 0.5)


def _rows(run: RunFolder) -> int:
    return len(run.history_file.read_text().splitlines()) - 1 if run.history_file.exists() else 0


def wait_for(condition: Callable[[], bool], started: Started, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert started.is_alive(), started.said
        assert time.monotonic() < end, started.said
        time.sleep(0.01)
