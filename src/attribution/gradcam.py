"""Grad-CAM: where in an image is the evidence for a class?

Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391. Computed by the `grad-cam` package, without its side effects.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_grad_cam import GradCAM
from torch import Tensor, nn

from src.attribution.layers import deepest_layer, find_layer
from src.attribution.snapshot import device_of, frozen_copy
from src.errors import InputError
from src.figures import scale_maps

__all__ = ["Attribution", "gradcam", "scale_maps"]


@dataclass(frozen=True)
class Attribution:
    """Maps that say where the evidence is, with what the network said about the same images.

    maps     (N, h, w) float32, on the layer's own grid. Raw: Σ_k α_k A_k of equation 2 before its ReLU, so that
             negative evidence and magnitude survive and maps of several epochs can share one scale
    logits   (N, K) float32, in fp32 and eval mode
    targets  (N,) int64, the class that each map explains
    layer    name of the layer whose activations A_k were weighted
    """

    maps: NDArray[np.float32]
    logits: NDArray[np.float32]
    targets: NDArray[np.int64]
    layer: str

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(N,) the class with the largest logit."""
        return self.logits.argmax(axis=1).astype(np.int64)

    @property
    def confidences(self) -> NDArray[np.float32]:
        """(N,) softmax probability of the predicted class, in [0, 1]."""
        shifted = self.logits - self.logits.max(axis=1, keepdims=True)
        return 1 / np.exp(shifted).sum(axis=1)


def gradcam(network: nn.Module, images: Tensor, targets: Tensor | None = None, layer: str | None = None) -> Attribution:
    """Explain `network`'s answer for each image by the gradient of one class's logit.

    `images` (N, C, H, W), normalised, on any device; `targets` (N,) class indices, the predicted classes by default;
    `layer` a module's name, by default the deepest with a useful map (`default_layer`). The weight of channel k is the
    mean of its gradient over the map, α_k = mean_ij ∂y/∂A_k,ij; the map is Σ_k α_k A_k.

    `network` and the random state are left as they were, and it may be training, frozen, compiled, in bf16 or under
    `inference_mode`. All images go through at once: slice a large set. Raises `InputError` for a class or layer that
    does not exist, and for a layer without a map of more than one cell.
    """
    if images.ndim != 4 or len(images) == 0:
        raise InputError(f"Grad-CAM wants images of shape (N, C, H, W), not {tuple(images.shape)}")
    if targets is not None and targets.shape != images.shape[:1]:
        raise InputError(f"Grad-CAM wants one class for each of {len(images)} images, not {tuple(targets.shape)}")
    with frozen_copy(network) as copy:
        batch = images.detach().to(device_of(copy), torch.float32, copy=True)
        layer = layer or deepest_layer(copy, batch[:1])
        maps, logits = _explain(copy, batch, targets, layer)
    chosen = logits.argmax(axis=1) if targets is None else targets.cpu().numpy()
    return Attribution(maps, logits, chosen.astype(np.int64), layer)


def _explain(
    copy: nn.Module, images: Tensor, targets: Tensor | None, layer: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Raw maps (N, h, w) and logits (N, K); leaves its first hook on `copy`."""
    module = find_layer(copy, layer)
    module.register_forward_hook(_start_of_graph(layer))
    cam = _RawGradCAM(copy, [module])
    # Comes after the package's hooks, which keep the layer's output without copying it: an in-place ReLU behind the
    # layer would otherwise change the activations that are about to be weighted.
    module.register_forward_hook(lambda _module, _inputs, output: output.clone())
    try:
        cam(images, None if targets is None else [_ClassLogit(int(target)) for target in targets])
        return cam.raw, cam.outputs.detach().float().cpu().numpy()
    except RuntimeError as error:
        if cam.activations_and_grads.gradients:
            raise
        raise InputError(f"Grad-CAM: the output of {layer!r} does not reach the logits; name another layer") from error
    finally:
        cam.activations_and_grads.release()


def _start_of_graph(layer: str) -> Callable[[nn.Module, Any, Any], Tensor]:
    """A forward hook that makes the layer's output a leaf, so that backward computes the head's gradients only.

    Four times faster than a whole backward pass (ResNet-18, 224 px). Refuses outputs that are no map.
    """
    calls = 0

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Tensor:
        nonlocal calls
        calls += 1
        if not isinstance(output, Tensor) or output.ndim != 4:
            raise InputError(f"Grad-CAM: layer {layer!r} gives no feature map; name a convolution or a block")
        if output.shape[-2:] == (1, 1):
            raise InputError(f"Grad-CAM: layer {layer!r} gives 1×1 maps; name an earlier layer, or take larger images")
        if calls > 1:
            raise InputError(f"Grad-CAM: layer {layer!r} runs more than once a pass; name the block that it is in")
        return output.detach().requires_grad_()

    return hook


class _RawGradCAM(GradCAM):
    """The package's Grad-CAM, which keeps its map `raw` (N, h, w) before the ReLU and the scaling."""

    raw: NDArray[np.float32]

    def get_cam_image(self, *args: Any, **kwargs: Any) -> NDArray[np.float32]:
        self.raw = super().get_cam_image(*args, **kwargs)
        return self.raw


@dataclass(frozen=True)
class _ClassLogit:
    """The number to be explained. Unlike the package's own it refuses a class that the network does not have."""

    target: int

    def __call__(self, logits: Tensor) -> Tensor:
        classes = logits.shape[-1]
        if not 0 <= self.target < classes:
            raise InputError(f"Grad-CAM: no class {self.target}; the network has classes 0 to {classes - 1}")
        return logits[self.target]
