"""One forward pass, caught at the layer whose activations a class activation map weights."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from .layers import find_layer, is_map


@dataclass(frozen=True, eq=False)
class LayerPass:
    """What a method needs to know of a batch.

    Attributes:
        network: A frozen copy.
        layer: The module of it that gave the activations.
        images: (N, C, H, W) as they went in.
        activations: (N, K, h, w), a leaf of the graph that leads to the logits.
        logits: (N, classes), with that graph where gradients are needed.
        batch_size: How many images may go through the network at once.
    """

    network: nn.Module
    layer: nn.Module
    images: Tensor
    activations: Tensor
    logits: Tensor
    batch_size: int


def catch(copy: nn.Module, name: str, images: Tensor, *, gradients: bool, batch_size: int) -> LayerPass:
    """Send `images` through `copy` and catch the output of the layer called `name`.

    The activations are a leaf, so that backward passes the head only: four times faster (ResNet-18, 224 px). Raises
    `InputError` for a layer that has no map of its own of more than one cell, or doesn't reach the logits.
    """
    layer = find_layer(copy, name)
    caught: list[Tensor] = []

    def take(module: nn.Module, _inputs: Any, output: Any) -> Tensor:
        if not is_map(module, output):
            raise InputError(f"layer {name!r} gives no feature map; name a convolution or a block")
        if output.shape[-2:] == (1, 1):
            raise InputError(f"layer {name!r} gives 1×1 maps; name an earlier layer, or take larger images")
        if caught:
            raise InputError(f"layer {name!r} runs more than once a pass; name the block that it is in")
        caught.append(output.detach().requires_grad_())
        # An in-place ReLU behind the layer would otherwise change the activations that are about to be weighted.
        return caught[0].clone()

    handle = layer.register_forward_hook(take)
    try:
        with torch.set_grad_enabled(gradients):
            logits = copy(images.clone())  # methods with a pass for every channel want the images again
    finally:
        handle.remove()
    if not caught or (gradients and not logits.requires_grad):
        raise InputError(f"the output of {name!r} does not reach the logits; name another layer")
    return LayerPass(copy, layer, images, caught[0], logits, batch_size)
