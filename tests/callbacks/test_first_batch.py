"""The first batch is kept as it came: a copy, once, of images alone, and nothing else is touched."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from src.callbacks.first_batch import MOST, FirstBatch


def start(callback: FirstBatch, images: torch.Tensor, *, epoch: int = 0, first: bool = True) -> None:
    trainer: Any = SimpleNamespace(current_epoch=epoch, is_global_zero=first)
    callback.on_train_batch_start(trainer, None, (images, torch.arange(len(images))), 0)  # type: ignore[arg-type]


def test_it_is_a_copy_of_the_first_one() -> None:
    callback, images = FirstBatch(), torch.randint(256, (MOST + 8, 3, 4, 4), dtype=torch.uint8)
    wanted, before = images[:MOST].clone(), torch.get_rng_state()
    start(callback, images, epoch=4)
    assert torch.equal(torch.get_rng_state(), before)
    images.zero_()  # the loader uses its memory again
    start(callback, images, epoch=5)
    assert callback.images is not None
    assert torch.equal(callback.images, wanted)
    assert callback.targets.tolist() == list(range(MOST))
    assert callback.epoch == 5, "epochs are counted from 1"
    assert callback.state_dict() == {}, "no checkpoint grows by it"


@pytest.mark.parametrize(("shape", "first"), [((4, 512), True), ((4, 3, 8, 8), False)])
def test_features_and_other_processes_have_none(shape: tuple[int, ...], first: bool) -> None:
    callback = FirstBatch()
    start(callback, torch.zeros(shape), first=first)
    assert callback.images is None
