"""Class activation maps: where in an image is the evidence for a class? One function, a rule for each method.

Computed by the `grad-cam` package (1.5.7) or as it does, without its side effects. A_k (h, w) is channel k of a layer's
output, y the logit of the class, G_k = ∂y/∂A_k; mean and sum run over a channel's cells. The raw maps (papers:
`methods.METHODS`):

    gradcam       Σ_k mean(G_k) A_k
    gradcam++     Σ_k sum(a_k relu(G_k)) A_k, a_k = G_k² / (2 G_k² + sum(A_k) G_k³)
    layercam      Σ_k relu(G_k) A_k
    hirescam      Σ_k G_k A_k
    xgradcam      Σ_k sum(G_k A_k) / sum(A_k) · A_k
    scorecam      Σ_k softmax_k(y_k) A_k, y_k the logit of the image times A_k scaled to [0, 1]
    ablationcam   Σ_k (y − y_k) / y · A_k, y_k the logit with channel k switched off
    eigencam      A_1 … A_K of a cell, centred, along their first principal component
    eigengradcam  G_1 A_1 … G_K A_K of a cell, likewise

Before believing one: `ablationcam` turns round where y is negative, and is made for layers behind a ReLU
(`ablated_logits`). `eigencam` shows what stands out for the layer, whatever the class. Its sign and that of
`eigengradcam` are the package's, which are LAPACK's: the same every time, but without meaning. `xgradcam` divides by
sums that may be close to 0 in layers with negative activations.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_grad_cam.base_cam import BaseCAM
from torch import Tensor, nn

from ..errors import InputError
from .layer_pass import LayerPass, catch
from .layers import deepest_layer
from .methods import METHODS, Method, find_map_method
from .snapshot import device_of, frozen_copy

Maps = NDArray[np.float32]
MapRule = Callable[[LayerPass, NDArray[np.int64], Callable[[int], None]], Maps]
"""Takes a batch, its classes (N,) and whom to tell how many more images are done; returns raw maps (N, h, w)."""


@dataclass(frozen=True)
class Attribution:
    """Maps that say where the evidence is, with what the network said about the same images.

    Attributes:
        maps: (N, h, w) float32, on the layer's own grid. Raw, neither cut off at 0 nor scaled, so that negative
            evidence and magnitude survive and maps of several epochs can share one scale.
        logits: (N, K) float32, in fp32 and eval mode.
        targets: (N,) int64, the class that each map explains.
        layer: Name of the layer whose activations were weighted.
    """

    maps: Maps
    logits: NDArray[np.float32]
    targets: NDArray[np.int64]
    layer: str

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(N,) the class with the largest logit."""
        return np.asarray(self.logits.argmax(axis=1), np.int64)

    @property
    def confidences(self) -> NDArray[np.float32]:
        """(N,) softmax probability of the predicted class, in [0, 1]."""
        shifted = self.logits - self.logits.max(axis=1, keepdims=True)
        return np.asarray(1 / np.exp(shifted).sum(axis=1))


def gradcam(network: nn.Module, images: Tensor, targets: Tensor | None = None, layer: str | None = None) -> Attribution:
    """Explain by Grad-CAM, all images at once; arguments and errors are those of `class_activation_maps`."""
    return class_activation_maps(network, images, "Grad-CAM", targets, layer, batch_size=max(1, len(images)))


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
    """Explain `network`'s answer for each image by `method`.

    `network` and the random state are left as they were, and it may be training, frozen, compiled, in bf16 or under
    `inference_mode`.

    Args:
        images: (N, C, H, W), normalised, on any device.
        method: A name of `methods_of("map")`, or its paper's spelling of it.
        targets: (N,) class indices; by default the predicted classes.
        layer: A module's name; by default the deepest with a useful map (`layers.deepest_layer`).
        batch_size: Of the passes through the network; changes maps by rounding only.
        progress: Hears how many images are done: after each batch, or after each image where the method takes a forward
            pass for every channel (`ablationcam` mostly of the layers behind it only).

    Raises:
        InputError: For a method, class or layer that does not exist, a layer without a map of more than one cell, and
            images or targets of a wrong shape.
    """
    row = METHODS[find_map_method(method)]
    _check(method, images, targets, batch_size)
    rule, done, parts = _rule(row), _adding_up(progress), []
    with _named(method), frozen_copy(network) as copy:
        layer = layer or deepest_layer(copy, _own(images[:1], copy))
        for start in range(0, len(images), batch_size):
            pixels = _own(images[start : start + batch_size], copy)
            caught = catch(copy, layer, pixels, gradients=row.gradients, batch_size=batch_size)
            logits = caught.logits.detach().cpu().numpy()
            if targets is None:
                classes = logits.argmax(axis=1)
            else:
                _check_classes(targets, logits.shape[1])
                classes = targets[start : start + batch_size].cpu().numpy()
            parts.append((rule(caught, classes, done), logits, classes.astype(np.int64)))
    maps, said, explained = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Attribution(maps, said, explained, layer)


def _rule(method: Method) -> MapRule:
    found = method.load()
    if isinstance(found, type):
        return partial(_by_the_package, found, method.gradients)
    return found


def _by_the_package(
    kind: type[BaseCAM],
    gradients: bool,
    caught: LayerPass,
    classes: NDArray[np.int64],
    done: Callable[[int], None],
) -> Maps:
    """Let a class of the grad-cam package weight activations that are here already."""
    slopes = None
    if gradients:
        caught.logits[range(len(classes)), classes].sum().backward()  # type: ignore[no-untyped-call]
        slopes = cast(Tensor, caught.activations.grad).cpu().numpy()
    cam = kind(caught.network, [caught.layer])
    cam.activations_and_grads.release()  # its hooks
    activations = caught.activations.detach().cpu().numpy()
    maps = cam.get_cam_image(caught.images, caught.layer, None, activations, slopes, False)
    done(len(classes))
    return np.asarray(maps, np.float32)


def _adding_up(progress: Callable[[int], None] | None) -> Callable[[int], None]:
    """Return a function that takes how many more images are done, and tells `progress` how many are in all."""
    total = 0

    def more(count: int) -> None:
        nonlocal total
        total += count
        if progress is not None:
            progress(total)

    return more


def _own(images: Tensor, copy: nn.Module) -> Tensor:
    """Return the images in fp32 where `copy` is, and not the caller's: a first layer may work in place."""
    return images.detach().to(device_of(copy), torch.float32, copy=True)


@contextmanager
def _named(method: str) -> Iterator[None]:
    """Put the method's name before the messages of errors."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{method}: {error}") from error


def _check(method: str, images: Tensor, targets: Tensor | None, batch_size: int) -> None:
    if images.ndim != 4 or 0 in images.shape:
        raise InputError(f"{method} wants images of shape (N, C, H, W), not {tuple(images.shape)}")
    if targets is not None and targets.shape != images.shape[:1]:
        raise InputError(f"{method} wants one class for each of {len(images)} images, not {tuple(targets.shape)}")
    if targets is not None and targets.is_floating_point():
        raise InputError(f"{method} wants classes as whole numbers, not {targets.dtype}")
    if batch_size < 1:
        raise InputError(f"{method}: batch_size={batch_size} is no number of images; take at least 1")


def _check_classes(targets: Tensor, classes: int) -> None:
    for target in targets.tolist():
        if not 0 <= target < classes:
            raise InputError(f"no class {target}; the network has classes 0 to {classes - 1}")
