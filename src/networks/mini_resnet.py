"""Mini-ResNet: one small network for 64×64 images with four kinds of block, to compare the blocks and nothing else.

*basic* and *bottleneck* are what a block's branch computes; *post* (He et al. 2015, https://arxiv.org/abs/1512.03385)
and *pre* (He et al. 2016, https://arxiv.org/abs/1603.05027) are the order in which norms, ReLUs and convolutions run.
"""

from collections import OrderedDict
from typing import Literal

from torch import Tensor, nn

from ..errors import InputError
from .relu import ReLU

Kind = Literal["basic", "bottleneck"]
Order = Literal["post", "pre"]

WIDTH = 32
"""Channels of the stem and the first stage, unless told otherwise; the other two stages have 2 and 4 times as many."""

NARROWEST = 4
"""Channels of which a bottleneck has one left."""

SMALLEST_IMAGE = 8
"""Side in pixels that the two strides reduce to 2×2: at 1×1, batch norm could not train on a batch of one."""


class PostBlock(nn.Module):
    """ReLU(shortcut(x) + branch(x)), with a norm after each convolution: (N, C, H, W) -> (N, width, H/s, W/s)."""

    def __init__(self, kind: Kind, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for number, conv in enumerate(_convolutions(kind, in_channels, width, stride), start=1):
            layers[f"conv{number}"] = conv
            layers[f"bn{number}"] = nn.BatchNorm2d(conv.out_channels)
            layers[f"relu{number}"] = ReLU()
        layers.popitem()  # the last ReLU comes after the addition
        self.branch = nn.Sequential(layers)
        self.downsample = nn.Sequential()
        if in_channels != width or stride != 1:
            self.downsample.append(nn.Conv2d(in_channels, width, kernel_size=1, stride=stride, bias=False))
            self.downsample.append(nn.BatchNorm2d(width))
        self.relu = ReLU()

    def forward(self, features: Tensor) -> Tensor:
        activated: Tensor = self.relu(self.downsample(features) + self.branch(features))
        return activated


class PreBlock(nn.Module):
    """shortcut + branch(ReLU(norm(x))), with nothing after the addition: (N, C, H, W) -> (N, width, H/s, W/s).

    The shortcut is x itself, or a projection of ReLU(norm(x)), as in the authors' own code
    (https://github.com/KaimingHe/resnet-1k-layers). The branch ends in a convolution, with no last norm that could
    begin at zero as in resnet.py; for a fair comparison none does in `PostBlock` either.
    """

    def __init__(self, kind: Kind, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for number, conv in enumerate(_convolutions(kind, in_channels, width, stride), start=1):
            if number > 1:
                layers[f"bn{number}"] = nn.BatchNorm2d(conv.in_channels)
                layers[f"relu{number}"] = ReLU()
            layers[f"conv{number}"] = conv
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.relu1 = ReLU()
        self.branch = nn.Sequential(layers)
        self.downsample = None
        if in_channels != width or stride != 1:
            self.downsample = nn.Conv2d(in_channels, width, kernel_size=1, stride=stride, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        activated = self.relu1(self.bn1(features))
        shortcut = features if self.downsample is None else self.downsample(activated)
        out: Tensor = shortcut + self.branch(activated)
        return out


class MiniResNet(nn.Module):
    """Stem, three stages of two blocks, head: (N, in_channels, S, S) -> (N, num_classes) for any S of at least 8.

    ReLUs are not shared: methods that hook the gradients of ReLUs need that.

    Args:
        width: Channels of the stem and the first stage; the next two have 2 and 4 times as many. A bottleneck's inner
            convolutions have a quarter of that, rounded down. At 114 bottleneck blocks have about as many parameters
            as basic ones at 32.
    """

    def __init__(
        self,
        kind: Kind,
        order: Order,
        *,
        num_classes: int,
        in_channels: int = 3,
        image_size: int = 64,
        width: int = WIDTH,
    ) -> None:
        super().__init__()
        if width < NARROWEST:
            raise InputError(
                f"model.width={width} is too small: mini_resnet_{kind}_{order} takes at least {NARROWEST} channels, "
                f"{WIDTH} by default"
            )
        if image_size < SMALLEST_IMAGE:
            raise InputError(
                f"data.image_size={image_size} is too small for mini_resnet_{kind}_{order}: "
                f"take at least {SMALLEST_IMAGE} pixels"
            )
        block = PostBlock if order == "post" else PreBlock
        self.conv1 = nn.Conv2d(in_channels, width, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = ReLU()
        self.layer1 = _stage(block, kind, width, width, stride=1)  # (N, width, S, S)
        self.layer2 = _stage(block, kind, width, 2 * width, stride=2)  # (N, 2 width, S/2, S/2)
        self.layer3 = _stage(block, kind, 2 * width, 4 * width, stride=2)  # (N, 4 width, S/4, S/4)
        # One module for the last norm and its ReLU, so that Grad-CAM, which takes the last map, explains what the head
        # averages, not the sum before it with its negative values.
        self.norm = nn.Sequential()
        if order == "pre":
            self.norm.add_module("bn", nn.BatchNorm2d(4 * width))
            self.norm.add_module("relu", ReLU())
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(4 * width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        features = self.relu(self.bn1(self.conv1(images)))
        features = self.norm(self.layer3(self.layer2(self.layer1(features))))
        logits: Tensor = self.fc(self.avgpool(features).flatten(1))
        return logits


def _stage(
    block: type[PostBlock] | type[PreBlock], kind: Kind, in_channels: int, width: int, stride: int
) -> nn.Sequential:
    return nn.Sequential(block(kind, in_channels, width, stride), block(kind, width, width, stride=1))


def _convolutions(kind: Kind, in_channels: int, width: int, stride: int) -> list[nn.Conv2d]:
    """Return those of one branch, in order: two 3×3, or 1×1 down to a quarter of the width, 3×3, 1×1 up."""
    if kind == "basic":
        return [_conv(in_channels, width, 3, stride), _conv(width, width, 3)]
    return [_conv(in_channels, width // 4, 1), _conv(width // 4, width // 4, 3, stride), _conv(width // 4, width, 1)]


def _conv(in_channels: int, out_channels: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel_size=size, stride=stride, padding=size // 2, bias=False)
