"""Which part of which images excites a channel most, and what the channel sees there.

Zeiler & Fergus 2014, https://arxiv.org/abs/1311.2901, section 2.1. No decoder is trained: all but one of a layer's
activations are set to zero, and autograd carries that one back to the pixels. The backward pass of a convolution is the
transposed convolution, that of max pooling the unpooling with its switches, that of a batch norm in eval mode its
scaling, and a sum sends its signal both ways. Every ReLU follows the deconvnet's rule (`ReluRule`): it rectifies the
signal, which from a layer behind a pooling goes unpool → rectify → filter, as in the paper's figure 1. No bias is
added, and nothing is rectified at the pixels. A ReLU that makes the layer's own output changes nothing, since the
signal starts positive.

The switches are all that a deconvnet knows of the image, and a ResNet has one max pooling or none. From its deeper
layers come grids of the strides that hardly follow the image; the guided rule, which knows the gates, draws it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import InputError
from .guided import ReluRule
from .layers import deepest_layer, find_layer
from .methods import Rule
from .snapshot import device_of, frozen_copy


@dataclass(frozen=True)
class Excitations:
    """The k most active channels of a layer, the most active first, each with the n images that excite it most.

    Attributes:
        layer: The layer's name.
        channels: (k,) int64, indices in the layer's output.
        images: (k, n) int64, places of the images in the order in which they came, the strongest first.
        positions: (k, n, 2) int64, row and column of each image's strongest activation on the layer's grid.
        activations: (k, n) float32, its value; a channel is dead, as far as these images tell, where all are ≤ 0.
    """

    layer: str
    channels: NDArray[np.int64]
    images: NDArray[np.int64]
    positions: NDArray[np.int64]
    activations: NDArray[np.float32]


def strongest(
    network: nn.Module,
    batches: Iterable[Tensor],
    layer: str | None = None,
    channels: int = 9,
    images: int = 9,
    progress: Callable[[int], None] | None = None,
) -> Excitations:
    """Find the most active channels of a layer, the images that excite each most, and the strongest spot of each.

    A channel is as active as the mean of its strongest activations, one an image. `network` and the random state are
    left as they were.

    Args:
        batches: Normalised images (N, C, H, W), all of one size. They pass once, and no more of their activations is
            kept than is asked for.
        layer: By default the deepest with a useful map.
        channels: How many at most.
        images: How many for each channel at most.
        progress: Hears how many images are done.

    Raises:
        InputError: For less than one channel or image, no images at all, and a layer without a feature map of its own.
    """
    for name, number in (("channels", channels), ("images", images)):
        if number < 1:
            raise InputError(f"{name}={number}: a sheet shows at least 1")
    kept, done = None, 0
    with frozen_copy(network) as copy, torch.no_grad():
        for batch in batches:
            if batch.ndim != 4:
                raise InputError(f"deconvnet wants batches of shape (N, C, H, W), not {tuple(batch.shape)}")
            batch = batch.detach().to(device_of(copy), torch.float32, copy=True)
            if kept is None:
                layer = layer or deepest_layer(copy, batch[:1])
                _check_layer(copy, layer, batch[:1])
            peaks = _peaks(feature_map(copy, layer or "", batch), done)
            kept = _merge(peaks if kept is None else torch.cat([kept, peaks], dim=2), images)
            done += len(batch)
            if progress is not None:
                progress(done)
    if kept is None or layer is None or not done:
        raise InputError("deconvnet: there are no images to excite a channel; give some")
    chosen = kept[0].mean(dim=1).argsort(descending=True, stable=True)[:channels]
    values, places, rows, columns = kept[:, chosen].cpu().numpy()
    positions = np.stack([rows, columns], axis=-1).astype(np.int64)
    return Excitations(layer, chosen.cpu().numpy(), places.astype(np.int64), positions, values.astype(np.float32))


def _peaks(maps: Tensor, first: int) -> Tensor:
    """Return (4, K, N): value, image, row and column of each channel's strongest activation in each of N images.

    In double precision, which holds the indices exactly.
    """
    values, cells = maps.double().flatten(2).max(dim=2)  # (N, K)
    places = torch.arange(first, first + len(maps), device=maps.device)[:, None].expand_as(cells)
    width = maps.shape[3]
    return torch.stack([values, places.double(), (cells // width).double(), (cells % width).double()]).transpose(1, 2)


def _merge(peaks: Tensor, count: int) -> Tensor:
    """Return each channel's `count` strongest of the peaks (4, K, n), in order; of equals, those that came first."""
    order = peaks[0].argsort(dim=1, descending=True, stable=True)[:, :count]
    return peaks.gather(2, order.expand(len(peaks), -1, -1))


def project(
    network: nn.Module,
    images: Tensor,
    excitations: Excitations,
    rule: Rule = "deconvnet",
    *,
    batch_size: int = 32,
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """Send a channel's strongest activation in each image back to the pixels: (k, n, C, H, W), signed and raw.

    `images` (k, n, C, H, W), normalised, are those of `excitations`. The signal starts as the activation itself; an
    activation of zero or less sends nothing. The result is zero outside `receptive_fields`. `network` and the random
    state are left as they were.
    """
    if images.shape[:2] != excitations.images.shape:
        raise InputError(f"deconvnet wants {excitations.images.shape} images, not {tuple(images.shape[:2])}")
    flat = images.flatten(0, 1)
    channels = torch.from_numpy(excitations.channels).repeat_interleave(images.shape[1])
    rows, columns = torch.from_numpy(excitations.positions).flatten(0, 1).T
    projections = []
    with frozen_copy(network) as copy:
        for start in range(0, len(flat), batch_size):
            part = slice(start, start + batch_size)
            batch = flat[part].detach().to(device_of(copy), torch.float32, copy=True).requires_grad_()
            with ReluRule(rule):
                maps = feature_map(copy, excitations.layer, batch)
            where = torch.arange(len(batch)), channels[part], rows[part], columns[part]
            signal = torch.zeros_like(maps)
            signal[where] = maps.detach()[where].clamp(min=0)
            projections.append(torch.autograd.grad(maps, batch, signal)[0].cpu().numpy())
            if progress is not None:
                progress(start + len(batch))
    return np.concatenate(projections).reshape(images.shape)


class _Reached(Exception):  # noqa: N818 - not an error
    """Ends a forward pass at the layer whose output is wanted."""

    def __init__(self, output: Any) -> None:
        self.output = output


def feature_map(copy: nn.Module, layer: str, images: Tensor) -> Tensor:
    """Return the map (N, K, h, w) that `layer` of a frozen copy gives for `images`; `InputError` where it gives none.

    The layers behind it do not run: they would cost time, and a ReLU in place would overwrite the map.
    """

    def stop(_module: nn.Module, _inputs: Any, output: Any) -> None:
        raise _Reached(output)

    handle = find_layer(copy, layer).register_forward_hook(stop)
    try:
        copy(images)
        output = None
    except _Reached as reached:
        output = reached.output
    finally:
        handle.remove()
    if not isinstance(output, Tensor) or output.ndim != 4:
        raise InputError(f"deconvnet: layer {layer!r} gives no feature map; name a convolution or a block")
    return output


def _check_layer(copy: nn.Module, layer: str, image: Tensor) -> None:
    """Refuse a layer that runs more than once a pass, such as the shared ReLU of torchvision's blocks."""
    calls: list[None] = []
    handle = find_layer(copy, layer).register_forward_hook(lambda *_: calls.append(None))
    copy(image)
    handle.remove()
    if len(calls) > 1:
        raise InputError(f"deconvnet: layer {layer!r} runs more than once a pass; name the block that it is in")
