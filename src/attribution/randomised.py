"""Networks with random weights: the control that an explanation has to differ from.

An explanation that looks the same for a network that has learned nothing says nothing about what was learned (Adebayo
et al. 2018, https://arxiv.org/abs/1810.03292).
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ..errors import InputError
from .snapshot import device_of, frozen_copy

CONTROL_SEED = 1001
"""Unlike the seeds of runs: with the seed of its own training, a network would get back the very weights it started
from, which it still resembles after a short training."""
STATISTICS = 64
"""How many images give the batch norms of random layers their statistics."""


def randomised(
    network: nn.Module, *, seed: int = CONTROL_SEED, layers: Iterable[str] | None = None, images: Tensor | None = None
) -> nn.Module:
    """Return a copy of `network` in fp32 and eval mode with fresh random weights.

    The modules draw the weights as they drew their own; batch norms start at scale 1 and shift 0. `network` and the
    random state are left as they were.

    Args:
        layers: Names of modules, each standing for all in it; by default all of them.
        images: (N, C, H, W), normalised, from which the batch norms of these layers take their statistics. Without
            them, activations of a deep random network vanish or explode.

    Raises:
        InputError: For a single image, where a map of one cell has no variance.
    """
    with frozen_copy(network) as copy, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        names = None if layers is None else tuple(layers)
        norms = []
        for name, module in copy.cpu().named_modules():
            if names is not None and not any(name == layer or name.startswith(f"{layer}.") for layer in names):
                continue
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                norms.append(module)
        copy.to(device_of(network))
        if images is not None and norms:
            _estimate(copy, norms, images)
    return copy.requires_grad_(False)


def _estimate(network: nn.Module, norms: list[nn.modules.batchnorm._BatchNorm], images: Tensor) -> None:
    """Set the running mean and variance of `norms` to those of `images`."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    try:
        with torch.no_grad():
            network(images.detach().to(device_of(network), torch.float32, copy=True))
    except ValueError as error:  # torch's, for a single value a channel
        raise InputError("random weights as a control: one image has no variance for batch norms; take more") from error
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.eval()
        norm.momentum = momentum
