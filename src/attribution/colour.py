"""Where and in which colours the images of a data set vary: what class images start from instead of grey noise."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError

CELLS = 14
"""Side of the maps of mean and spread, in cells: fine enough for a digit's black border, too coarse for a shape."""

DARKEST = 0.01
"""How close the start may come to black and white: any closer, and the sigmoid passes no gradient."""

LEAST_SPREAD, LEAST_SLOPE = 1e-3, 0.05


@dataclass(frozen=True, eq=False)
class Colour:
    """Statistics of a data set's pixels in [0, 1], without a word about its classes.

    Independent numbers z of variance 1 become images of that mean and covariance as mean + spread · root · z.

    Attributes:
        mean: (C, h, w), the mean image, coarse.
        spread: (h, w), standard deviation about it, 1 in the root mean square: small where all images look the same.
        root: (C, C), where root · rootᵀ is the covariance of the channels about the mean image.
    """

    mean: Tensor
    spread: Tensor
    root: Tensor

    @property
    def channels(self) -> int:
        return len(self.mean)

    def paint(self, values: Tensor) -> Tensor:
        """Turn unbounded values (n, C, S, S) of independent channels into pixels in (0, 1).

        To first order mean + spread · root · values; a sigmoid keeps larger ones within bounds.
        """
        mean, spread, slope = self._sized(values)
        mixed = spread * torch.einsum("dc,ncij->ndij", self.root.to(values, copy=True), values)
        return torch.sigmoid(torch.logit(mean) + mixed / slope)

    def unpaint(self, pixels: Tensor) -> Tensor:
        """Return the values (n, C, S, S) that `paint` makes pixels in [0, 1] of; of black and white, nearly."""
        mean, spread, slope = self._sized(pixels)
        mixed = (torch.logit(pixels.clamp(DARKEST, 1 - DARKEST)) - torch.logit(mean)) * slope
        return torch.einsum("dc,ncij->ndij", torch.linalg.inv(self.root).to(pixels), mixed / spread)

    def _sized(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean, spread and the sigmoid's slope at the mean, (1, C or 1, S, S), as large as the images."""
        # Copies: tensors measured under inference_mode can't take part in a gradient.
        mean, spread = (
            F.interpolate(cells.to(images, copy=True)[None], images.shape[-2:], mode="bilinear", align_corners=False)
            for cells in (self.mean, self.spread[None])
        )
        mean = mean.clamp(DARKEST, 1 - DARKEST)
        return mean, spread, (mean * (1 - mean)).clamp(min=LEAST_SLOPE)


def measure_colour(images: Tensor) -> Colour:
    """Measure the colours of a data set on some of its images, uint8 (N, C, S, S): a few hundred are enough.

    `root` is the symmetric root, which turns no channel into another; of one channel it is the standard deviation.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.numel() == 0:
        raise InputError(f"colours are measured on uint8 images (N, C, S, S), not {tuple(images.shape)} {images.dtype}")
    size = images.shape[-2:]
    cells = (min(CELLS, size[0]), min(CELLS, size[1]))
    pixels = images.double() / 255
    mean = F.adaptive_avg_pool2d(pixels.mean(dim=0), cells)
    pixels -= F.interpolate(mean[None], size, mode="bilinear", align_corners=False)
    spread = F.adaptive_avg_pool2d(pixels.square().mean(dim=(0, 1))[None], cells)[0].sqrt().clamp(min=LEAST_SPREAD)
    flat = pixels.transpose(0, 1).flatten(1)  # (C, N·S·S)
    values, vectors = torch.linalg.eigh(flat @ flat.T / flat.shape[1])
    root = vectors @ torch.diag(values.clamp(min=LEAST_SPREAD**2).sqrt()) @ vectors.T
    return Colour(mean.float(), (spread / spread.square().mean().sqrt()).float(), root.float())


def plain_colour(mean: Tensor, std: Tensor) -> Colour:
    """Return the colours where only the channels' `mean` and `std` (C,) are known: uniform and uncorrelated."""
    return Colour(mean.float().view(-1, 1, 1), torch.ones(1, 1), torch.diag(std.float()))
