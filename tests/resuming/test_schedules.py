"""A run that is resumed with other epochs or steps goes on in its schedule where a run of those settings would be."""

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from src.runs.folder import RunFolder
from src.train import train

Config = Callable[..., DictConfig]

SETTINGS = (
    "data=digits", "data.max_images=60", "data.batch_size=8", "model=simple_cnn", "model.width=4", "trainer=cpu",
    "baseline=false", "cost=false", "callbacks.gradcam=null",
)  # fmt: skip
SCHEDULES = {
    "onecycle": ["scheduler=onecycle"],
    "cosine": ["scheduler=cosine"],
    "step": ["scheduler=step", "scheduler.every=1"],
    "constant": ["scheduler=constant"],
}
CHANGES = {
    "more epochs": ([], []),
    "fewer steps": ([], ["trainer.accumulate_grad_batches=2"]),
    "more steps": (["trainer.accumulate_grad_batches=3"], []),
    "fewer batches": ([], ["trainer.limit_train_batches=3"]),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("change", CHANGES)
def test_a_resumed_run_takes_its_place_in_the_new_schedule(
    change: str, schedule: str, config: Config, tmp_path: Path
) -> None:
    before, after = (words + SCHEDULES[schedule] for words in CHANGES[change])
    train(config(*SETTINGS, *before, "trainer.max_epochs=2"), tmp_path / "resumed")
    train(config(*SETTINGS, *after, "trainer.max_epochs=4"), tmp_path / "resumed", resume=True)
    train(config(*SETTINGS, *after, "trainer.max_epochs=4"), tmp_path / "whole")
    resumed, whole = (RunFolder(tmp_path / name).history()["lr"].tolist() for name in ("resumed", "whole"))
    assert resumed[2:] == pytest.approx(whole[2:], rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("schedule", ["onecycle", pytest.param("cosine", marks=pytest.mark.slow)])
def test_a_time_alone_ends_the_training_and_the_schedule(schedule: str, config: Config, tmp_path: Path) -> None:
    """And a run that gets more time goes on at the rate of the longer one."""
    words = (*SETTINGS, *SCHEDULES[schedule])
    train(config(*words, "trainer.max_time='00:00:00:02'"), tmp_path / "run")
    ends = RunFolder(tmp_path / "run").history()["lr"].iloc[-1]
    train(config(*words, "trainer.max_time='00:00:00:04'"), tmp_path / "run", resume=True)
    rates = RunFolder(tmp_path / "run").history()["lr"].tolist()
    assert max(rates) > 0.02
    assert ends < 0.01
    assert rates[-1] < 0.01


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_more_steps_stretch_the_schedule(schedule: str, config: Config, tmp_path: Path) -> None:
    """Where `max_steps` ends the training; the first such run stopped in the middle of an epoch."""
    words = (*SETTINGS, *SCHEDULES[schedule], "trainer.limit_train_batches=4", "trainer.max_epochs=9")
    train(config(*words, "trainer.max_steps=6"), tmp_path / "resumed")
    train(config(*words, "trainer.max_steps=12"), tmp_path / "resumed", resume=True)
    train(config(*words, "trainer.max_steps=12"), tmp_path / "whole")
    resumed, whole = (RunFolder(tmp_path / name).history()["lr"].tolist() for name in ("resumed", "whole"))
    assert resumed[-1] == pytest.approx(whole[-1], rel=1e-6, abs=1e-12)
