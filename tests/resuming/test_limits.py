"""Trainings that steps or a time alone end: in their schedule, measured at their end, resumed with the same bits."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from src.runs.folder import RunFolder
from src.train import train
from tests.resuming.test_exactness import content, differences, run_until
from tests.resuming.test_schedules import SCHEDULES, SETTINGS

Config = Callable[..., DictConfig]

ALL = (*SETTINGS, "trainer.precision=32-true", "data.cache_features=false")
STEPS = 8
"""Of an epoch: 60 images in batches of 8."""


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_steps_alone_end_a_training_in_its_schedule(
    schedule: str, config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        metrics = train(config(*ALL, *SCHEDULES[schedule], "trainer.max_steps=11"), tmp_path / "run")
    history = RunFolder(tmp_path / "run").history()
    assert history["step"].tolist() == [STEPS, 11]
    assert history["val/loss"].notna().all()  # the last, short epoch is measured as well
    assert metrics["epochs"] == 2
    assert any("11 steps about" in record.message for record in caplog.records)
    low, high = {"constant": (0.05, 0.05), "step": (0.005, 0.005)}.get(schedule, (0, 0.0025))
    assert low - 1e-9 <= history["lr"].iloc[-1] <= high + 1e-9


def test_fewer_steps_than_an_epoch_has_leave_a_best_checkpoint(config: Config, tmp_path: Path) -> None:
    metrics = train(config(*ALL, "trainer.max_steps=3"), tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    assert run.best_checkpoint.exists()
    assert metrics["best_epoch"] == 1
    assert run.history()["val/accuracy"].tolist() == pytest.approx([metrics["val/accuracy"]])


@pytest.mark.parametrize(
    "schedule", [name if name == "cosine" else pytest.param(name, marks=pytest.mark.slow) for name in SCHEDULES]
)
def test_a_training_by_steps_that_was_cut_off_ends_in_the_same_bits(
    schedule: str, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*ALL, *SCHEDULES[schedule], "callbacks.gradcam={_target_:src.callbacks.gradcam.GradCAMCallback,images:1}")
    cfg = config(*words, "trainer.max_steps=20", "checkpoint_every=1")
    run_until((1, 4), cfg, tmp_path / "cut", monkeypatch)
    train(cfg, tmp_path / "cut", resume=True)
    train(cfg, tmp_path / "whole")
    assert differences(content(tmp_path / "whole"), content(tmp_path / "cut")) == []


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")  # the timer has done its work
@pytest.mark.parametrize("schedule", ["constant", pytest.param("step", marks=pytest.mark.slow)])
def test_a_time_alone_ends_a_training(schedule: str, config: Config, tmp_path: Path) -> None:
    """And a run that has more time goes on with the next batch: its bits are those of so many steps."""
    words = (*ALL, *SCHEDULES[schedule], "callbacks.gradcam={_target_:src.callbacks.gradcam.GradCAMCallback,images:1}")
    train(config(*words, "trainer.max_time='00:00:00:00'", "trainer.min_steps=11"), tmp_path / "run")
    history = RunFolder(tmp_path / "run").history()
    assert history["step"].tolist() == [STEPS, 11]
    assert history["val/loss"].notna().all()
    train(config(*words, "trainer.max_steps=20"), tmp_path / "run", resume=True)
    train(config(*words, "trainer.max_steps=20"), tmp_path / "whole")
    assert differences(content(tmp_path / "whole"), content(tmp_path / "run")) == []


def test_early_stopping_ends_a_training_by_steps(config: Config, tmp_path: Path) -> None:
    stopping = ("callbacks=early_stopping", "callbacks.early_stopping.patience=1")
    words = (*ALL[:-1], *stopping, "callbacks.early_stopping.min_delta=1")
    metrics = train(config(*words, "trainer.max_steps=400"), tmp_path / "run")
    assert metrics["epochs"] == 2
    assert train(config(*words, "trainer.max_steps=400"), tmp_path / "run", resume=True)["epochs"] == 2
