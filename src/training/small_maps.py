"""Convolutions over small feature maps as matrix products, while a network trains on a CPU.

oneDNN's kernels go over a map row by row. Where it has only a few pixels, as in the last layers of a network on small
images, they take up to ten times as long as one product of all windows, written out as rows ("im2col"; Chellapilla et
al., "High Performance Convolutional Neural Networks for Document Processing", 2006).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

ALL = 256
"""Numbers of a channel in the windows of an image, 3×3 on 5×5 pixels or 1×1 on 16×16, up to which all is a product."""

WEIGHTS = 576
"""… 3×3 on 8×8 pixels, up to which a weight's gradient is. Windows must be written out; of more that takes the gain."""

DTYPES = (torch.bfloat16, torch.float32)

Pair = tuple[int, int]


class SmallMaps(TorchFunctionMode):
    """Within it `torch.conv2d` uses products where that is faster and gradients are asked for."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return (convolve if func is torch.conv2d else func)(*args, **(kwargs or {}))


def convolve(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Return what `torch.conv2d` does, up to rounding."""
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else weight.dtype
    here = images.device.type == "cpu" and dtype in DTYPES and not torch.compiler.is_compiling()
    usual = groups == 1 and as_pair(dilation) == (1, 1) and not isinstance(padding, str) and images.ndim == 4
    learns = torch.is_grad_enabled() and (images.requires_grad or weight.requires_grad)
    if here and usual and learns:
        last = all(tensor.is_contiguous(memory_format=torch.channels_last) for tensor in (images, weight))
        windows = Windows(images.shape, as_pair(weight.shape[2:]), as_pair(stride), as_pair(padding), last)  # type: ignore[arg-type]
        if windows.numbers <= WEIGHTS:
            found: Tensor = Convolution.apply(images.to(dtype), weight.to(dtype), windows)
            return found if bias is None else found + bias.to(dtype)[:, None, None]
    return torch.conv2d(images, weight, bias, stride, padding, dilation, groups)


def as_pair(numbers: int | Sequence[int]) -> Pair:
    first, second = (numbers, numbers) if isinstance(numbers, int) else numbers
    return first, second


@dataclass(frozen=True)
class Windows:
    """What a kernel sees at each of its places, in images of a shape (N, C, H, W).

    `last` says that channels come last in memory, as in the rows: nothing is then copied but what windows share.
    """

    shape: Sequence[int]
    kernel: Pair
    stride: Pair
    padding: Pair
    last: bool

    @property
    def places(self) -> Pair:
        """Places of the kernel, down and across."""
        height, width = self.shape[2:]
        (high, wide), (down, right), (above, left) = self.kernel, self.stride, self.padding
        return (height + 2 * above - high) // down + 1, (width + 2 * left - wide) // right + 1

    @property
    def numbers(self) -> int:
        """Numbers of a channel in all windows of an image."""
        (high, wide), (down, right) = self.kernel, self.places
        return high * wide * down * right

    @property
    def are_pixels(self) -> bool:
        return self.kernel == self.stride == (1, 1) and self.padding == (0, 0)

    def rows(self, images: Tensor) -> Tensor:
        """Return the windows of images, a row each: (N · places, numbers of a window)."""
        above, left = self.padding
        padded = F.pad(images, (left, left, above, above)) if above or left else images
        windows = self._of(padded).permute(0, 2, 3, *((4, 5, 1) if self.last else (1, 4, 5)))
        return windows.reshape(self.shape[0] * self.places[0] * self.places[1], -1)

    def summed(self, rows: Tensor) -> Tensor:
        """Return images (N, C, H, W) in which each pixel is the sum of what rows have of it: the adjoint of `rows`."""
        images, channels, height, width = self.shape
        if self.are_pixels:
            return self.maps(rows)
        (high, wide), (above, left) = self.kernel, self.padding
        # In fp32: each of nine additions in bf16 would round.
        padded = rows.new_zeros(images, height + 2 * above, width + 2 * left, channels, dtype=torch.float32)
        if self.last:
            parts = rows.view(images, *self.places, high, wide, channels).permute(0, 5, 1, 2, 3, 4)
        else:
            parts = rows.view(images, *self.places, channels, high, wide).permute(0, 3, 1, 2, 4, 5)
        windows = self._of(padded.permute(0, 3, 1, 2))
        for y, x in product(range(high), range(wide)):
            windows[..., y, x] += parts[..., y, x]
        return self._laid_out(padded[:, above : above + height, left : left + width].to(rows.dtype))

    def maps(self, rows: Tensor) -> Tensor:
        """Return maps (N, C, places down, places across) of which each place has a row."""
        return self._laid_out(rows.view(self.shape[0], *self.places, -1))

    def matrix(self, weight: Tensor) -> Tensor:
        """Return a weight (O, C, kernel's height, its width) as (O, numbers of a window)."""
        return (weight.permute(0, 2, 3, 1) if self.last else weight).flatten(1)

    def weight(self, matrix: Tensor) -> Tensor:
        """Return the weight of such a matrix."""
        if self.last:
            return matrix.view(len(matrix), *self.kernel, -1).permute(0, 3, 1, 2)
        return matrix.view(len(matrix), -1, *self.kernel)

    def _of(self, padded: Tensor) -> Tensor:
        """Return a view (N, C, places down, places across, kernel's height, its width)."""
        return padded.unfold(2, self.kernel[0], self.stride[0]).unfold(3, self.kernel[1], self.stride[1])

    def _laid_out(self, maps: Tensor) -> Tensor:
        """Return maps (N, H, W, C) as (N, C, H, W), in the layout of the images."""
        layout = torch.channels_last if self.last else torch.contiguous_format
        return maps.permute(0, 3, 1, 2).contiguous(memory_format=layout)


class Convolution(torch.autograd.Function):
    """A convolution whose weight's gradient, or all of which, is a product of matrices."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, windows: Windows) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.windows = windows
        if windows.numbers > ALL:
            return torch.conv2d(images, weight, None, windows.stride, windows.padding)
        return windows.maps(windows.rows(images) @ windows.matrix(weight).t())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (images, weight), windows = ctx.saved_tensors, ctx.windows
        rows = gradient.permute(0, 2, 3, 1).flatten(0, 2)
        of_images = of_weight = None
        if ctx.needs_input_grad[0]:
            if windows.numbers <= ALL:
                of_images = windows.summed(rows @ windows.matrix(weight))
            else:
                places = (windows.stride, windows.padding, (1, 1), False, (0, 0), 1)
                of_images, *_ = torch.ops.aten.convolution_backward(
                    gradient, images, weight, None, *places, (True, False, False)
                )
        if ctx.needs_input_grad[1]:
            of_weight = windows.weight(rows.t() @ windows.rows(images))
        return of_images, of_weight, None
