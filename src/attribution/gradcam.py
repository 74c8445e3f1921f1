"""Grad-CAM: where in an image is the evidence for a class?

Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391.
"""

from torch import Tensor, nn

from ..figures import scale_maps
from .cam import Attribution, class_activation_maps

__all__ = ["Attribution", "gradcam", "scale_maps"]


def gradcam(network: nn.Module, images: Tensor, targets: Tensor | None = None, layer: str | None = None) -> Attribution:
    """Explain `network`'s answer for each image by the gradient of one class's logit.

    The weight of channel k is the mean of its gradient over the map, α_k = mean_ij ∂y/∂A_k,ij; the map is Σ_k α_k A_k,
    equation 2 before its ReLU. All images go through at once; arguments and errors are `class_activation_maps`'s.
    """
    return class_activation_maps(network, images, "Grad-CAM", targets, layer, batch_size=max(1, len(images)))
