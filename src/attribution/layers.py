"""Which layer of a network to explain: its name, and the size of the feature map that each layer gives."""

import difflib
from collections.abc import Container, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..networks import layers_of
from .snapshot import device_of, frozen_copy

SMALLEST_MAP = 4
"""Height and width, in cells, below which a map says too little about *where* to be taken unasked."""

ENOUGH = 7
"""Height and width, in cells, from which on the deepest map is taken. Maps of 7×7 or 8×8 lie better on objects of known
place than the deeper ones of 4×4, and tell better than larger ones what counts: explanation/README.md, "Which layer?".
"""

LEAST_PIXELS = 4
"""How many pixels a cell is high and wide at least, before more cells are wanted: tiny images have few."""


def default_layer(network: nn.Module, images: Tensor) -> str:
    """Return the name of the deepest layer of `network` with weights and a feature map of at least 7×7.

    Of images below 28 px, 4×4 is enough. Where no map is so large, that of the deepest with 4×4. The layers are those
    of the table of networks, or the direct children. Deepest means last to run; pooling after the last block would only
    coarsen its map. In a ResNet with the ImageNet stem that is `layer4` at 224 px and `layer2` at 64 px. Raise
    `InputError` if all maps are smaller.

    Args:
        images: A normalised (N, C, H, W) batch of the size to be explained; its first image is tried.
    """
    with frozen_copy(network) as copy:
        return deepest_layer(copy, images[:1].detach().to(device_of(copy), torch.float32, copy=True))


def deepest_layer(network: nn.Module, image: Tensor) -> str:
    """Do as `default_layer` on `network` itself (a copy, in eval mode) with one image (1, C, H, W)."""
    sizes = map_sizes(network, image)
    weighted = {name for name, module in network.named_modules() if any(True for _ in module.parameters())}
    wanted = max(SMALLEST_MAP, min(ENOUGH, min(image.shape[-2:]) // LEAST_PIXELS))
    large = _at_least(wanted, sizes, weighted) or _at_least(SMALLEST_MAP, sizes, weighted)
    layers = {name for names in layers_of(network) for name in names}
    if not large:
        height, width = image.shape[-2:]
        raise InputError(
            f"no layer of {type(network).__name__} has a map of at least {SMALLEST_MAP}×{SMALLEST_MAP} "
            f"for images of {height}×{width} px; take larger images, or name a layer"
        )
    # A network inside a wrapper has its maps further down than the wrapper's direct children.
    return ([name for name in large if name in layers] or large)[-1]


def _at_least(cells: int, sizes: Mapping[str, tuple[int, int]], among: Container[str]) -> list[str]:
    return [name for name, size in sizes.items() if name in among and min(size) >= cells]


def map_sizes(network: nn.Module, image: Tensor) -> dict[str, tuple[int, int]]:
    """Return height and width of every layer's map, by name, in the order in which the layers finish.

    Layers that run more than once in a forward pass, such as the shared ReLU of torchvision's blocks, have no map of
    their own and are left out.
    """
    sizes: dict[str, tuple[int, int]] = {}
    calls: dict[str, int] = {}

    def note(name: str, module: nn.Module, _inputs: Any, output: Any) -> None:
        calls[name] = calls.get(name, 0) + 1
        if is_map(module, output):
            sizes[name] = (output.shape[-2], output.shape[-1])

    layers = [(name, module) for name, module in network.named_modules() if name]
    handles = [module.register_forward_hook(partial(note, name)) for name, module in layers]
    try:
        with torch.no_grad():
            network(image)
    finally:
        for handle in handles:
            handle.remove()
    return {name: size for name, size in sizes.items() if calls[name] == 1}


def is_map(module: nn.Module, output: Any) -> bool:
    """Return whether the output is a feature map (N, C, h, w).

    Linear layers and layer norms, such as those inside a ConvNeXt's blocks, have the channels last: (N, h, w, C).
    """
    channels_last = isinstance(module, nn.Linear) or type(module) is nn.LayerNorm  # torchvision's LayerNorm2d has not
    return isinstance(output, Tensor) and output.ndim == 4 and not channels_last


def find_layer(network: nn.Module, name: str) -> nn.Module:
    """Return the layer called `name`, such as `layer4.1.conv2`; raise `InputError` with the nearest names otherwise.

    What `torch.compile` puts into names (`_orig_mod.`) may be there or not.
    """
    named = network.named_modules()
    layers: dict[str, nn.Module] = {key.replace("_orig_mod.", ""): module for key, module in named if key}
    wanted = name.replace("_orig_mod.", "")
    if wanted not in layers:
        near = difflib.get_close_matches(wanted, layers, n=3) or [key for key in layers if "." not in key]
        raise InputError(f"no layer {name!r} in {type(network).__name__}; near: {', '.join(near)}")
    return layers[wanted]
