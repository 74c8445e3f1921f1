"""What a classifier costs, to use and to train: the contents of cost.json."""

import socket
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from ..cost.kept import kept
from ..cost.latency import time_passes
from ..cost.memory import peak_memory
from ..cost.network import PRECISIONS, Progress, autocast, bare_copy, measure_cost, mebibytes, synchronise
from ..errors import InputError
from ..heap import is_kept
from ..runs.provenance import provenance
from .classifier import ImageClassifier
from .hardware import describe_hardware
from .optimizers import build_optimizer

SECONDS = 3.0
"""For this long training steps are timed."""

STEPS_IN_A_ROW = 8
"""A GPU gets this many steps before anybody waits for it: in training, too, its queue runs ahead."""


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
    keep: bool = False,
) -> dict[str, Any]:
    """Return the contents of cost.json, measured on copies: `module` stays as it is.

    Args:
        budget: Seconds for the passes of inference, and as many at most for the steps of training; None times all
            hundred passes of both batch sizes.
        keep: Take what was measured of the same network with the same settings on this machine today, and keep what is
            measured now.
        training_images_per_second: What a run has measured itself; None times `SECONDS` of steps on random images.

    Returns:
        The figures of `measure_cost`, those of training and what all were measured on. `training_peak_memory_mib`
        holds the images, weights, activations, gradients and optimizer state of a step.

    Raises:
        InputError: The precision is not in `PRECISIONS`.
    """
    if precision not in PRECISIONS:
        raise InputError(f"trainer.precision={precision} is not possible here: take auto or {', '.join(PRECISIONS)}")
    image = {key: module.hparams["architecture"][key] for key in ("image_size", "in_channels")}
    circumstances = {**image, **_circumstances(module, device, precision)}

    def make_step() -> Callable[..., None]:
        return training_step(private_copy(module, device, precision), device, precision, training_batch_size)

    def measure() -> dict[str, Any]:
        cost = measure_cost(
            module.network, **image, batch_size=batch_size, device=device, precision=precision,
            memory_format=module.memory_format, budget=budget, progress=progress,
        )  # fmt: skip
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            peak = peak_memory(lambda: _warmed_up(make_step()), lambda step: step(), device)
        return cost | {"training_batch_size": training_batch_size, "training_peak_memory_mib": mebibytes(peak)}

    depends_on = circumstances | _dependencies(module, batch_size, training_batch_size, budget)
    cost = kept(depends_on, measure) if keep else measure()
    if training_images_per_second is None:
        seconds = SECONDS if budget is None else min(SECONDS, budget)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            training_images_per_second = _images_per_second(make_step(), training_batch_size, device, seconds, progress)
    return cost | {"training_images_per_second": round(training_images_per_second, 2)} | circumstances


def _circumstances(module: ImageClassifier, device: torch.device, precision: str) -> dict[str, Any]:
    return {
        "num_classes": len(module.class_names),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else describe_hardware()["cpu"],
        "threads": torch.get_num_threads(),
        "precision": precision,
        "memory_format": str(module.memory_format).removeprefix("torch.").removesuffix("_format"),
        "convolutions": module.hparams["convolutions"],
        "torch": torch.__version__,
    }


def _dependencies(
    module: ImageClassifier, batch_size: int, training_batch_size: int, budget: float | None
) -> dict[str, Any]:
    """Return what figures depend on besides what cost.json says of their circumstances."""
    hardware, weights = describe_hardware(), module.network.named_parameters()
    return {
        "architecture": module.hparams["architecture"],
        "weights": [(name, [*weight.shape], weight.requires_grad) for name, weight in weights],
        "task": module.task.name,
        "optimizer": module.hparams["optimizer"],
        "batch_sizes": [batch_size, training_batch_size],
        "budget": budget,
        "machine": [socket.gethostname(), hardware["cpu"], hardware["cores"]],
        "heap_kept": is_kept(),
        **provenance(),
    }


def private_copy(module: ImageClassifier, device: torch.device, precision: str) -> ImageClassifier:
    """Return a copy of the classifier on the device, in training mode, without Lightning's and others' hooks."""
    own = type(module)(**module.hparams)
    own.network = bare_copy(module.network, device, precision, module.memory_format)
    own.memory_format = module.memory_format
    own._frozen = module._frozen  # `module` may have thawed by now
    return own.to(device).train()


def training_step(own: ImageClassifier, device: torch.device, precision: str, batch_size: int) -> Callable[..., None]:
    """Return a step of training on a batch of random images, or on the first `count` of them where that is given.

    It trains `own`, which lies on the device, without Lightning's loop, data loading and metrics.
    """
    optimizer = build_optimizer(own.network, **own.hparams["optimizer"])
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "16-mixed")
    shape = (batch_size, own.mean.shape[1], *[own.hparams["architecture"]["image_size"]] * 2)
    images = torch.randint(256, shape, dtype=torch.uint8, device=device)
    targets = own.random_targets(batch_size, device)

    def step(count: int = batch_size) -> None:
        with autocast(device, precision):
            loss = own.training_loss(own(images[:count]), targets[:count])
        optimizer.zero_grad()  # after the forward pass, as in Lightning: the old gradients count at the peak
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # torch's has no types
        scaler.step(optimizer)
        scaler.update()

    return step


def _warmed_up(step: Callable[..., None]) -> Callable[..., None]:
    step(2)  # two images are enough to give the optimizer its state
    return step


def _images_per_second(
    step: Callable[..., None], batch_size: int, device: torch.device, seconds: float, progress: Progress | None
) -> float:
    steps = STEPS_IN_A_ROW if device.type == "cuda" else 1

    def work() -> None:
        for _ in range(steps):
            step()
        synchronise(device)

    on_pass = progress and partial(progress, "training")
    times = time_passes(work, passes=1_000_000, warmups=3, budget=seconds, on_pass=on_pass)
    return batch_size * steps * len(times) / sum(times)
