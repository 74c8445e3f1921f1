"""What a classifier costs, to use and to train: the contents of cost.json."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from ..cost.latency import time_passes
from ..cost.memory import peak_memory
from ..cost.network import PRECISIONS, Progress, autocast, bare_copy, measure_cost, mebibytes, synchronise
from ..errors import InputError
from .classifier import ImageClassifier
from .hardware import describe_hardware
from .optimizers import build_optimizer

SECONDS = 3.0
"""So long training steps are timed."""

STEPS_IN_A_ROW = 8
"""A GPU gets so many steps before it is waited for: in training, too, its queue runs ahead."""


def classifier_cost(
    module: ImageClassifier,
    *,
    device: torch.device,
    precision: str,
    batch_size: int,
    training_batch_size: int,
    budget: float | None = None,
    training_images_per_second: float | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The contents of cost.json: the figures of `measure_cost`, those of training, and what they were measured on.

    `training_images_per_second`, `training_batch_size` and `training_peak_memory_mib`: images, weights, activations,
    gradients and optimizer state of a training step. `device`, `threads` (of the CPU), `precision`, `memory_format`,
    `torch`, `image_size`, `in_channels`, `num_classes`.

    Copies run, and `module` stays as it is. A run that knows its own training images/s gives them; else `SECONDS` of
    steps on random images are timed. `budget`: seconds for the passes of inference, and as many at most for the steps;
    None times all hundred passes of both batch sizes.
    Raises `InputError` for a precision that is not in `PRECISIONS`.
    """
    if precision not in PRECISIONS:
        raise InputError(f"trainer.precision={precision} is not possible here: take auto or {', '.join(PRECISIONS)}")
    architecture = module.hparams["architecture"]
    image_size, in_channels = architecture["image_size"], architecture["in_channels"]
    cost = measure_cost(
        module.network,
        in_channels=in_channels,
        image_size=image_size,
        batch_size=batch_size,
        device=device,
        precision=precision,
        memory_format=module.memory_format,
        budget=budget,
        progress=progress,
    )

    def make_step() -> Callable[..., None]:
        return training_step(private_copy(module, device, precision), device, precision, training_batch_size)

    def warmed_up() -> Callable[..., None]:
        step = make_step()
        step(2)  # the optimizer has its state from the first step on, be it on two images
        return step

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        peak = peak_memory(warmed_up, lambda step: step(), device)
        if training_images_per_second is None:
            seconds = SECONDS if budget is None else min(SECONDS, budget)
            training_images_per_second = _images_per_second(
                make_step(), training_batch_size, device, seconds=seconds, progress=progress
            )
    return cost | {
        "training_batch_size": training_batch_size,
        "training_images_per_second": round(training_images_per_second, 2),
        "training_peak_memory_mib": mebibytes(peak),
        "image_size": image_size,
        "in_channels": in_channels,
        "num_classes": len(module.class_names),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else describe_hardware()["cpu"],
        "threads": torch.get_num_threads(),
        "precision": precision,
        "memory_format": str(module.memory_format).removeprefix("torch.").removesuffix("_format"),
        "torch": torch.__version__,
    }


def private_copy(module: ImageClassifier, device: torch.device, precision: str) -> ImageClassifier:
    """The classifier once more on the device, in training mode, without Lightning's and others' hooks."""
    own = ImageClassifier(**module.hparams)
    own.network = bare_copy(module.network, device, precision, module.memory_format)
    own.memory_format = module.memory_format
    own._frozen = module._frozen  # the copy's weights have it from `module` too, which may have thawed by now
    return own.to(device).train()


def training_step(own: ImageClassifier, device: torch.device, precision: str, batch_size: int) -> Callable[..., None]:
    """A step of training on a batch of random images, or on the first `count` of them, which it may be given.

    `own` lies on the device and is trained. Lightning's loop, data loading and metrics are left out.
    """
    optimizer = build_optimizer(own.network, **own.hparams["optimizer"])
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "16-mixed")
    shape = (batch_size, own.mean.shape[1], *[own.hparams["architecture"]["image_size"]] * 2)
    images = torch.randint(256, shape, dtype=torch.uint8, device=device)
    targets = torch.randint(len(own.class_names), (batch_size,), device=device)
    smoothing = own.hparams["label_smoothing"]

    def step(count: int = batch_size) -> None:
        with autocast(device, precision):
            loss = F.cross_entropy(
                own(images[:count]), targets[:count], weight=own.class_weights, label_smoothing=smoothing
            )
        optimizer.zero_grad()  # behind the forward pass, as Lightning does it: the old gradients count at the peak
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    return step


def _images_per_second(
    step: Callable[[], None], batch_size: int, device: torch.device, *, seconds: float, progress: Progress | None
) -> float:
    steps = STEPS_IN_A_ROW if device.type == "cuda" else 1

    def work() -> None:
        for _ in range(steps):
            step()
        synchronise(device)

    on_pass = None if progress is None else lambda share: progress("training", share)
    times = time_passes(work, passes=1_000_000, warmups=3, budget=seconds, on_pass=on_pass)
    return batch_size * steps * len(times) / sum(times)
