"""The ResNets of He et al. 2015 (https://arxiv.org/abs/1512.03385) on torchvision's own classes.

Only the two ends differ from torchvision: the stem, for other channels and for small images, and the head, for other
class counts. All other parameters keep torchvision's names and shapes, so that its state dicts load as they are.
"""

from typing import Literal

from torch import nn
from torchvision.models import resnet as torchvision_resnet

from ..errors import InputError
from .stem import Stem, choose_stem


def build_resnet(
    name: str,
    *,
    num_classes: int,
    in_channels: int = 3,
    image_size: int = 224,
    stem: Stem = "auto",
    stem_pool: bool | Literal["auto"] = "auto",
) -> torchvision_resnet.ResNet:
    """Build the torchvision ResNet of that name, (N, in_channels, H, W) -> (N, num_classes).

    Args:
        stem: `"imagenet"` is the paper's 7×7 convolution of stride 2, `"small"` the 3×3 of stride 1 that its section
            4.2 uses on CIFAR; `"auto"` takes the small one for images of 64 px and less.
        stem_pool: Whether the 3×3 max pooling of stride 2 stays behind the stem. `"auto"` keeps it with the ImageNet
            stem only, where `layer1` still has a map of 4×4.

    Raises:
        InputError: The stem is unknown, or not even `layer1` would have a map of 4×4, too little to learn from or to
            explain.
    """
    kind, pool = resolve_stem(image_size, stem, stem_pool)
    stride = _stride(kind, pool)
    if not _suffices(image_size, stride):
        raise InputError(
            f"data.image_size={image_size} is too small for {name} with stem={kind}, stem_pool={str(pool).lower()}: "
            f"take at least {3 * stride + 1} pixels, or model.stem=small model.stem_pool=false (from 4 pixels)"
        )
    # Each block starts as the identity: the last norm of its branch begins at 0 (Goyal et al. 2017,
    # https://arxiv.org/abs/1706.02677, section 5.1). Without it an untrained ResNet-50 had a loss of 32 on two classes.
    network: torchvision_resnet.ResNet = getattr(torchvision_resnet, name)(
        num_classes=num_classes, zero_init_residual=True
    )
    width = network.conv1.out_channels
    if kind == "small":
        network.conv1 = nn.Conv2d(in_channels, width, kernel_size=3, stride=1, padding=1, bias=False)
    elif in_channels != 3:
        network.conv1 = nn.Conv2d(in_channels, width, kernel_size=7, stride=2, padding=3, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision does
    if not pool:
        network.maxpool = nn.Identity()
    return network


def resolve_stem(image_size: int, stem: Stem, stem_pool: bool | Literal["auto"]) -> tuple[str, bool]:
    """Return what `auto` means for this image size: the stem, and whether the max pooling stays."""
    kind = choose_stem(image_size, stem)
    if stem_pool not in ("auto", True, False):
        raise InputError(f"model.stem_pool={stem_pool} is unknown: take auto, true or false")
    if stem_pool == "auto":
        stem_pool = kind == "imagenet" and _suffices(image_size, _stride(kind, pool=True))
    return kind, stem_pool


def _stride(stem: str, pool: bool) -> int:
    """Return by how much the stem shrinks an image."""
    return (2 if stem == "imagenet" else 1) * (2 if pool else 1)


def _suffices(image_size: int, stride: int) -> bool:
    """Return whether `layer1` has a map of at least 4×4; rounded up, as a padded convolution of stride 2 does."""
    return -(-image_size // stride) >= 4
