"""Class activation maps: where in an image is the evidence for a class? Eight answers behind one function.

Computed by the `grad-cam` package (1.5.7) or as it does, without its side effects. A_k (h, w) is channel k of a layer's
output, y the logit of the class, G_k = ∂y/∂A_k; mean and sum run over a channel's cells. The raw maps:

    gradcam      Σ_k mean(G_k) A_k                         Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391
    gradcam++    Σ_k sum(a_k relu(G_k)) A_k, where         Chattopadhay et al. 2018, https://arxiv.org/abs/1710.11063
                 a_k = G_k² / (2 G_k² + sum(A_k) G_k³)
    layercam     Σ_k relu(G_k) A_k                         Jiang et al. 2021, https://doi.org/10.1109/TIP.2021.3089943
    hirescam     Σ_k G_k A_k                               Draelos & Carin 2020, https://arxiv.org/abs/2011.08891
    xgradcam     Σ_k sum(G_k A_k) / sum(A_k) · A_k         Fu et al. 2020, https://arxiv.org/abs/2008.02312
    scorecam     Σ_k softmax_k(y_k) A_k, y_k the logit     Wang et al. 2020, https://arxiv.org/abs/1910.01279
                 of the image times A_k scaled to [0, 1]
    ablationcam  Σ_k (y − y_k) / y · A_k, y_k the logit    Desai & Ramaswamy 2020, "Ablation-CAM", WACV
                 with channel k switched off
    eigencam     A_1 … A_K of a cell, centred, along       Muhammad & Yeasin 2020, https://arxiv.org/abs/2008.00299
                 their first principal component

Before believing one: `ablationcam` turns round where y is negative, and is made for layers behind a ReLU
(`ablated_logits`). `eigencam` shows what stands out for the layer, whatever the class; its sign is the
package's, that is LAPACK's: the same every time, but without meaning. `xgradcam` divides by sums that may be close to 0
in layers with negative activations.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_grad_cam as package
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import InputError
from .channel_scores import ablated_logits, masked_logits
from .layers import deepest_layer, find_layer
from .snapshot import device_of, frozen_copy

CAMS = ("gradcam", "gradcam++", "layercam", "hirescam", "xgradcam", "scorecam", "ablationcam", "eigencam")
"""Names of the methods. Capitals and hyphens don't matter: `Grad-CAM++` is `gradcam++`."""

_BY_THE_PACKAGE = {
    "gradcam": package.GradCAM,
    "gradcam++": package.GradCAMPlusPlus,
    "layercam": package.LayerCAM,
    "hirescam": package.HiResCAM,
    "xgradcam": package.XGradCAM,
    "eigencam": package.EigenCAM,
}
_WITH_GRADIENTS = set(CAMS) - {"scorecam", "ablationcam", "eigencam"}

Maps = NDArray[np.float32]


@dataclass(frozen=True)
class Attribution:
    """Maps that say where the evidence is, with what the network said about the same images.

    maps     (N, h, w) float32, on the layer's own grid. Raw, neither cut off at 0 nor scaled, so that negative evidence
             and magnitude survive and maps of several epochs can share one scale
    logits   (N, K) float32, in fp32 and eval mode
    targets  (N,) int64, the class that each map explains
    layer    name of the layer whose activations were weighted
    """

    maps: Maps
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


def class_activation_maps(
    network: nn.Module,
    images: Tensor,
    method: str = "gradcam",
    targets: Tensor | None = None,
    layer: str | None = None,
    *,
    batch_size: int = 64,
    progress: Callable[[int], None] | None = None,
) -> Attribution:
    """Explain `network`'s answer for each image by `method`, one of `CAMS`.

    `images` (N, C, H, W), normalised, on any device; `targets` (N,) class indices, the predicted classes by default;
    `layer` a module's name, by default the deepest with a useful map (`default_layer`). N may be large: `batch_size`
    images go through the network at a time, which changes maps by rounding only. `progress` hears how many images
    are done: a slice, or one with `scorecam` and `ablationcam`, which take a forward pass for every channel of the
    layer (`ablationcam` mostly of the layers behind it only).

    `network` and the random state are left as they were, and it may be training, frozen, compiled, in bf16 or under
    `inference_mode`. Raises `InputError` for a method, class or layer that does not exist, for a layer without a map of
    more than one cell, and for images or targets of a wrong shape.
    """
    _check(method, images, targets, batch_size)
    parts = []
    with frozen_copy(network) as copy:
        layer, module = _find(method, copy, layer, images)
        task = _Task(method, copy, layer, module, batch_size, _adding_up(progress))
        for start in range(0, len(images), batch_size):
            pixels = _own(images[start : start + batch_size], copy)
            activations, logits = task.forward(pixels)
            said = logits.detach().cpu().numpy()
            if targets is None:
                classes = said.argmax(axis=1)
            else:
                _check_classes(method, targets, said.shape[1])
                classes = targets[start : start + batch_size].cpu().numpy()
            parts.append((task.maps(pixels, activations, logits, classes), said, classes.astype(np.int64)))
    maps, logits_, explained = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Attribution(maps, logits_, explained, layer)


def _adding_up(progress: Callable[[int], None] | None) -> Callable[[int], None]:
    """Takes how many more images are done, and tells `progress` how many are in all."""
    total = 0

    def more(count: int) -> None:
        nonlocal total
        total += count
        if progress is not None:
            progress(total)

    return more


@dataclass(frozen=True)
class _Task:
    """One method on one layer of `network`, a frozen copy."""

    method: str
    network: nn.Module
    layer: str
    module: nn.Module
    batch_size: int
    progress: Callable[[int], None]

    @property
    def key(self) -> str:
        return _key(self.method)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Activations (N, K, h, w) of the layer and logits (N, classes), with the graph between them if that is needed.

        The activations are a leaf, so that backward passes the head only: four times faster (ResNet-18, 224 px).
        """
        caught: list[Tensor] = []

        def catch(_module: nn.Module, _inputs: Any, output: Any) -> Tensor:
            if not isinstance(output, Tensor) or output.ndim != 4:
                raise InputError(
                    f"{self.method}: layer {self.layer!r} gives no feature map; name a convolution or a block"
                )
            if output.shape[-2:] == (1, 1):
                raise InputError(
                    f"{self.method}: layer {self.layer!r} gives 1×1 maps; name an earlier layer, or take larger images"
                )
            if caught:
                raise InputError(
                    f"{self.method}: layer {self.layer!r} runs more than once a pass; name the block that it is in"
                )
            caught.append(output.detach().requires_grad_())
            # An in-place ReLU behind the layer would otherwise change the activations that are about to be weighted.
            return caught[0].clone()

        handle = self.module.register_forward_hook(catch)
        try:
            with torch.set_grad_enabled(self.key in _WITH_GRADIENTS):
                logits = self.network(images.clone())  # scorecam and ablationcam will want them again
        finally:
            handle.remove()
        if not caught or (self.key in _WITH_GRADIENTS and not logits.requires_grad):
            raise InputError(
                f"{self.method}: the output of {self.layer!r} does not reach the logits; name another layer"
            )
        return caught[0], logits

    def maps(self, images: Tensor, activations: Tensor, logits: Tensor, classes: NDArray[np.int64]) -> Maps:
        """Raw maps (N, h, w) of the images from which `forward` had activations and logits."""
        if self.key not in _BY_THE_PACKAGE:
            return self._scored(images, activations, logits, classes)
        gradients = None
        if self.key in _WITH_GRADIENTS:
            logits[range(len(classes)), classes].sum().backward()
            gradients = activations.grad.cpu().numpy()  # type: ignore[union-attr]  # backward has put it there
        cam = _BY_THE_PACKAGE[self.key](self.network, [self.module])
        cam.activations_and_grads.release()  # its hooks: what they would catch is here already
        maps = cam.get_cam_image(images, self.module, None, activations.detach().cpu().numpy(), gradients, False)
        self.progress(len(images))
        return maps.astype(np.float32)

    def _scored(self, images: Tensor, activations: Tensor, logits: Tensor, classes: NDArray[np.int64]) -> Maps:
        """As `maps`, image by image, with weights found by forward passes."""
        maps = []
        with torch.no_grad():
            for image, channels, score, target in zip(images, activations, logits, classes, strict=True):
                if self.key == "scorecam":
                    weights = masked_logits(self.network, image, channels, target, self.batch_size).softmax(dim=0)
                else:
                    left = ablated_logits(self.network, self.module, image, channels, target, self.batch_size)
                    # A head that starts at zero gives a logit of 0, of which nothing can be a share.
                    weights = (score[target] - left) / (score[target] if score[target] != 0 else 1)
                maps.append((weights[:, None, None] * channels).sum(dim=0).cpu().numpy())
                self.progress(1)
        return np.stack(maps)


def _key(method: str) -> str:
    return method.lower().replace("-", "")


def _own(images: Tensor, copy: nn.Module) -> Tensor:
    """The images in fp32 where `copy` is, and not the caller's: a first layer may work in place."""
    return images.detach().to(device_of(copy), torch.float32, copy=True)


def _find(method: str, copy: nn.Module, layer: str | None, images: Tensor) -> tuple[str, nn.Module]:
    """The layer to explain, by name and itself."""
    try:
        layer = layer or deepest_layer(copy, _own(images[:1], copy))
        return layer, find_layer(copy, layer)
    except InputError as error:
        raise InputError(f"{method}: {error}") from error


def _check(method: str, images: Tensor, targets: Tensor | None, batch_size: int) -> None:
    if _key(method) not in CAMS:
        near = difflib.get_close_matches(_key(method), CAMS, n=3, cutoff=0.5) or CAMS
        raise InputError(f"method {method!r} is unknown; nearest: {', '.join(near)}")
    if images.ndim != 4 or 0 in images.shape:
        raise InputError(f"{method} wants images of shape (N, C, H, W), not {tuple(images.shape)}")
    if targets is not None and targets.shape != images.shape[:1]:
        raise InputError(f"{method} wants one class for each of {len(images)} images, not {tuple(targets.shape)}")
    if targets is not None and targets.is_floating_point():
        raise InputError(f"{method} wants classes as whole numbers, not {targets.dtype}")
    if batch_size < 1:
        raise InputError(f"{method}: batch_size={batch_size} is no number of images; take at least 1")


def _check_classes(method: str, targets: Tensor, classes: int) -> None:
    for target in targets.tolist():
        if not 0 <= target < classes:
            raise InputError(f"{method}: no class {target}; the network has classes 0 to {classes - 1}")
