"""Which number format and memory layout train fastest here: what `auto` means for `precision` and `memory_format`."""

import torch
from torch import nn

from ..cost.network import count_macs, count_parameters
from .small_maps import share_by_products

WORTH_CONVERTING = 8
"""Uses of a weight per image from which bf16 and channels_last pay on a CPU where oneDNN computes all convolutions.

Mixed precision converts every weight at each step; where a weight then meets only a few pixels, that costs more than
it gains. Training images/s, fp32 contiguous -> bf16 channels_last, on 2 cores with AMX (torch 2.15), by uses:
ResNet-18 at 28² with the ImageNet stem (2.5 uses) 460 -> 296, at 8² (3) 389 -> 250; SimpleCNN at 8² (5) 2,955 -> 3,603;
ResNet-18 at 64² with the ImageNet stem (13) 113 -> 126, ResNet-50 likewise (13) 37 -> 54; ResNet-18 at 96² (29)
54 -> 80, at 28² with the small stem (40) 46 -> 79, at 128² (51) 34 -> 79.
With small feature maps by products (`small_maps.py`) it pays for them, too, by processor time: ResNet-18 at 8² 1.9
times (fp32 1.2), with the ImageNet stem 1.4 (1.2), so at 28² 1.6 (1.3); ResNet-50 at 8² 2.2 (1.9).
Without AMX an Intel CPU has bf16 instructions that don't pay, and channels_last alone does: see `cpu_gains_from_bf16`.
"""


def weight_uses(network: nn.Module, in_channels: int, image_size: int) -> float:
    """Return how often a weight is multiplied in the forward pass of one image, on average: MACs / parameters."""
    return count_macs(network, in_channels, image_size) / max(1, count_parameters(network))


def worth_converting(network: nn.Module, in_channels: int, image_size: int, convolutions: str) -> bool:
    """Return whether bf16, on CPUs that are fast by it, and channels_last pay for a training on a CPU.

    They do where weights meet many pixels, or where most are of small feature maps and computed by products
    (`convolutions=auto`).
    """
    if convolutions == "auto" and share_by_products(network, in_channels, image_size) > 0.5:
        return True
    return weight_uses(network, in_channels, image_size) >= WORTH_CONVERTING


def choose_precision(precision: str, *, cuda: bool, worth: bool) -> str:
    """Return the Trainer's `precision`: as given, or for `auto` `bf16-mixed` where that is faster, else `32-true`."""
    if precision != "auto":
        return precision
    if cuda:
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    return "bf16-mixed" if worth and cpu_gains_from_bf16() else "32-true"


def choose_memory_format(memory_format: str, *, cuda: bool, worth: bool) -> torch.memory_format:
    """Return the layout of images and weights: as given, or for `auto` channels_last wherever it is faster."""
    if memory_format == "auto":
        memory_format = "channels_last" if cuda or worth else "contiguous"
    return torch.channels_last if memory_format == "channels_last" else torch.contiguous_format


def cpu_gains_from_bf16() -> bool:
    """Return whether this CPU multiplies bf16 faster than fp32: by AMX, AMD's AVX512-BF16, or Arm's BF16.

    Emulation is slower, and so are Intel's CPUs with AVX512-BF16 whose AMX a virtual machine hides: one thread trained
    fp32 -> bf16, both channels_last, ResNet-18 at 128² 22 -> 14 images/s, at 64² 43 -> 34, ResNet-50 at 128² 5.2 ->
    4.1, a Mini-ResNet at 64² 18 -> 14, cifar_resnet20 at 32² 131 -> 100 (torch 2.15, a busy machine, in turns).
    """
    capabilities = torch.cpu.get_capabilities()
    names = ["amx_bf16", "bf16", "sve_bf16"]
    if "Intel" not in str(capabilities.get("cpu_name")):
        names.append("avx512_bf16")
    return any(capabilities.get(name, False) for name in names)
