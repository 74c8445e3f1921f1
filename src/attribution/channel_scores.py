"""Score-CAM and Ablation-CAM: channels weighted by the logit of a class when one of them at a time is changed.

Changed as the `grad-cam` package 1.5.7 does it, with less work and in bounded memory: the package keeps the masked
copies of all images at once, runs the layers before the ablated one anew for every channel, and draws progress bars.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from .layer_pass import LayerPass

ABLATION_VALUE = 1e7  # of the package's ablation_layer.py
PACKAGE_BATCH = 32  # of its ablation_cam.py

Weigh = Callable[[LayerPass, int, int], Tensor]
"""Takes a batch, the place of an image in it and a class; returns the weights (K,) of the channels."""


def _weighted_sums(
    weigh: Weigh, caught: LayerPass, classes: NDArray[np.int64], done: Callable[[int], None]
) -> NDArray[np.float32]:
    """Return the raw maps (N, h, w) of a batch for `classes` (N,), image by image; tell `done` after each."""
    maps = []
    with torch.no_grad():
        for place, target in enumerate(classes.tolist()):
            weights = weigh(caught, place, target)
            maps.append((weights[:, None, None] * caught.activations[place]).sum(dim=0).cpu().numpy())
            done(1)
    return np.stack(maps)


def _score_weights(caught: LayerPass, place: int, target: int) -> Tensor:
    image, activations = caught.images[place], caught.activations[place]
    return masked_logits(caught.network, image, activations, target, caught.batch_size).softmax(dim=0)


def _ablation_weights(caught: LayerPass, place: int, target: int) -> Tensor:
    image, activations, score = caught.images[place], caught.activations[place], caught.logits[place, target]
    left = ablated_logits(caught.network, caught.layer, image, activations, target, caught.batch_size)
    # A head that starts at zero gives a logit of 0, of which nothing can be a share.
    return (score - left) / (score if score != 0 else 1)


score_cam = partial(_weighted_sums, _score_weights)
ablation_cam = partial(_weighted_sums, _ablation_weights)


def masked_logits(network: nn.Module, image: Tensor, activations: Tensor, target: int, batch_size: int) -> Tensor:
    """Return (K,), the logit of class `target` for the image seen through each channel's mask.

    `image` is (C, H, W), its `activations` (K, h, w); `network` is frozen and in eval mode. A channel's mask is its
    activations laid over the image, bilinearly, and scaled to [0, 1]. `batch_size` channels go through at once.
    """
    logits = []
    for channels in torch.split(activations, batch_size):
        masks = F.interpolate(channels[:, None], size=image.shape[-2:], mode="bilinear", align_corners=True)
        lowest, highest = masks.amin(dim=(2, 3), keepdim=True), masks.amax(dim=(2, 3), keepdim=True)
        masks = (masks - lowest) / (highest - lowest + 1e-8)
        logits.append(network(image * masks)[:, target])
    return torch.cat(logits)


def ablated_logits(
    network: nn.Module, layer: nn.Module, image: Tensor, activations: Tensor, target: int, batch_size: int
) -> Tensor:
    """Return (K,), the logit of class `target` with each channel of `layer` switched off.

    Arguments are those of `masked_logits`; `layer` gave the `activations`. Off is 0, as in the paper, where 0 is the
    image's lowest activation, as behind a ReLU. Elsewhere the package puts in the lowest minus 1e7, 2e7 … 32e7,
    depending on the channel's place in its batch of 32. So do we, but the weights of such a layer depend on the order
    of its channels.
    """
    places = torch.arange(len(activations), device=activations.device)
    lowest = activations.min()
    off = (
        activations.new_zeros(len(activations))
        if lowest == 0
        else lowest - ABLATION_VALUE * (1 + places % PACKAGE_BATCH)
    )
    logits = []
    for channels in torch.split(places, batch_size):

        def ablated(channels: Tensor = channels) -> Tensor:
            copies = activations.repeat(len(channels), 1, 1, 1)
            copies[torch.arange(len(channels)), channels] = off[channels, None, None]
            return copies

        logits.append(_logits_from(network, layer, image, ablated, len(channels))[:, target])
    return torch.cat(logits)


def _logits_from(
    network: nn.Module, layer: nn.Module, image: Tensor, output: Callable[[], Tensor], count: int
) -> Tensor:
    """Return the logits (count, classes) that `network` would give if `layer` gave `output()`, (count, K, h, w).

    The layers before run for one image only, and whatever bypasses the layer, such as a shortcut, is broadcast. Where
    the network cannot do that (because it concatenates, say), they run for `count` copies of the image.
    """
    handle = layer.register_forward_hook(lambda *_: output())
    try:
        try:
            logits: Tensor = network(image[None].clone())
            if logits.shape[:1] == (count,):
                return logits
        except RuntimeError:  # the shapes don't broadcast
            pass
        repeated: Tensor = network(image.repeat(count, 1, 1, 1))
    finally:
        handle.remove()
    return repeated
