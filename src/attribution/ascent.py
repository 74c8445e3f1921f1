"""Gradient ascent of images: the loop that class images and plain pixel ascent share."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import InputError
from .naturalness import StatisticsLoss
from .snapshot import device_of, frozen_copy

SMALLEST_IMAGE = 8

Progress = Callable[[int, int], None]
"""Called after every step with the number of steps done and of all steps."""


@dataclass(frozen=True, eq=False)
class ClassImages:
    """Images of classes, and how they came about.

    Attributes:
        images: (n, C, S, S) uint8.
        targets: (n,) int64, the class that each is an image of.
        confidences: (n,) float32, the network's own probability of that class for the image as it is here.
        snapshots: (m, n, C, S, S) uint8, the images after each of `steps`; the last are `images`.
        steps: The m steps.
    """

    images: NDArray[np.uint8]
    targets: NDArray[np.int64]
    confidences: NDArray[np.float32]
    snapshots: NDArray[np.uint8]
    steps: tuple[int, ...]


@dataclass(frozen=True)
class Picture:
    """The numbers to optimise, and what turns them into images (n, C, S, S) in [0, 1]."""

    values: Tensor
    paint: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Ascent:
    """A way to make images.

    Attributes:
        start: Makes n pictures to begin with, on a device.
        shown: Turns the images into what the network is shown of them.
        cost: Of the images, logits, wanted classes and distance of the batch norms' statistics: what is minimised.
        steps: How many.
        lr: Learning rate of the first step.
        watch: Whether the batch norms' statistics are needed.
    """

    start: Callable[[int, torch.device], Picture]
    shown: Callable[[Tensor], Tensor]
    cost: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    steps: int
    lr: float
    watch: bool


def make_images(
    network: nn.Module,
    targets: Sequence[int] | NDArray[np.int64] | Tensor,
    image_size: int,
    mean: Tensor,
    std: Tensor,
    ascent: Ascent,
    batch_size: int,
    progress: Progress | None,
    snapshots: Sequence[int],
) -> ClassImages:
    """Make the images batch by batch; return them in the order of `targets`."""
    wanted = torch.as_tensor(np.asarray(targets, dtype=np.int64).copy())
    kept = tuple(sorted({*snapshots, ascent.steps}))
    if kept[0] < 0 or kept[-1] > ascent.steps:
        raise InputError(f"class image: snapshots={list(snapshots)} are not all steps from 0 to {ascent.steps}")
    with frozen_copy(network) as copy:
        device = device_of(copy)
        mean, std = (values.view(1, -1, 1, 1).to(device) for values in (mean, std))
        _check(copy, wanted, mean.expand(1, -1, image_size, image_size))
        statistics = StatisticsLoss(copy) if ascent.watch else None
        slices = mixed(wanted, batch_size)
        pictures = torch.zeros((len(kept), len(wanted), mean.numel(), image_size, image_size), dtype=torch.uint8)
        confidences = torch.zeros(len(wanted))
        for number, chosen in enumerate(slices):

            def tick(step: int, number: int = number) -> None:
                if progress is not None:
                    progress(number * ascent.steps + step, len(slices) * ascent.steps)

            goal = wanted[chosen].to(device)
            found = _ascend(lambda images: copy((images - mean) / std), goal, ascent, statistics, kept, tick)
            pictures[:, chosen] = found
            with torch.no_grad():
                logits = copy((found[-1].to(device).float() / 255 - mean) / std)
            confidences[chosen] = of_class(logits.softmax(dim=1), goal).cpu()
    return ClassImages(pictures[-1].numpy(), wanted.numpy(), confidences.numpy(), pictures.numpy(), kept)


def _ascend(
    see: Callable[[Tensor], Tensor],
    wanted: Tensor,
    ascent: Ascent,
    statistics: StatisticsLoss | None,
    kept: Sequence[int],
    tick: Callable[[int], None],
) -> Tensor:
    """Return images of the classes `wanted` (n,) after the steps `kept`, uint8 (m, n, C, S, S)."""
    picture = ascent.start(len(wanted), wanted.device)
    values = picture.values.requires_grad_()
    optimizer = torch.optim.Adam([values], lr=ascent.lr)
    found = []
    for step in range(ascent.steps + 1):
        images = picture.paint(values)
        if step in kept:
            found.append((images.detach() * 255).round().to(torch.uint8).cpu())
        if step == ascent.steps:
            break
        optimizer.param_groups[0]["lr"] = ascent.lr * (1 + math.cos(math.pi * step / ascent.steps)) / 2
        logits = see(ascent.shown(images))
        distance = torch.zeros((), device=wanted.device) if statistics is None else statistics.take()
        loss = ascent.cost(images, logits, wanted, distance)
        (values.grad,) = torch.autograd.grad(loss, values)
        optimizer.step()
        tick(step + 1)
    return torch.stack(found)


def check_size(size: int) -> None:
    """Raise `InputError` for images too small to show anything."""
    if size < SMALLEST_IMAGE:
        raise InputError(f"class image: image_size={size} is too small: take at least {SMALLEST_IMAGE} pixels")


def _check(copy: nn.Module, wanted: Tensor, image: Tensor) -> None:
    """Raise `InputError` unless the network takes such an image (1, C, S, S) and has the classes `wanted`."""
    channels, size = image.shape[1], image.shape[-1]
    if wanted.ndim != 1 or len(wanted) == 0:
        raise InputError(f"class image: targets must be a list of classes, not of shape {tuple(wanted.shape)}")
    try:
        with torch.no_grad():
            classes = copy(image.clone()).shape[1]
    except RuntimeError as error:
        name = type(copy).__name__
        raise InputError(
            f"class image: {name} takes no images of {channels}×{size}×{size}; take the size it was trained on"
        ) from error
    for target in wanted.tolist():
        if not 0 <= target < classes:
            raise InputError(f"class image: no class {target}; the network has classes 0 to {classes - 1}")


def mixed(wanted: Tensor, batch_size: int) -> list[Tensor]:
    """Divide the places 0 … n - 1 into batches of at most `batch_size`, each with as many classes as possible."""
    order = wanted.argsort(stable=True)
    count = math.ceil(len(order) / max(1, batch_size))
    return [order[number::count] for number in range(count)]


def of_class(values: Tensor, targets: Tensor) -> Tensor:
    """Return of values (n, K) those of the classes `targets` (n,)."""
    return values.gather(1, targets[:, None])[:, 0]
