"""Gradients whose way back through the ReLUs is changed: deconvnet, guided backpropagation, guided Grad-CAM.

At a ReLU y = max(x, 0) the ordinary gradient keeps of the signal g what belongs to active inputs: [x > 0] g.

    deconvnet   max(g, 0)            Zeiler & Fergus 2014, https://arxiv.org/abs/1311.2901
    guided      [x > 0] max(g, 0)    Springenberg et al. 2015, https://arxiv.org/abs/1412.6806

Both draw crisp pictures, of untrained networks too (Adebayo et al. 2018, https://arxiv.org/abs/1810.03292): show them
beside a control with random weights (`src.attribution.randomised`).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..errors import InputError
from ..figures import upsample
from .gradcam import gradcam
from .snapshot import device_of, frozen_copy

Rule = Literal["deconvnet", "guided"]

METHODS: dict[str, Rule] = {"guided_backprop": "guided", "guided_gradcam": "guided", "deconvnet": "deconvnet"}
"""Methods that explain a class in pixels, and the rule of each."""

OTHER_RECTIFIERS = frozenset(
    "celu elu gelu hardswish hardtanh leaky_relu mish prelu relu6 rrelu selu silu softplus threshold".split()  # noqa: SIM905
)
"""Functions of torch that stand where a ReLU would, and for which the rules say nothing."""


class ReluRule(TorchFunctionMode):
    """While it is entered, every ReLU that runs in this thread passes signals back by `rule`; forward is unchanged.

    `with ReluRule("guided"): logits = network(images)`; the backward pass may come later. It works where torch's
    functions are called, so it needs no change of the network and meets `nn.ReLU`, shared and in place or not, as well
    as `F.relu`, `torch.relu` and `x.relu_()`. `relus` counts the calls. Not met: `clamp(min=0)`, scripted networks.
    Sigmoid and tanh, which are gates, keep their gradient. Raises `InputError` for `OTHER_RECTIFIERS`.
    """

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        if rule not in get_args(Rule):
            raise InputError(f"rule {rule!r} is unknown: take {' or '.join(get_args(Rule))}")
        self.rule = rule
        self.relus = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple = (), kwargs: Mapping[str, Any] | None = None
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
    """max(x, 0), whose backward lets positive signals through alone, and where `gated` only to active inputs."""

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

    pixels   (N, C, H, W) float32, signed and raw, in logits per unit of the normalised input; for guided_gradcam times
             the map's unit
    logits   (N, K) float32, in fp32 and eval mode
    targets  (N,) int64, the class that is explained
    layer    name of the layer of Grad-CAM's map; None for the methods that have none
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
    """The gradient of one class's logit with respect to the pixels, by the method's rule at every ReLU.

    `images` (N, C, H, W), normalised, on any device; `method` one of `METHODS`; `targets` (N,) class indices, the
    predicted classes by default. guided_gradcam is guided backpropagation times the positive part of Grad-CAM's map
    at `layer`, by default the deepest with a useful map, laid over the image (Selvaraju et al. 2017,
    https://arxiv.org/abs/1610.02391, section 3.2). `progress` hears how many images are done.

    `network` and the random state are left as they were, and it may be in any state that `frozen_copy` takes. Raises
    `InputError` for an unknown method, class or layer, a `layer` where the method has none, and a network whose
    rectifiers are not ReLUs.
    """
    _check(images, method, targets, layer)
    pixels, logits = [], []
    with frozen_copy(network) as copy:
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size].detach().to(device_of(copy), torch.float32, copy=True)
            classes = None if targets is None else targets[start : start + batch_size]
            gradient, said = _gradient(copy, batch, METHODS[method], classes)
            if method == "guided_gradcam":
                cam = gradcam(copy, batch, classes, layer)
                layer = cam.layer
                gradient *= upsample(np.maximum(cam.maps, 0), (batch.shape[2], batch.shape[3]))[:, None]
            pixels.append(gradient)
            logits.append(said)
            if progress is not None:
                progress(start + len(batch))
    answers = np.concatenate(logits)
    explained = answers.argmax(axis=1) if targets is None else targets.cpu().numpy()
    return PixelAttribution(np.concatenate(pixels), answers, explained.astype(np.int64), layer)


def _check(images: Tensor, method: str, targets: Tensor | None, layer: str | None) -> None:
    if method not in METHODS:
        raise InputError(f"method={method} does not explain a class in pixels: take {', '.join(METHODS)}")
    if images.ndim != 4 or len(images) == 0:
        raise InputError(f"method={method} wants images of shape (N, C, H, W), not {tuple(images.shape)}")
    if targets is not None and targets.shape != images.shape[:1]:
        raise InputError(f"method={method} wants one class for each of {len(images)} images: {tuple(targets.shape)}")
    if layer is not None and method != "guided_gradcam":
        raise InputError(f"method={method} goes from the logits to the pixels: leave layer={layer} out")


def _gradient(
    copy: nn.Module, images: Tensor, rule: Rule, targets: Tensor | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Of each image (N, C, H, W), and the logits (N, K); `images` are ours to change."""
    with ReluRule(rule):
        logits: Tensor = copy(images.requires_grad_())
    chosen = logits.argmax(dim=1) if targets is None else targets.to(logits.device)
    wrong = chosen[(chosen < 0) | (chosen >= logits.shape[1])].tolist()
    if wrong:
        raise InputError(f"no class {wrong[0]}; the network has classes 0 to {logits.shape[1] - 1}")
    (gradient,) = torch.autograd.grad(logits.gather(1, chosen[:, None]).sum(), images)
    return gradient.cpu().numpy(), logits.detach().cpu().numpy()
