"""Checkpoints with validations in the middle of epochs, in folders that were moved, and beside files that were lost."""

import itertools
import os
import shutil
import signal
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from omegaconf import DictConfig

from src.resuming.checkpoint_files import WholeCheckpointIO
from src.resuming.checkpoints import RunCheckpoint
from src.resuming.starting_point import progress
from src.runs.folder import RunFolder
from src.train import train
from src.training import configured, session
from tests.resuming.test_exactness import differences, run_until
from tests.support.short_run import curves

Config = Callable[..., DictConfig]

BATCHES = 6


@pytest.fixture(autouse=True)
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing them takes longer than the training."""
    monkeypatch.setattr(session, "draw_epochs", lambda *_: None)


@pytest.fixture
def settings(config: Config, photos: Path) -> Config:
    """A run of three epochs of six batches."""

    def composed(*more: str) -> DictConfig:
        return config(
            "data=folder", f"data.root='{photos}'", "data.image_size=16", "data.batch_size=8", "data.num_workers=0",
            "model=simple_cnn", "model.width=4", "trainer=cpu", "trainer.max_epochs=3", "baseline=false", "cost=false",
            "test=false", "callbacks=none", "checkpoint_every=0.001s", "optimizer.lr=0.05", *more,
        )  # fmt: skip

    return composed


def batches(run: Path) -> int:
    """How many of the epoch's batches its newest checkpoint has seen; 0 at an epoch's end."""
    unfinished = torch.load(RunFolder(run).last_checkpoint, weights_only=True)["unfinished"]
    return unfinished["batches"] if unfinished else 0


def content(run: Path) -> dict[str, Any]:
    """What the training has come to, but for what time has to do with."""
    folder = RunFolder(run)
    last, best = (torch.load(path, weights_only=True) for path in (folder.last_checkpoint, folder.best_checkpoint))
    return {
        **{f"last {key}": last[key] for key in ("state_dict", "optimizer_states", "lr_schedulers", "loops")},
        **{f"best {key}": best[key] for key in ("state_dict", "epoch", "global_step")},
        "history": folder.history().drop(columns=["seconds", "images_per_second"]).to_dict("list"),
        "best epoch": folder.metrics()["best_epoch"],
    }


KINDS = {
    "after each batch": ["trainer.val_check_interval=1"],
    "after each batch, accumulation": ["trainer.val_check_interval=1", "trainer.accumulate_grad_batches=2"],
    "workers": ["trainer.val_check_interval=2", "data.num_workers=2"],
    "not at the epoch's end": ["trainer.val_check_interval=4"],
    "every second epoch": ["trainer.val_check_interval=2", "trainer.check_val_every_n_epoch=2"],
}
MOMENTS = ((0, 1), (1, 4), (1, 5))
QUICK = [("not at the epoch's end", (1, 5))]


@pytest.mark.parametrize(
    ("kind", "moment"),
    [
        case if case in QUICK else pytest.param(*case, marks=pytest.mark.slow)
        for case in itertools.product(KINDS, MOMENTS)
    ],
)
def test_a_run_goes_on_behind_each_batch(
    kind: str, moment: tuple[int, int], settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a validation follows it or not, and without one more or fewer of them."""
    cfg, cut = settings(*KINDS[kind]), tmp_path / "cut"
    train(cfg, tmp_path / "whole")
    run_until(moment, cfg, cut, monkeypatch)
    assert batches(cut) == moment[1]
    train(cfg, cut, resume=True)
    assert differences(content(tmp_path / "whole"), content(cut)) == []
    if "accumulation" not in kind:  # a validation among gradients that are being added up has no step of its own
        assert curves(cut) == curves(tmp_path / "whole")


LIMITS = {
    "steps": ["trainer.max_steps=8"],
    "time": ["trainer.max_time='00:00:00:00'", "trainer.min_steps=8"],
    "callback": ["+callbacks.early={_target_:lightning.pytorch.callbacks.EarlyStopping,monitor:val/loss,patience:1,"
                 "min_delta:100}", "trainer.val_check_interval=4"],
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")  # a callback that has done its work
@pytest.mark.parametrize(
    "limit", [kind if kind == "steps" else pytest.param(kind, marks=pytest.mark.slow) for kind in LIMITS]
)
def test_an_epoch_that_a_limit_has_cut_short_goes_on_when_there_is_more(
    limit: str, settings: Config, tmp_path: Path
) -> None:
    more = ["scheduler=constant", *(["trainer.val_check_interval=4"] if limit == "callback" else [])]
    train(settings(*more, *LIMITS[limit]), tmp_path / "cut")
    assert 0 < batches(tmp_path / "cut") < BATCHES
    cut = RunFolder(tmp_path / "cut").history()["step"].tolist()
    assert cut[-1] % BATCHES != 0
    train(settings(*more, "trainer.max_epochs=4"), tmp_path / "cut", resume=True)
    train(settings(*more, "trainer.max_epochs=4"), tmp_path / "whole")
    whole, gone_on = content(tmp_path / "whole"), content(tmp_path / "cut")
    assert differences(whole, gone_on) == []


class Signal(L.Callback):
    """Sends SIGTERM in the third batch of the second epoch, or in the validation behind it."""

    def __init__(self, hook: str) -> None:
        setattr(self, hook, self._send)
        self.steps: list[int] = []

    def _send(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.current_epoch == 1 and trainer.global_step == BATCHES + 3:
            os.kill(os.getpid(), signal.SIGTERM)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self.steps.append(trainer.global_step)


@pytest.mark.parametrize("hook", [pytest.param("on_before_zero_grad", marks=pytest.mark.slow), "on_validation_start"])
def test_sigterm_with_a_validation_after_each_batch(
    hook: str, settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg, told = settings("trainer.val_check_interval=1", "checkpoint_every=null"), Signal(hook)
    with monkeypatch.context() as patch:
        made = configured.checkpoint_callbacks
        patch.setattr(configured, "checkpoint_callbacks", lambda *a, **k: [told, *made(*a, **k)])
        with pytest.raises(SystemExit) as end:
            train(cfg, tmp_path / "run")
    assert end.value.code == 143
    assert progress(RunFolder(tmp_path / "run").last_checkpoint)[0] == told.steps[-1] <= BATCHES + 4
    train(cfg, tmp_path / "run", resume=True)
    train(cfg, tmp_path / "whole")
    assert differences(content(tmp_path / "whole"), content(tmp_path / "run")) == []


@pytest.mark.parametrize(
    "moment", [(1, 0), pytest.param((1, 3), marks=pytest.mark.slow)], ids=["at an epoch's end", "in its middle"]
)
def test_a_run_goes_on_from_the_best_checkpoint_of_a_validation(
    moment: tuple[int, int], settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no other; each validation finds the best figures so far."""
    monkeypatch.setattr(ModelCheckpoint, "check_monitor_top_k", lambda *_: True)
    cfg = settings("trainer.val_check_interval=2", "checkpoint_every=null")
    train(cfg, tmp_path / "whole")
    run_until(moment, cfg, tmp_path / "cut", monkeypatch)
    RunFolder(tmp_path / "cut").last_checkpoint.unlink()
    assert progress(RunFolder(tmp_path / "cut").best_checkpoint)[0] == BATCHES + moment[1] // 2 * 2
    train(cfg, tmp_path / "cut", resume=True)
    assert differences(content(tmp_path / "whole"), content(tmp_path / "cut")) == []
    assert curves(tmp_path / "cut") == curves(tmp_path / "whole")


@pytest.mark.parametrize("interval", [pytest.param("1.0", marks=pytest.mark.slow), "2"])
def test_the_best_of_training_is_found_at_each_epochs_end(interval: str, settings: Config, tmp_path: Path) -> None:
    """In the middle of an epoch there are no figures of it, whatever is validated there."""
    cfg = settings("monitor=train/loss", "mode=min", f"trainer.val_check_interval={interval}")
    metrics = train(cfg, tmp_path / "run")
    losses = RunFolder(tmp_path / "run").history()["train/loss"]
    assert metrics["best_epoch"] == losses.argmin() + 1
    assert torch.load(RunFolder(tmp_path / "run").best_checkpoint, weights_only=True)["unfinished"] is None


def test_a_run_that_was_moved_keeps_its_best_checkpoint(settings: Config, tmp_path: Path) -> None:
    train(settings("trainer.max_epochs=2"), tmp_path / "run")
    shutil.move(tmp_path / "run", tmp_path / "moved")
    moved = RunFolder(tmp_path / "moved")
    checkpoint = torch.load(moved.last_checkpoint, weights_only=True)
    (state,) = (state for name, state in checkpoint["callbacks"].items() if "val/accuracy" in name)
    state["best_k_models"] = dict.fromkeys(state["best_k_models"], torch.tensor(2.0))  # no epoch will be better
    torch.save(checkpoint, moved.last_checkpoint)
    before = moved.best_checkpoint.read_bytes()
    metrics = train(settings(), moved.path, resume=True)
    assert metrics["epochs"] == 3
    assert moved.best_checkpoint.read_bytes() == before
    assert not (tmp_path / "run").exists()
    assert str(tmp_path / "run") not in str(torch.load(moved.last_checkpoint, weights_only=True)["callbacks"])


def test_a_run_that_was_stopped_early_stays_so(
    settings: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Killed after that and gone on with, it ends where it would have and says so; with more epochs it goes on."""
    caplog.set_level("INFO", "src")
    early = [
        "callbacks=early_stopping", "callbacks.gradcam=null", "callbacks.early_stopping.patience=1",
        "optimizer.lr=1e-12", "logger=none", "scheduler=cosine",
    ]  # fmt: skip
    why = "val/accuracy has not improved for 1 validation"
    cut_off = "; cosine plans its rates for 5 epochs and was cut off after 2, before the lowest"
    assert train(settings(*early, "trainer.max_epochs=5"), tmp_path)["epochs"] == 2
    assert RunFolder(tmp_path).record()["stopped_early"] == why + cut_off
    assert f"stopped early: {why}{cut_off}" in caplog.messages
    assert f"Stopped early: {why}{cut_off}." in (tmp_path / "report.html").read_text()
    assert train(settings(*early, "trainer.max_epochs=5"), tmp_path, resume=True)["epochs"] == 2
    assert RunFolder(tmp_path).record()["stopped_early"] == why + cut_off
    assert train(settings(*early, "trainer.max_epochs=6"), tmp_path, resume=True)["epochs"] == 3
    whole = train(settings(*early, "trainer.max_epochs=2"), tmp_path / "2")
    assert (whole["epochs"], RunFolder(tmp_path / "2").record().get("stopped_early")) == (2, None)


@pytest.fixture
def kept(tmp_path: Path) -> tuple[RunCheckpoint, dict[str, Any], Path]:
    """What watches over the best checkpoint, the state of it that says 0.9, and the file."""
    file = tmp_path / "best.ckpt"
    torch.save({}, file)
    watcher = RunCheckpoint(tmp_path, "best", monitor="val/accuracy", mode="max")
    models = {"/where/it/was/best.ckpt": torch.tensor(0.9)}
    state = watcher.state_dict() | {"dirpath": "/where/it/was", "best_model_score": torch.tensor(0.9)}
    state |= {"best_k_models": models, **dict.fromkeys(["best_model_path", "kth_best_model_path"], next(iter(models)))}
    return watcher, state, file


def test_a_state_names_files_where_they_are_now(kept: tuple[RunCheckpoint, dict[str, Any], Path]) -> None:
    watcher, state, file = kept
    watcher.load_state_dict(state)
    assert watcher.state_dict() == state | {
        "dirpath": str(file.parent),
        "best_k_models": {str(file): torch.tensor(0.9)},
        **dict.fromkeys(["best_model_path", "kth_best_model_path"], str(file)),
    }
    assert watcher.state_key == ModelCheckpoint(monitor="val/accuracy", mode="max").state_key
    again = RunCheckpoint(file.parent, "best", monitor="val/accuracy", mode="max")
    again.load_state_dict(watcher.state_dict())
    assert again.state_dict() == watcher.state_dict()


@pytest.mark.parametrize("damage", ["removed", "cut", "flipped"])
def test_a_best_checkpoint_that_is_lost_bars_no_other(
    damage: str, kept: tuple[RunCheckpoint, dict[str, Any], Path], caplog: pytest.LogCaptureFixture
) -> None:
    watcher, state, file = kept
    whole = file.read_bytes()
    if damage == "removed":
        file.unlink()
    else:
        middle = len(whole) // 2
        file.write_bytes(whole[:middle] + (b"" if damage == "cut" else b"??" + whole[middle + 2 :]))
    watcher.load_state_dict(state)
    assert f"{file} is lost" in caplog.text
    assert watcher.best_k_models == {}
    assert not file.exists()
    assert watcher.check_monitor_top_k(L.Trainer(logger=False), torch.tensor(0.1))


@pytest.mark.parametrize("best", [0, 2], ids=["the first", "the last"])
def test_the_last_checkpoint_of_the_best_epoch_is_a_copy_and_holds_what_it_would_otherwise(
    best: int, settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ModelCheckpoint, "check_monitor_top_k", lambda _, trainer, *__: trainer.current_epoch <= best)
    cfg, run = settings("trainer.val_check_interval=3", "checkpoint_every=null"), RunFolder(tmp_path / "copied")
    train(cfg, run.path)
    monkeypatch.setattr(WholeCheckpointIO, "copying", lambda *_: nullcontext())
    train(cfg, tmp_path / "written")
    assert differences(content(tmp_path / "written"), content(run.path)) == []
    assert (run.last_checkpoint.read_bytes() == run.best_checkpoint.read_bytes()) == (best == 2)
    assert progress(run.best_checkpoint)[0] == (best + 1) * BATCHES
    assert progress(run.last_checkpoint)[0] == 3 * BATCHES
