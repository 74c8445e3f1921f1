"""Gradients with another rule at the ReLUs: deconvnet, guided backpropagation, guided Grad-CAM.

At a ReLU y = max(x, 0) the ordinary gradient keeps the part of the signal g that belongs to active inputs: [x > 0] g.

    deconvnet   max(g, 0)            Zeiler & Fergus 2014, https://arxiv.org/abs/1311.2901
    guided      [x > 0] max(g, 0)    Springenberg et al. 2015, https://arxiv.org/abs/1412.6806

Both draw crisp pictures even of untrained networks (Adebayo et al. 2018, https://arxiv.org/abs/1810.03292): show them
beside a control with random weights (`randomised`).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..errors import InputError
from ..figures import upsample
from .cam import gradcam
from .methods import METHODS, Rule, methods_of
from .snapshot import device_of, frozen_copy

OTHER_RECTIFIERS = frozenset(
    "celu elu gelu hardswish hardtanh leaky_relu mish prelu relu6 rrelu selu silu softplus threshold".split()  # noqa: SIM905
)
"""Functions of torch that stand where a ReLU would, and about which the rules say nothing."""


class ReluRule(TorchFunctionMode):
    """A context in which every ReLU of this thread passes signals back by `rule`; forward is unchanged.

    `with ReluRule("guided"): logits = network(images)`; the backward pass may come later. It acts where torch's
    functions are called, so the network stays as it is, and it covers `nn.ReLU`, shared and in place or not, as well
    as `F.relu`, `torch.relu` and `x.relu_()`, but not `clamp(min=0)` and scripted networks. Sigmoid and tanh, which are
    gates, keep their gradient. `relus` counts the calls. Raises `InputError` for `OTHER_RECTIFIERS`.
    """

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        if rule not in get_args(Rule):
            raise InputError(f"rule {rule!r} is unknown: take {' or '.join(get_args(Rule))}")
        self.rule = rule
        self.relus = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in ("relu", "relu_"):
            self.relus += 1
            features, *rest = (*args, *(kwargs[key] for key in ("input", "inplace") if key in kwargs))
            return _Relu.apply(features, self.rule == "guided", name == "relu_" or any(rest))
        if name.rstrip("_") in OTHER_RECTIFIERS:
            raise InputError(
                f"method={self.rule}: its rule is made for ReLUs and the network has {name.rstrip('_')}: "
                "take a class activation map, such as method=gradcam"
            )
        return func(*args, **kwargs)


class _Relu(torch.autograd.Function):
    """max(x, 0), whose backward passes only positive signals and, where `gated`, only to active inputs."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, gated: bool, inplace: bool) -> Tensor:
        if gated:
            ctx.save_for_backward(features > 0)
        if not inplace:
            return features.relu()
        ctx.mark_dirty(features)
        return features.relu_()

    @staticmethod
    def backward(ctx: Any, *signals: Tensor) -> tuple[Tensor, None, None]:
        passed = signals[0].clamp(min=0)
        return (passed * ctx.saved_tensors[0] if ctx.saved_tensors else passed), None, None


@dataclass(frozen=True)
class PixelAttribution:
    """What each value of each pixel has to do with a class.

    Attributes:
        pixels: (N, C, H, W) float32, signed and raw, in logits per unit of the normalised input; for guided_gradcam
            times the map's unit.
        logits: (N, K) float32, in fp32 and eval mode.
        targets: (N,) int64, the class that is explained.
        layer: Name of the layer of Grad-CAM's map; None for methods without one.
    """

    pixels: NDArray[np.float32]
    logits: NDArray[np.float32]
    targets: NDArray[np.int64]
    layer: str | None


def pixel_attribution(
    network: nn.Module,
    images: Tensor,
    method: str,
    targets: Tensor | None = None,
    layer: str | None = None,
    *,
    batch_size: int = 32,
    progress: Callable[[int], None] | None = None,
) -> PixelAttribution:
    """Explain one class's logit for each image in signed pixels.

    The random state and `network`, in any state that `frozen_copy` takes, are left as they were.

    Args:
        images: (N, C, H, W), normalised, on any device.
        method: A name of `methods_of("pixels", "channels")`.
        targets: (N,) class indices; by default the predicted classes.
        layer: Of guided_gradcam's map; by default the deepest with a useful map.
        progress: Hears how many images are done.

    Raises:
        InputError: For an unknown method, class or layer, a `layer` where the method has none, or other rectifiers.
    """
    _check(images, method, targets, layer)
    explain, parts = METHODS[method].load(), list[Pixels]()
    with frozen_copy(network) as copy:
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size].detach().to(device_of(copy), torch.float32, copy=True)
            classes = None if targets is None else targets[start : start + batch_size]
            parts.append(explain(copy, batch, classes, layer))
            layer = parts[-1].layer
            if progress is not None:
                progress(start + len(batch))
    logits = np.concatenate([part.logits for part in parts])
    explained = logits.argmax(axis=1) if targets is None else targets.cpu().numpy()
    pixels = np.concatenate([part.gradient for part in parts])
    return PixelAttribution(pixels, logits, explained.astype(np.int64), layer)


def _check(images: Tensor, method: str, targets: Tensor | None, layer: str | None) -> None:
    known = methods_of("pixels", "channels")
    if method not in known:
        raise InputError(f"method={method} does not explain a class in pixels: take {', '.join(known)}")
    if images.ndim != 4 or len(images) == 0:
        raise InputError(f"method={method} wants images of shape (N, C, H, W), not {tuple(images.shape)}")
    if targets is not None and targets.shape != images.shape[:1]:
        raise InputError(f"method={method} wants one class for each of {len(images)} images: {tuple(targets.shape)}")
    if layer is not None and not METHODS[method].at_layer:
        raise InputError(f"method={method} goes from the logits to the pixels: leave layer={layer} out")


# The methods. Each gets a frozen copy, a batch that is its own to change, and None for the predicted classes. --------


class Pixels(NamedTuple):
    """What a method gives for a batch: its pixels (n, C, H, W), the logits (n, K), and the layer that it used."""

    gradient: NDArray[np.float32]
    logits: NDArray[np.float32]
    layer: str | None = None


def guided_backprop(copy: nn.Module, images: Tensor, targets: Tensor | None, layer: str | None = None) -> Pixels:  # noqa: ARG001
    """Return the gradient by the guided rule at every ReLU."""
    return _gradient(copy, images, "guided", targets)


def deconvnet(copy: nn.Module, images: Tensor, targets: Tensor | None, layer: str | None = None) -> Pixels:  # noqa: ARG001
    """Return the gradient by the deconvnet's rule at every ReLU."""
    return _gradient(copy, images, "deconvnet", targets)


def guided_gradcam(copy: nn.Module, images: Tensor, targets: Tensor | None, layer: str | None = None) -> Pixels:
    """Return guided backpropagation times the positive part of Grad-CAM's map at `layer`, laid over the image."""
    guided = _gradient(copy, images, "guided", targets)
    cam = gradcam(copy, images, targets, layer)
    heat = upsample(np.maximum(cam.maps, 0), (images.shape[2], images.shape[3]))
    return Pixels(guided.gradient * heat[:, None], guided.logits, cam.layer)


def _gradient(copy: nn.Module, images: Tensor, rule: Rule, targets: Tensor | None) -> Pixels:
    with ReluRule(rule):
        logits: Tensor = copy(images.requires_grad_())
    chosen = logits.argmax(dim=1) if targets is None else targets.to(logits.device)
    wrong = chosen[(chosen < 0) | (chosen >= logits.shape[1])].tolist()
    if wrong:
        raise InputError(f"no class {wrong[0]}; the network has classes 0 to {logits.shape[1] - 1}")
    (gradient,) = torch.autograd.grad(logits.gather(1, chosen[:, None]).sum(), images)
    return Pixels(gradient.cpu().numpy(), logits.detach().cpu().numpy())
