"""A stem that is computed from training images: as a training from scratch begins, and at no other time."""

from collections.abc import Callable
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor

from src.runs.folder import RunFolder
from src.train import train

SETTINGS = (
    "data=digits", "data.image_size=8", "data.max_images=128", "model=airbench", "model.width=4", "trainer=cpu",
    "trainer.max_epochs=1", "baseline=false", "cost=false", "callbacks=none", "logger=none",
)  # fmt: skip


def stem(run: Path) -> Tensor:
    return torch.load(RunFolder(run).last_checkpoint, weights_only=True)["state_dict"]["network.conv1.weight"]


def test_it_whitens_from_scratch_and_is_kept_with_weights(config: Callable[..., DictConfig], tmp_path: Path) -> None:
    train(config(*SETTINGS), tmp_path / "first")
    first = stem(tmp_path / "first")
    assert torch.equal(first[:4], -first[4:8])
    assert not torch.equal(first[8:12], -first[12:16])  # a grey patch has four eigenvectors: the others are random
    train(
        config(*SETTINGS, f"weights={tmp_path / 'first'}", "seed=2", "freeze=1", "trainer.max_epochs=2"),
        tmp_path / "second",
    )
    assert torch.equal(stem(tmp_path / "second"), first)  # another division, and so other images
