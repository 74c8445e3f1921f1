"""What a network costs to use: parameters, multiply-accumulates, latency and memory."""

import copy
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from .latency import latency_figures, time_passes
from .memory import peak_memory

PRECISIONS: dict[str, tuple[torch.dtype | None, torch.dtype | None]] = {
    "32-true": (torch.float32, None),
    "bf16-mixed": (None, torch.bfloat16),
    "16-mixed": (None, torch.float16),
    "bf16-true": (torch.bfloat16, None),
    "16-true": (torch.float16, None),
    "64-true": (torch.float64, None),
}
"""Lightning's names: (number format of weights and images, that of autocast), None where it is left as it is."""

Progress = Callable[[str, float], None]
"""Hears what is being measured and which share of it is done, in [0, 1]."""


def count_parameters(network: nn.Module) -> int:
    """Return the number of weights, trained or not; batch norm's running statistics are no parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_macs(network: nn.Module, in_channels: int, image_size: int) -> int:
    """Count the multiply-accumulates of one forward pass of one image, in convolutions and matrix products.

    Norms, ReLU and pooling don't count, as in the papers. The network runs on the meta device, where shapes are all
    there is, and costs neither memory nor time.
    """
    with FlopCounterMode(display=False) as counter:
        pass_shapes(network, in_channels, image_size)
    return int(counter.get_total_flops()) // 2  # torch counts the multiplication and the addition


def pass_shapes(network: nn.Module, in_channels: int, image_size: int) -> None:
    """Let one image pass the network on the meta device, for whoever watches its operations."""
    shape = (1, in_channels, image_size, image_size)
    meta = {name: tensor.to("meta") for name, tensor in network.state_dict().items()}
    image = torch.empty(shape, device="meta", dtype=next(network.parameters()).dtype)
    modes = [(module, module.training) for module in network.modules()]
    network.eval()  # batch norm would refuse a single value a channel, and count its batches
    try:
        with torch.no_grad():
            torch.func.functional_call(network, meta, (image,))
    finally:
        for module, training in modes:  # each its own: a frozen part is in eval mode while the rest trains
            module.training = training


def measure_cost(
    network: nn.Module,
    *,
    in_channels: int,
    image_size: int,
    batch_size: int,
    device: torch.device,
    precision: str = "32-true",
    memory_format: torch.memory_format = torch.contiguous_format,
    passes: int = 100,
    warmups: int = 10,
    budget: float | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure what using the network costs on this device: the figures of cost.json that need no training.

    The passes are those of an evaluation: random normalised images (N, C, H, W) on the device, eval mode, no gradients,
    uncompiled. A copy runs: the network itself, its hooks and torch's random state notice nothing.

    Args:
        precision: A key of `PRECISIONS`.
        budget: Seconds that the passes may take; see `time_passes`.

    Returns:
        `parameters`; `macs` of an image; `latency_ms_{mean,median,p95}` of an image and `batch_latency_ms_…` of a
        batch, each over `…latency_passes` passes; `inference_images_per_second` of the batch;
        `inference_peak_memory_mib`: weights and activations of one image, in MiB (see `peak_memory`).
    """

    def prepare(count: int) -> tuple[nn.Module, Tensor]:
        copied = bare_copy(network, device, precision, memory_format).eval()
        return copied, _random_images(count, in_channels, image_size, next(copied.parameters()), memory_format)

    def timed(what: str, count: int, prefix: str) -> dict[str, float | int]:
        copied, images = prepare(count)
        work, on_pass = partial(_infer, copied, images, precision), progress and partial(progress, what)
        times = time_passes(work, passes=passes, warmups=warmups, budget=budget and budget / 2, on_pass=on_pass)
        return latency_figures(times, prefix)

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        cost: dict[str, Any] = {
            "parameters": count_parameters(network),
            "macs": count_macs(bare_copy(network, device, precision, memory_format), in_channels, image_size),
            **timed("one image", 1, ""),
            "batch_size": batch_size,
            **timed(f"{batch_size} images", batch_size, "batch_"),
        }
        cost["inference_images_per_second"] = round(batch_size / (cost["batch_latency_ms_mean"] / 1000), 2)
        peak = peak_memory(lambda: prepare(1), lambda parts: _infer(*parts, precision), device)
    return cost | {"inference_peak_memory_mib": mebibytes(peak)}


def _infer(network: nn.Module, images: Tensor, precision: str) -> None:
    # Entered anew for each pass, as in an evaluation: autocast may keep converted weights until its block ends.
    with torch.inference_mode(), autocast(images.device, precision):
        network(images)
    synchronise(images.device)


def bare_copy(
    network: nn.Module, device: torch.device, precision: str, memory_format: torch.memory_format
) -> nn.Module:
    """Return a copy on the device, in that number format and layout, without gradients, compilation and hooks."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    # deepcopy takes what it finds in the memo for copied already.
    memo: dict[int, Any] = {id(getattr(module, name)): OrderedDict() for module in network.modules() for name in hooks}
    copied = copy.deepcopy(network, memo)
    return copied.to(device, PRECISIONS[precision][0]).to(memory_format=memory_format)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Return a context with the number formats of this precision; autocast around it has no effect inside."""
    dtype = PRECISIONS[precision][1]
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished its work; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def mebibytes(size: int) -> float:
    """Convert bytes to MiB, rounded to a tenth."""
    return round(size / 2**20, 1)


def _random_images(
    count: int, in_channels: int, image_size: int, like: Tensor, memory_format: torch.memory_format
) -> Tensor:
    """Return standard normal values (count, C, S, S), always the same, on the device and in the format of `like`."""
    images = torch.randn(
        (count, in_channels, image_size, image_size), generator=torch.Generator(like.device).manual_seed(0),
        device=like.device, dtype=torch.float32,
    )  # fmt: skip
    return images.to(like.dtype, memory_format=memory_format)
