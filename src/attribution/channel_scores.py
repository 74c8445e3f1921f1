"""The logit of a class when one channel at a time is changed: what Score-CAM and Ablation-CAM weigh channels by.

Changed as the `grad-cam` package 1.5.7 does it, with less work and in bounded memory: the package keeps the masked
copies of all images at once, runs the layers before the ablated one anew for every channel, and draws progress bars.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ABLATION_VALUE = 1e7  # of the package's ablation_layer.py
PACKAGE_BATCH = 32  # of its ablation_cam.py


def masked_logits(network: nn.Module, image: Tensor, activations: Tensor, target: int, batch_size: int) -> Tensor:
    """(K,): the logit of class `target` for the image seen through each channel's mask. (Score-CAM)

    `image` (C, H, W); its `activations` (K, h, w). A channel's mask is its activations laid over the image, bilinearly,
    and scaled to [0, 1]. `batch_size` channels go through `network`, frozen and in eval mode, at a time.
    """
    logits = []
    for channels in activations.split(batch_size):
        masks = F.interpolate(channels[:, None], size=image.shape[-2:], mode="bilinear", align_corners=True)
        lowest, highest = masks.amin(dim=(2, 3), keepdim=True), masks.amax(dim=(2, 3), keepdim=True)
        masks = (masks - lowest) / (highest - lowest + 1e-8)
        logits.append(network(image * masks)[:, target])
    return torch.cat(logits)


def ablated_logits(
    network: nn.Module, layer: nn.Module, image: Tensor, activations: Tensor, target: int, batch_size: int
) -> Tensor:
    """(K,): the logit of class `target` with each channel of `layer` switched off. (Ablation-CAM)

    Arguments as for `masked_logits`; `layer` gave the `activations`. Off is 0, as in the paper, where 0 is the image's
    lowest activation, as behind a ReLU. Elsewhere the package puts in the lowest less 1e7, 2e7 … 32e7, by the channel's
    place in its batch of 32: so do we, but weights of such a layer depend on the order of its channels.
    """
    places = torch.arange(len(activations), device=activations.device)
    lowest = activations.min()
    off = (
        activations.new_zeros(len(activations))
        if lowest == 0
        else lowest - ABLATION_VALUE * (1 + places % PACKAGE_BATCH)
    )
    logits = []
    for channels in places.split(batch_size):

        def ablated(channels: Tensor = channels) -> Tensor:
            copies = activations.repeat(len(channels), 1, 1, 1)
            copies[torch.arange(len(channels)), channels] = off[channels, None, None]
            return copies

        logits.append(_logits_from(network, layer, image, ablated, len(channels))[:, target])
    return torch.cat(logits)


def _logits_from(
    network: nn.Module, layer: nn.Module, image: Tensor, output: Callable[[], Tensor], count: int
) -> Tensor:
    """Logits (count, classes) of `network` if `layer` gave `output()`, (count, K, h, w), for `image`.

    The layers before run for one image only: what passes by the layer, such as a shortcut, is broadcast. Where the
    network does not take that (it concatenates, say), they run for as many copies of it.
    """
    handle = layer.register_forward_hook(lambda *_: output())
    try:
        try:
            logits = network(image[None].clone())
            if logits.shape[:1] == (count,):
                return logits
        except RuntimeError:  # the shapes don't go together: without broadcasting, then
            pass
        return network(image.repeat(count, 1, 1, 1))
    finally:
        handle.remove()
