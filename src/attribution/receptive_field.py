"""Which pixels a cell of a feature map can see at all."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..errors import InputError
from .deconvnet import feature_map
from .snapshot import device_of, frozen_copy


def receptive_fields(
    network: nn.Module, layer: str, positions: NDArray[np.int64], shape: tuple[int, int, int]
) -> NDArray[np.int64]:
    """Find the pixels that cells of `layer`'s map depend on, whatever the weights.

    Exact for networks of convolutions, poolings, norms by batch statistics, paddings, slices and sums; all channels of
    a map count as one. A cell behind global pooling sees the whole image. `network` is left as it was.

    Args:
        positions: (…, 2), rows and columns on the layer's grid.
        shape: (C, H, W) of the image, at whose border fields end.

    Returns:
        (…, 4), top, left, bottom and right, ends excluded, of the smallest box around the pixels; some pixels in it may
        not count, because strides leave gaps.

    Raises:
        InputError: For a layer without a map, or a position outside it.
    """
    with frozen_copy(network) as copy:
        image = torch.ones(1, *shape, dtype=torch.float64, device=device_of(copy), requires_grad=True)
        with _Reach():
            cells = feature_map(copy.double(), layer, image)[0].mean(dim=0)  # (h, w)
        height, width = cells.shape
        boxes: dict[tuple[int, int], tuple[int, int, int, int]] = {}
        for row, column in positions.reshape(-1, 2).tolist():
            if not (0 <= row < height and 0 <= column < width):
                raise InputError(f"position {row, column} lies outside the {height}×{width} map of layer {layer!r}")
            if (row, column) not in boxes:
                (reach,) = torch.autograd.grad(cells[row, column], image, retain_graph=True)
                boxes[row, column] = _box(reach[0].abs().sum(dim=0) > 0)
    found = [boxes[row, column] for row, column in positions.reshape(-1, 2).tolist()]
    return np.array(found, np.int64).reshape(*positions.shape[:-1], 4)


def _box(seen: Tensor) -> tuple[int, int, int, int]:
    rows, columns = (seen.any(dim=dim).nonzero()[:, 0] for dim in (1, 0))
    if not len(rows):
        return 0, 0, 0, 0  # the cell sees padding alone
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


class _Reach(TorchFunctionMode):
    """A context in which all weights are positive and nothing is gated: only what depends on what is left.

    In double precision, because the corner of a field gets 9^-109 of the signal through 109 convolutions.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return _STAND_INS.get(getattr(func, "__name__", ""), func)(*args, **(kwargs or {}))


def _conv2d(  # takes what the original takes
    input: Tensor,
    weight: Tensor,
    bias: Any = None,  # noqa: ARG001
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,  # noqa: ARG001
) -> Tensor:
    """Return the mean of window and channels in each output channel, from one channel: hundreds of times faster."""
    window = torch.full_like(weight[:1, :1], 1 / weight[0, 0].numel())
    mean = F.conv2d(input.mean(dim=1, keepdim=True), window, None, stride, padding, dilation)
    return mean.repeat(1, len(weight), 1, 1)


def _max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,  # noqa: ARG001
) -> Tensor:
    """Return the mean of the window, any pixel of which may be the largest; dilated windows are filled."""
    (high, wide), (down, across) = (np.broadcast_to(value, 2).tolist() for value in (kernel_size, dilation))
    window = down * (high - 1) + 1, across * (wide - 1) + 1
    return F.avg_pool2d(input, window, stride or kernel_size, padding, ceil_mode)


def _open(input: Tensor, *_args: Any, **_kwargs: Any) -> Tensor:
    return input.clone()


_STAND_INS: dict[str, Callable[..., Any]] = {
    "conv2d": _conv2d,
    "max_pool2d": _max_pool2d,
    "batch_norm": _open,
    "relu": _open,
    "relu_": lambda input: input,
}
