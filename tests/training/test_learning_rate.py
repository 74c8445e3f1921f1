"""`optimizer.lr=auto`: the training is, bit by bit, that of the rate that was found, and nobody looks for it twice."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from omegaconf import DictConfig

from src.errors import InputError
from src.networks import build_network
from src.runs.folder import RunFolder
from src.settings.rates import usual_for
from src.train import train
from src.training.learning_rate import pick
from src.training.session import run_training
from src.training.transfer import rate_in
from tests.support.composed import check_overrides
from tests.support.started import Started

Config = Callable[..., DictConfig]

SETTINGS = (
    "data=digits", "data.max_images=160", "data.batch_size=16", "data.num_workers=0", "model=simple_cnn",
    "model.width=8", "trainer=cpu", "trainer.max_epochs=2", "baseline=false", "cost=false", "callbacks=none",
    "logger=none",
)  # fmt: skip


def weights(run: Path) -> dict[str, torch.Tensor]:
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    found: dict[str, torch.Tensor] = checkpoint["state_dict"]
    return found


def are_same(run: Path, other: Path) -> bool:
    """Whether two runs end in the same weights and batch norm statistics."""
    mine, theirs = weights(run), weights(other)
    return all(torch.equal(mine[name], theirs[name]) for name in mine | theirs)


class PowerFailedError(Exception):
    """Stands for a power cut."""


class PowerCut(L.Callback):
    """Ends a run in its second epoch."""

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.current_epoch == 1:
            raise PowerFailedError


@pytest.mark.parametrize(
    "words",
    [
        ("scheduler=onecycle", "optimizer.layer_decay=0.7", "optimizer.norm_bias_lr=8", "ema=0.9"),
        ("optimizer=adamw", "mixup=0.2", "scheduler=cosine", "trainer.gradient_clip_val=1", "data.num_workers=1"),
    ],
)
def test_it_trains_as_the_same_rate_typed(words: tuple[str, ...], config: Config, tmp_path: Path) -> None:
    train(config(*SETTINGS, *words, "optimizer.lr=auto"), tmp_path / "auto")
    rate = json.loads((tmp_path / "auto" / "run.json").read_text())["learning_rate"]
    assert rate == rate_in(RunFolder(tmp_path / "auto").last_checkpoint)
    assert rate not in (0.05, 1e-3)
    assert (tmp_path / "auto" / "figures" / "learning_rate.png").stat().st_size > 5_000
    train(config(*SETTINGS, *words, f"optimizer.lr={rate}"), tmp_path / "typed")
    assert are_same(tmp_path / "auto", tmp_path / "typed")
    assert RunFolder(tmp_path / "typed").learning_rate is None


def test_the_page_shows_how_it_was_found(config: Config, tmp_path: Path) -> None:
    from src.reporting.run_page import write_run_page

    train(config(*SETTINGS, "optimizer.lr=auto", "trainer.max_epochs=1"), tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    run.keep_settings("")
    write_run_page(run)
    page = run.page_file.read_text()
    assert f"auto: {run.learning_rate:g}" in page
    assert "How the learning rate was found" in page


def test_a_resumed_run_goes_on_at_its_rate(config: Config, tmp_path: Path) -> None:
    cfg = config(*SETTINGS, "optimizer.lr=auto", "optimizer.layer_decay=0.7")
    train(cfg, tmp_path / "whole")
    run = RunFolder(tmp_path / "cut")
    with pytest.raises(PowerFailedError):
        run_training(cfg, run, "", callbacks=[PowerCut()])
    rate = run.learning_rate
    run.rate_picture.unlink()
    train(cfg, run.path, resume=True)
    assert not run.rate_picture.exists()
    assert run.learning_rate == rate
    assert are_same(tmp_path / "cut", tmp_path / "whole")


def test_a_checkpoint_without_its_rate_is_refused(tmp_path: Path) -> None:
    torch.save({"hyper_parameters": {"optimizer": {"lr": "auto"}}}, tmp_path / "last.ckpt")
    with pytest.raises(InputError, match="lacks the rate that optimizer.lr=auto has found"):
        rate_in(tmp_path / "last.ckpt")


def test_a_loss_that_never_falls_leaves_the_usual_rate(
    config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = ("optimizer.lr=auto", "trainer.max_epochs=1", "trainer.gradient_clip_val=1e-9", "data.max_images=40")
    train(config(*SETTINGS, *words), tmp_path / "run")
    assert RunFolder(tmp_path / "run").learning_rate == 0.05
    assert "optimizer.lr=auto: the loss hardly falls at any rate: the usual one, 0.05, is taken" in caplog.text


@pytest.mark.slow
def test_two_processes_take_the_same_rate(tmp_path: Path) -> None:
    """That of the first; a process that took another one would end in other weights than where it is typed."""
    words = (*SETTINGS, "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.max_epochs=1")
    rates: list[object] = ["auto"]
    for name in ("auto", "typed"):
        command = ("-m", "src.train", *words, f"optimizer.lr={rates[-1]}", f"hydra.run.dir={name}", "baseline=true")
        with Started(tmp_path, command) as started:
            assert started.codes() == [0], started.said
        rates.append(RunFolder(tmp_path / name).learning_rate)
    assert are_same(tmp_path / "auto", tmp_path / "typed")
    assert isinstance(rates[1], float)


# Which rate ----------------------------------------------------------------------------------------------------------


def test_the_end_of_the_steepest_fall_before_the_lowest_loss_is_taken() -> None:
    rates = np.logspace(-4, 0, 41)
    fall = 1 / (1 + np.exp(-4 * (np.log10(rates) + 2)))  # steepest at 0.01
    losses = [*(3 - 2 * fall)[:35], *np.linspace(9, 2, 6)]  # and after the loss has burst it falls much faster
    assert pick(rates.tolist(), losses) == pytest.approx(0.02, rel=0.01)
    assert pick(rates.tolist(), [*losses[:35], *[math.nan] * 6]) == pytest.approx(0.02, rel=0.01)


@pytest.mark.parametrize("losses", [[], [2.0], [2.0, 2.1, 2.2], [2.0, 1.99, 1.98], [math.inf, 1.0, 0.5]])
def test_losses_that_tell_nothing(losses: list[float]) -> None:
    assert pick([1e-3, 1e-2, 1e-1][: len(losses)], losses) is None


@pytest.mark.parametrize(
    ("words", "usual"),
    [
        ((), 0.05),
        (("optimizer=adamw",), 1e-3),
        (("recipe=fast",), 0.1),
        (("recipe=strong", "optimizer=adamw"), 2e-3),
        (("weights={file}",), 0.005),
        (("weights={file}", "freeze=backbone", "recipe=fast"), 0.1),
    ],
)
def test_it_is_looked_for_around_the_usual_rate(words: tuple[str, ...], usual: float, tmp_path: Path) -> None:
    file = tmp_path / "mine.pth"
    torch.save(build_network("resnet18", num_classes=10, in_channels=1).state_dict(), file)
    cfg = check_overrides("train", ["lr=auto", *(word.format(file=file) for word in words)])
    assert cfg.optimizer.lr == "auto"
    assert usual_for(cfg) == pytest.approx(usual)


def test_it_can_be_one_of_a_sweep() -> None:
    check_overrides("train", ["optimizer.lr=auto,0.01", "seed=1,2"], multirun=True)
    with pytest.raises(InputError, match="optimizer.lr=often is not possible"):
        check_overrides("train", ["optimizer.lr=often"])
