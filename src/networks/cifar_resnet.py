"""The CIFAR networks of He et al. 2015 (https://arxiv.org/abs/1512.03385, section 4.2), residual and plain.

6n+2 layers: a 3×3 stem, three stages of n blocks of two 3×3 convolutions, a linear head. The shortcuts are the paper's
option A and have no parameters, so a plain network has exactly the weights of the residual one of its depth.
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from .relu import ReLU

Kind = Literal["resnet", "plain"]
Padding = Literal["auto", "behind", "both"]

DEPTHS = (20, 32, 44, 56, 110)
"""The depths of the paper's figure 6: n = 3, 5, 7, 9, 18."""

WIDTHS = (16, 32, 64)
"""Channels of the three stages."""

SMALLEST_IMAGE = 8
"""Side in pixels that the two strides reduce to 2×2: at 1×1, batch norm could not train on a batch of one."""


class OptionA(nn.Module):
    """The shortcut without parameters, (N, C, H, W) -> (N, channels, H/2, W/2): every other pixel, and zeros.

    The zeros stand `behind` the C channels, or on `both` sides of them, half of them each.
    """

    def __init__(self, channels: int, padding: Padding = "behind") -> None:
        super().__init__()
        self.channels = channels
        self.padding = padding

    def forward(self, features: Tensor) -> Tensor:
        more = self.channels - features.shape[1]
        front = more // 2 if self.padding == "both" else 0
        return F.pad(features[:, :, ::2, ::2], (0, 0, 0, 0, front, more - front))


class Block(nn.Module):
    """Two 3×3 convolutions, (N, in_planes, H, W) -> (N, planes, H/stride, W/stride), and a shortcut around them.

    `kind="plain"` has no shortcut. Parameter names are those of torchvision's `BasicBlock`.
    """

    def __init__(self, kind: Kind, in_planes: int, planes: int, stride: int, padding: Padding = "behind") -> None:
        super().__init__()
        self.kind = kind
        self.conv1 = nn.Conv2d(in_planes, planes, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu1 = ReLU()  # one a use: methods that hook the gradients of ReLUs need that
        self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.relu2 = ReLU()
        self.downsample = OptionA(planes, padding) if kind == "resnet" and stride != 1 else None

    def forward(self, features: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(features)))))
        if self.kind == "resnet":
            out = out + (features if self.downsample is None else self.downsample(features))
        activated: Tensor = self.relu2(out)
        return activated


class CifarResNet(nn.Module):
    """(N, in_channels, S, S) -> (N, num_classes) for any S of at least 8; `depth` counts the layers with weights.

    `shortcut_padding` is where the shortcuts add their zeros: `behind`, which `auto` means too, or on `both` sides, as
    in most networks for CIFAR that others have published (https://github.com/akamaster/pytorch_resnet_cifar10).
    """

    def __init__(
        self,
        kind: Kind,
        depth: int,
        *,
        num_classes: int,
        in_channels: int = 3,
        image_size: int = 32,
        shortcut_padding: Padding = "auto",
    ) -> None:
        super().__init__()
        if image_size < SMALLEST_IMAGE:
            raise InputError(
                f"data.image_size={image_size} is too small for cifar_{kind}{depth}: "
                f"take at least {SMALLEST_IMAGE} pixels"
            )
        if shortcut_padding not in ("auto", "behind", "both"):
            raise InputError(f"model.shortcut_padding={shortcut_padding} is unknown: take auto, behind or both")
        if kind == "plain" and shortcut_padding != "auto":
            raise InputError(
                f"model.shortcut_padding={shortcut_padding}: cifar_plain{depth} has no shortcuts, leave it out"
            )
        self.kind = kind
        self.shortcut_padding: Padding = "behind" if shortcut_padding == "auto" else shortcut_padding
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(in_channels, WIDTHS[0], kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.relu = ReLU()
        padding = self.shortcut_padding
        self.layer1 = _stage(kind, blocks, WIDTHS[0], WIDTHS[0], 1, padding)  # (N, 16, S, S)
        self.layer2 = _stage(kind, blocks, WIDTHS[0], WIDTHS[1], 2, padding)  # (N, 32, S/2, S/2)
        self.layer3 = _stage(kind, blocks, WIDTHS[1], WIDTHS[2], 2, padding)  # (N, 64, S/4, S/4)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(WIDTHS[2], num_classes)
        # No norm begins at zero, unlike in resnet.py: a plain network couldn't learn, and the two should differ in
        # their shortcuts alone. Depth 110 needs a warm-up of the learning rate, as in the paper; ours is on by default.
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        features = self.relu(self.bn1(self.conv1(images)))
        features = self.layer3(self.layer2(self.layer1(features)))
        logits: Tensor = self.fc(self.avgpool(features).flatten(1))
        return logits


def _stage(kind: Kind, blocks: int, in_planes: int, planes: int, stride: int, padding: Padding) -> nn.Sequential:
    first = Block(kind, in_planes, planes, stride, padding)
    return nn.Sequential(first, *(Block(kind, planes, planes, stride=1) for _ in range(blocks - 1)))
