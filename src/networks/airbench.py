"""A network for CIFAR that is trained in seconds: that of airbench94, with or without residual connections.

Jordan 2024 (https://arxiv.org/abs/2404.00498), after Page 2018 (https://myrtle.ai/learn/how-to-train-your-resnet/):
a 2×2 stem whose filters whiten the training images' patches, three blocks of two 3×3 convolutions that begin as the
identity, batch norms that shift and don't scale, GELU, a scaled linear head.
"""

import torch
from torch import Tensor, nn

from ..errors import InputError

SMALLEST_IMAGE = 4
"""Side in pixels. Of less than 16 not every block has something left to pool."""

STEM_FILTERS = 24
"""All 12 eigenvectors of a 2×2 patch of colour, and their negatives: GELU would lose one side of each."""

STEM_EPS = 5e-4
"""Added to the variance along each eigenvector, so that what hardly varies is not blown up."""

SCALE = 1 / 9
"""Of the features, and so of the logits: training then begins with even probabilities."""


class Whitening(nn.Conv2d):
    """A 2×2 convolution whose filters are computed from images and never trained."""

    def __init__(self, in_channels: int) -> None:
        super().__init__(in_channels, STEM_FILTERS, kernel_size=2)
        self.weight.requires_grad_(False)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]

    @torch.no_grad()
    def whiten(self, images: Tensor) -> None:
        """Take the eigenvectors of the patches' second moments, each divided by the root of its eigenvalue.

        With fewer channels than 3 there are fewer of them than filters, and the others stay random.

        Args:
            images: Normalised (N, C, H, W).
        """
        size = self.weight[0].numel()
        patches = images.double().unfold(2, 2, 1).unfold(3, 2, 1)  # (N, C, H-1, W-1, 2, 2)
        flat = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, size)
        values, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))  # ascending, a vector a column
        filters = (vectors / (values + STEM_EPS).sqrt()).T.flip(0)[: STEM_FILTERS // 2]
        # The sign of an eigenvector is the library's choice; both are here.
        both = torch.cat([filters, -filters]).view(-1, *self.weight.shape[1:])
        self.weight[: len(both)] = both.to(self.weight)


class ShiftingNorm(nn.BatchNorm2d):
    """Batch norm that shifts and doesn't scale: its weight stays 1.

    Its running statistics follow the last few batches: training takes some hundred steps.
    """

    def __init__(self, planes: int, *, memory: float = 0.6) -> None:
        super().__init__(planes, eps=1e-12, momentum=1 - memory)
        self.weight.requires_grad_(False)


class Block(nn.Module):
    """(N, in_planes, H, W) -> (N, planes, H/2, W/2); `residual`: the second convolution adds to what it sees."""

    def __init__(self, in_planes: int, planes: int, *, pools: bool, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        self.conv1 = nn.Conv2d(in_planes, planes, kernel_size=3, padding=1, bias=False)
        self.pool = nn.MaxPool2d(2) if pools else nn.Identity()
        self.bn1 = ShiftingNorm(planes)
        self.gelu1 = nn.GELU()
        self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, padding=1, bias=False)
        self.bn2 = ShiftingNorm(planes)
        self.gelu2 = nn.GELU()
        for conv in (self.conv1, self.conv2):
            nn.init.dirac_(conv.weight[: conv.in_channels].data)

    def forward(self, features: Tensor) -> Tensor:
        features = self.gelu1(self.bn1(self.pool(self.conv1(features))))
        out: Tensor = self.bn2(self.conv2(features))
        activated: Tensor = self.gelu2(out + features if self.residual else out)
        return activated


class Airbench(nn.Module):
    """(N, in_channels, S, S) -> (N, num_classes) for any S of at least 4.

    Args:
        width: Channels of the first block; the other two have four times as many. airbench94 has 64.
        residual: Add what the second convolution of a block sees to its result.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 3,
        image_size: int = 32,
        width: int = 64,
        residual: bool = False,
    ) -> None:
        super().__init__()
        if image_size < SMALLEST_IMAGE:
            raise InputError(
                f"data.image_size={image_size} is too small for airbench: take at least {SMALLEST_IMAGE} pixels"
            )
        if width < 1:
            raise InputError(f"model.width={width}: take a number of channels from 1")
        self.conv1 = Whitening(in_channels)  # (N, 24, S-1, S-1)
        self.gelu = nn.GELU()
        side = image_size - 1
        self.layer1 = Block(STEM_FILTERS, width, pools=side >= 2, residual=residual)
        self.layer2 = Block(width, 4 * width, pools=side >= 4, residual=residual)
        self.layer3 = Block(4 * width, 4 * width, pools=side >= 8, residual=residual)
        self.fc = nn.Linear(4 * width, num_classes)
        nn.init.zeros_(self.fc.bias)

    def begin(self, images: Tensor) -> None:
        """Set what depends on the training images: normalised (N, C, H, W), some of them."""
        self.conv1.whiten(images)

    def forward(self, images: Tensor) -> Tensor:
        features = self.layer3(self.layer2(self.layer1(self.gelu(self.conv1(images)))))
        logits: Tensor = self.fc(SCALE * features.amax(dim=(2, 3)))
        return logits
