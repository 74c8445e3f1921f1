"""Training on smaller images first: most of what is to be learned shows in them, and they cost a share of the time.

As in EfficientNetV2 (Tan & Le 2021, https://arxiv.org/abs/2104.00298), with the schedule of Mosaic's
`ProgressiveResizing`: the first half of the training at the start's size, then rising, and the last fifth at the full
size. Weights and batch norm's statistics are then those of images of the size that the network will answer for: the
mismatch that FixRes (Touvron et al. 2019, https://arxiv.org/abs/1906.06423) repairs afterwards does not arise.
"""

import math
from typing import Any

import lightning as L
import torch
from torch import Tensor

from ..errors import InputError
from ..networks import build_network
from .budget import share_of_time

AT_FIRST, AT_LAST = 0.5, 0.2
"""Shares of the training at the smallest and at the full size."""


def side_at(done: float, full: int, start: float) -> int:
    """Return the side of the images, in pixels, where this share of a training is done.

    Args:
        full: The full side.
        start: The first side as a share of it.
    """
    risen = (done - AT_FIRST) / (1 - AT_FIRST - AT_LAST)
    if start >= 1 or risen >= 1:
        return full
    unit = unit_of(full)
    side = full * (start + (1 - start) * max(0.0, risen))
    return min(full, max(unit, round(side / unit) * unit))


def unit_of(full: int) -> int:
    """Return what the sides in between are multiples of: so many pixels that a network's strides divide them."""
    return 32 if full >= 192 else 16 if full >= 96 else 8 if full >= 32 else 4


def sides(full: int, start: float) -> list[int]:
    """Return all sides that a training has, from the first to the full one."""
    return sorted({side_at(step / 1000, full, start) for step in range(1001)})


def check_sides(architecture: dict[str, Any], in_channels: int, full: int, start: float) -> None:
    """Raise `InputError` where the network can't take one of the smaller images, as its head is made for one size."""
    smaller = sides(full, start)[:-1]
    if not smaller:
        return
    with torch.device("meta"):
        network = build_network(**architecture | {"num_classes": architecture["num_classes"] or 2}).eval()
        for side in smaller:
            try:
                network(torch.empty(1, in_channels, side, side))
            except (RuntimeError, ValueError) as error:
                raise InputError(
                    f"progressive_size={start:g} begins with images of {smaller[0]} pixels, and {architecture['name']} "
                    f"for {full} takes none of {side}: say progressive_size=1, or take another network"
                ) from error


def share_done(trainer: L.Trainer, batch_idx: int) -> float:
    """Return how much of a training is done before this batch, as a share of its steps, or of its time.

    A run that gets more epochs goes on where one of the new length would be.
    """
    steps = trainer.estimated_stepping_batches
    if math.isfinite(steps):
        batches = trainer.current_epoch * trainer.num_training_batches + batch_idx
        return batches / (steps * trainer.accumulate_grad_batches)
    return share_of_time(trainer)


def resized(images: Tensor, side: int) -> Tensor:
    """Return square uint8 images (N, C, S, S) at this side, antialiased."""
    from torchvision.transforms.v2 import functional  # only where it is used: it takes its time

    if images.shape[-1] == side:
        return images
    smaller: Tensor = functional.resize(images, [side, side], antialias=True)
    return smaller
