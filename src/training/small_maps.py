"""Convolutions over small feature maps as matrix products, while a network trains on a CPU.

oneDNN takes about as long for a layer's weights however few pixels they meet. In the last layers of a network on small
images, products with all windows written out as rows take a fifth of that ("im2col"; Chellapilla et al., "High
Performance Convolutional Neural Networks for Document Processing", 2006).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

from ..cost.network import count_parameters, pass_shapes

# Seconds of a layer, forward and backward, by oneDNN over those by products, in bf16 with AMX, batches of 32. 3×3 and
# 512 channels on 2×2 pixels 6.7, 4×4 2.8, 7×7 1.5, 8×8 1.0; 256 channels 3.4, 1.8, 0.8, 0.7; 128 channels 1.8, 1.0.
# With products for the gradient of the weight alone: 512 channels on 7×7 pixels 1.4, 8×8 1.2; 256 channels on 4×4 2.2,
# 7×7 1.3, 8×8 1.0; 128 channels on 4×4 1.6, 7×7 1.0. A kernel of 1×1 with 256 and 1,024 channels: 3.9 on 2×2, 1.9 on
# 4×4, 1.2 on 8×8 and 16×16. fp32 gains half as much by all, and nothing by the gradient alone (torch 2.15).

CHANNELS_FOR_ALL = 32
"""Channels for each place of a kernel from which all is computed by products; of 1×1, which needs no windows, one."""

CHANNELS_FOR_WEIGHTS = 4
"""More channels than this for each place: the gradient of the weight is, in bf16."""

LEAST_WEIGHTS = 64 * 256
"""Smaller layers take no time that could be saved."""

DTYPES = (torch.bfloat16, torch.float32)

Pair = tuple[int, int]


class SmallMaps(TorchFunctionMode):
    """Within it the layers of a network, `nn.Conv2d`, use products where that is faster and gradients are asked for."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.conv2d and len(args) == 7 and not kwargs:  # as nn.Conv2d calls it
            return convolve(*args)
        return func(*args, **(kwargs or {}))


def convolve(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Pair,
    padding: Pair | str,
    dilation: Pair,
    groups: int,
) -> Tensor:
    """Return what `torch.conv2d` does, up to rounding."""
    windows = windows_of(images, weight, stride, padding, dilation, groups)
    learns = torch.is_grad_enabled() and (images.requires_grad or weight.requires_grad)
    if windows and learns and images.device.type == "cpu" and {images.dtype, weight.dtype} <= {*DTYPES}:
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else weight.dtype
        which = what_gains(weight, windows, dtype)
        if which.weight and all(t.is_contiguous(memory_format=torch.channels_last) for t in (images, weight)):
            found: Tensor = Convolution.apply(images.to(dtype), weight.to(dtype), windows, which)
            return found if bias is None else found + bias.to(dtype)[:, None, None]
    return torch.conv2d(images, weight, bias, stride, padding, dilation, groups)


@dataclass(frozen=True)
class Windows:
    """What a kernel sees at each of its places, in images of a shape (N, C, H, W), channels last in memory."""

    shape: Sequence[int]
    kernel: Pair
    stride: Pair
    padding: Pair

    @property
    def places(self) -> Pair:
        """Places of the kernel, down and across."""
        height, width = self.shape[2:]
        (high, wide), (down, right), (above, left) = self.kernel, self.stride, self.padding
        return (height + 2 * above - high) // down + 1, (width + 2 * left - wide) // right + 1

    def rows(self, images: Tensor) -> Tensor:
        """Return the windows of images, a row each: (N · places, kernel's height · its width · C)."""
        above, left = self.padding
        padded = F.pad(images, (left, left, above, above)) if above or left else images
        windows = self._of(padded).permute(0, 2, 3, 4, 5, 1)
        return windows.reshape(windows.shape[:3].numel(), -1)

    def summed(self, rows: Tensor) -> Tensor:
        """Return images (N, C, H, W) in which each pixel is the sum of what rows have of it: the adjoint of `rows`."""
        images, channels, height, width = self.shape
        (high, wide), (above, left) = self.kernel, self.padding
        if self.kernel == self.stride == (1, 1) and self.padding == (0, 0):
            return rows.view(images, height, width, channels).permute(0, 3, 1, 2)
        # In fp32: each of nine additions in bf16 would round.
        padded = rows.new_zeros(images, height + 2 * above, width + 2 * left, channels, dtype=torch.float32)
        windows = self._of(padded.permute(0, 3, 1, 2)).permute(0, 2, 3, 4, 5, 1)
        parts = rows.view(windows.shape)
        for y, x in product(range(high), range(wide)):
            windows[:, :, :, y, x] += parts[:, :, :, y, x]
        inside = padded[:, above : above + height, left : left + width]
        return inside.to(rows.dtype).contiguous().permute(0, 3, 1, 2)

    def _of(self, padded: Tensor) -> Tensor:
        """Return a view (N, C, places down, places across, kernel's height, its width)."""
        return padded.unfold(2, self.kernel[0], self.stride[0]).unfold(3, self.kernel[1], self.stride[1])


def windows_of(
    images: Tensor, weight: Tensor, stride: Pair, padding: Pair | str, dilation: Pair, groups: int
) -> Windows | None:
    """Return the windows of a convolution as most are: without dilation and groups, its padding in pixels."""
    if groups > 1 or dilation != (1, 1) or isinstance(padding, str) or images.ndim != 4 or not len(images):
        return None
    high, wide = weight.shape[2:]
    return Windows(images.shape, (high, wide), stride, padding)


class Which(NamedTuple):
    """What is computed by products: the gradient of the weight, and all else."""

    weight: bool
    rest: bool


def what_gains(weight: Tensor, windows: Windows, dtype: torch.dtype) -> Which:
    if dtype not in DTYPES:
        return Which(False, False)
    places, channels = windows.places[0] * windows.places[1], min(weight.shape[:2])
    if min(windows.places) < 1 or weight.numel() < LEAST_WEIGHTS:
        return Which(False, False)
    gains = channels >= (1 if windows.kernel == (1, 1) else CHANNELS_FOR_ALL) * places
    return Which(gains or (dtype == torch.bfloat16 and channels > CHANNELS_FOR_WEIGHTS * places), gains)


def share_by_products(network: nn.Module, in_channels: int, image_size: int) -> float:
    """Return which share of a network's weights, in [0, 1], belongs to layers of which all is computed by products."""
    by_products: dict[int, int] = {}

    class Watch(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.conv2d and len(args) == 7:
                images, weight, _, *how = args
                windows = windows_of(images, weight, *how)
                if windows and what_gains(weight, windows, torch.float32).rest:
                    by_products[id(weight)] = weight.numel()
            return func(*args, **(kwargs or {}))

    with Watch():
        pass_shapes(network, in_channels, image_size)
    return sum(by_products.values()) / max(1, count_parameters(network))


class Convolution(torch.autograd.Function):
    """A convolution whose weight's gradient, or all of which, is a product of matrices."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, windows: Windows, which: Which) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.windows, ctx.which = windows, which
        if not which.rest:
            return torch.conv2d(images, weight, None, windows.stride, windows.padding)
        size = (len(images), len(weight), *windows.places)
        found = torch.empty(size, dtype=images.dtype, memory_format=torch.channels_last)
        # Written in place: torch lets nobody change a view that a function returns, such as a ReLU that follows.
        torch.mm(windows.rows(images), as_rows(weight).t(), out=as_rows(found, 3))
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (images, weight), windows = ctx.saved_tensors, ctx.windows
        rows = as_rows(gradient, 3)
        of_images = of_weight = None
        if ctx.needs_input_grad[0] and ctx.which.rest:
            of_images = windows.summed(rows @ as_rows(weight))
        elif ctx.needs_input_grad[0]:
            places = (windows.stride, windows.padding, (1, 1), False, (0, 0), 1)
            wanted = (True, False, False)
            of_images, *_ = torch.ops.aten.convolution_backward(gradient, images, weight, None, *places, wanted)
        if ctx.needs_input_grad[1]:
            of_weight = (rows.t() @ windows.rows(images)).view(len(weight), *windows.kernel, -1).permute(0, 3, 1, 2)
        return of_images, of_weight, None, None


def as_rows(tensor: Tensor, dimensions: int = 1) -> Tensor:
    """Return a tensor (O, C, H, W) as a matrix with the first of (O, H, W, C) as rows, the others as columns."""
    last = tensor.permute(0, 2, 3, 1)
    return last.reshape(last.shape[:dimensions].numel(), -1)
