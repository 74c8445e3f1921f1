"""ConvNeXt (Liu et al. 2022, https://arxiv.org/abs/2201.03545) on torchvision's own class.

Only the two ends differ from torchvision: the stem, for other channels and for small images, and the head, for other
class counts. All other parameters keep torchvision's names and shapes, so that its state dicts load as they are.
"""

from torch import nn
from torchvision.models import convnext as torchvision_convnext

from .stem import Stem, check_image, choose_stem

LEAST_IMAGE = {"imagenet": 32, "small": 8}
"""Side in pixels of which the stem and three strides of 2 leave a single cell."""


def build_convnext(
    name: str, *, num_classes: int, in_channels: int = 3, image_size: int = 224, stem: Stem = "auto"
) -> torchvision_convnext.ConvNeXt:
    """Build the torchvision ConvNeXt of that name, (N, in_channels, H, W) -> (N, num_classes).

    Its stochastic depth draws from torch's global generator while it trains.

    Args:
        stem: `"imagenet"` is the paper's 4×4 convolution of stride 4, `"small"` a 3×3 of stride 1, as in a ResNet;
            `"auto"` takes the small one for images of 64 px and less.

    Raises:
        InputError: The stem is unknown, or the image is too small for it.
    """
    kind = choose_stem(image_size, stem)
    check_image(name, image_size, kind, LEAST_IMAGE)
    network: torchvision_convnext.ConvNeXt = getattr(torchvision_convnext, name)(num_classes=num_classes)
    if kind == "small" or in_channels != 3:
        width = network.features[0][0].out_channels
        size, stride, padding = (3, 1, 1) if kind == "small" else (4, 4, 0)
        first = nn.Conv2d(in_channels, width, kernel_size=size, stride=stride, padding=padding)
        nn.init.trunc_normal_(first.weight, std=0.02)  # as torchvision does
        nn.init.zeros_(first.get_parameter("bias"))
        network.features[0][0] = first
    return network
