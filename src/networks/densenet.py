"""DenseNet (Huang et al. 2016, https://arxiv.org/abs/1608.06993) on torchvision's own class.

Only the two ends differ from torchvision: the stem, for other channels and for small images, and the head, for other
class counts. All other parameters keep torchvision's names and shapes, so that its state dicts load as they are.
"""

from torch import nn
from torchvision.models import densenet as torchvision_densenet

from .stem import Stem, check_image, choose_stem

LEAST_IMAGE = {"imagenet": 29, "small": 8}
"""Side in pixels of which the stem and three poolings of stride 2 leave a single cell."""


def build_densenet121(
    *, num_classes: int, in_channels: int = 3, image_size: int = 224, stem: Stem = "auto"
) -> torchvision_densenet.DenseNet:
    """Build DenseNet-121, (N, in_channels, H, W) -> (N, num_classes).

    Args:
        stem: `"imagenet"` is the paper's 7×7 convolution of stride 2 and a max pooling of stride 2, `"small"` the 3×3
            of stride 1 without pooling that it uses on CIFAR; `"auto"` takes the small one for images of 64 px and
            less.

    Raises:
        InputError: The stem is unknown, or the image is too small for it.
    """
    kind = choose_stem(image_size, stem)
    check_image("densenet121", image_size, kind, LEAST_IMAGE)
    network: torchvision_densenet.DenseNet = torchvision_densenet.densenet121(num_classes=num_classes)
    if kind == "small" or in_channels != 3:
        size, stride, padding = (3, 1, 1) if kind == "small" else (7, 2, 3)
        first = nn.Conv2d(in_channels, 64, kernel_size=size, stride=stride, padding=padding, bias=False)
        nn.init.kaiming_normal_(first.weight)  # as torchvision does
        network.features.conv0 = first
    if kind == "small":
        network.features.pool0 = nn.Identity()
    return network
