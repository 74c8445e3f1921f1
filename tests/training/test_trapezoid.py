"""`scheduler=trapezoid`: a rate that knows only the step until its cool-down, so that a run can be made longer."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig
from torch import nn

import src.settings.composing  # noqa: F401  # its resolvers
from src.runs.folder import RunFolder
from src.training.optimizers import build_optimizer, build_schedule
from src.training.session import advance

Config = Callable[..., DictConfig]

SETTINGS = (
    "data=digits", "data.max_images=60", "data.batch_size=8", "model=simple_cnn", "model.width=4", "trainer=cpu",
    "baseline=false", "cost=false", "callbacks.gradcam=null", "logger=none", "ema=0.9", "scheduler=trapezoid",
    "scheduler.cooldown=0", "trainer.max_epochs=-1",
)  # fmt: skip


def rates(steps: int | None, *, cooldown: float, warmup: float = 1.0, spent: float = 0.0) -> list[float]:
    optimizer = build_optimizer(nn.Sequential(nn.Linear(1, 1)), "sgd", lr=1.0, weight_decay=0.0)
    settings = {"warmup_epochs": warmup, "cooldown": cooldown}
    schedule = build_schedule(optimizer, "trapezoid", steps=steps, steps_per_epoch=4, spent=lambda: spent, **settings)
    assert schedule is not None
    found = []
    for _ in range(steps or 8):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_it_rises_stays_and_falls() -> None:
    assert rates(20, cooldown=0.25) == pytest.approx([0.2, 0.4, 0.6, 0.8, *[1.0] * 12, 0.8, 0.6, 0.4, 0.2])


def test_before_the_cool_down_the_length_makes_no_difference() -> None:
    assert rates(10, cooldown=0) == rates(40, cooldown=0.5)[:10]
    assert rates(3, cooldown=0) == rates(40, cooldown=0)[:3], "nor within the warm-up"


def test_where_a_time_ends_it_the_line_follows_the_time() -> None:
    assert rates(None, cooldown=0.5, warmup=0, spent=0.4)[-1] == 1
    assert rates(None, cooldown=0.5, warmup=0, spent=0.75)[-1] == 0.5


@pytest.mark.parametrize("pieces", [(3, 11), (7, 8, 11)])
def test_a_training_in_pieces_has_the_bits_of_one_in_one_piece(
    pieces: tuple[int, ...], config: Config, tmp_path: Path
) -> None:
    """8 batches an epoch: pieces end in the middle of one, at its end, and behind it."""
    for steps in pieces:
        advance(config(*SETTINGS, f"trainer.max_steps={steps}"), RunFolder(tmp_path / "pieces"), "test")
    advance(config(*SETTINGS, f"trainer.max_steps={pieces[-1]}"), RunFolder(tmp_path / "whole"), "test")
    one, other = (
        torch.load(RunFolder(tmp_path / name).last_checkpoint, weights_only=True) for name in ("pieces", "whole")
    )
    assert one["global_step"] == other["global_step"] == pieces[-1]
    for part in ("state_dict", "current_model_state"):
        assert all(torch.equal(value, other[part][key]) for key, value in one[part].items())
    assert RunFolder(tmp_path / "pieces").status == "interrupted", "it can go on"


def test_what_has_been_found_is_used_again(config: Config, tmp_path: Path) -> None:
    first = advance(config(*SETTINGS, "trainer.max_steps=2"), RunFolder(tmp_path / "run"), "test")
    again = advance(config(*SETTINGS, "trainer.max_steps=4"), RunFolder(tmp_path / "run"), "test", data=first.data)
    assert again.data is first.data
    assert again.trainer.global_step == 4
