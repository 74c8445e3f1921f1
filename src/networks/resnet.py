"""The ResNets of He et al. 2015 (https://arxiv.org/abs/1512.03385) on torchvision's own classes.

Only the two ends differ from torchvision: the stem, for other channels and for small images, and the head, for other
class counts. Names and shapes of all other parameters are torchvision's, so that its state dicts load as they are.
"""

from functools import partial
from typing import Literal

from torch import nn
from torchvision.models import resnet as torchvision_resnet

from ..errors import InputError

Stem = Literal["auto", "imagenet", "small"]

SMALL_IMAGE = 64
"""Side in pixels up to which `stem=auto` takes the small stem: the ImageNet stem leaves 1/4 of the side, 2 px of 8."""


def build_resnet(
    depth: str,
    *,
    num_classes: int,
    in_channels: int = 3,
    image_size: int = 224,
    stem: Stem = "auto",
    stem_pool: bool | Literal["auto"] = "auto",
) -> torchvision_resnet.ResNet:
    """A torchvision ResNet, (N, in_channels, H, W) -> (N, num_classes).

    `stem="imagenet"` is the paper's 7×7 convolution of stride 2, `"small"` the 3×3 of stride 1 that its section 4.2
    uses on CIFAR; `"auto"` takes the small one for images of 64 px and less. `stem_pool` keeps the 3×3 max pooling of
    stride 2 behind it; `"auto"` keeps it with the ImageNet stem only, where `layer1` has a map of 4×4 left.

    Raises `InputError` for an unknown stem, and for an image from which not even `layer1` has a map of 4×4, too little
    to learn from or to explain.
    """
    kind, pool = resolve_stem(image_size, stem, stem_pool)
    stride = _stride(kind, pool)
    if not _suffices(image_size, stride):
        raise InputError(
            f"data.image_size={image_size} is too small for {depth} with stem={kind}, stem_pool={str(pool).lower()}: "
            f"take at least {3 * stride + 1} pixels, or model.stem=small model.stem_pool=false (from 4 pixels)"
        )
    # Each block starts as the identity: the last norm of its branch begins at 0 (Goyal et al. 2017,
    # https://arxiv.org/abs/1706.02677, section 5.1). Without it an untrained ResNet-50 had a loss of 32 on two classes.
    network: torchvision_resnet.ResNet = getattr(torchvision_resnet, depth)(
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
    """What `auto` means for this image size: (`"imagenet"` or `"small"`, whether the max pooling stays)."""
    if stem not in ("auto", "imagenet", "small"):
        raise InputError(f"model.stem={stem} is unknown: take auto, imagenet or small")
    if stem_pool not in ("auto", True, False):
        raise InputError(f"model.stem_pool={stem_pool} is unknown: take auto, true or false")
    if stem == "auto":
        stem = "small" if image_size <= SMALL_IMAGE else "imagenet"
    if stem_pool == "auto":
        stem_pool = stem == "imagenet" and _suffices(image_size, _stride(stem, pool=True))
    return stem, stem_pool


def _stride(stem: str, pool: bool) -> int:
    """By how much the stem shrinks an image."""
    return (2 if stem == "imagenet" else 1) * (2 if pool else 1)


def _suffices(image_size: int, stride: int) -> bool:
    """Whether `layer1` has a map of at least 4×4; rounded up, as a padded convolution of stride 2 does."""
    return -(-image_size // stride) >= 4


resnet18 = partial(build_resnet, "resnet18")
resnet34 = partial(build_resnet, "resnet34")
resnet50 = partial(build_resnet, "resnet50")
resnet101 = partial(build_resnet, "resnet101")
resnet152 = partial(build_resnet, "resnet152")
