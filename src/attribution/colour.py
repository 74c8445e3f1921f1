"""Where and in which colours the images of a data set vary: what class images begin with instead of grey noise."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError

CELLS = 14
"""Cells on a side of the maps of mean and spread: fine enough for a digit's black border, too coarse for a shape."""

DARKEST = 0.01
"""How near the start may be to black, and to white: beyond, the sigmoid lets no gradient through."""

LEAST_SPREAD, LEAST_SLOPE = 1e-3, 0.05


@dataclass(frozen=True, eq=False)
class Colour:
    """Pixels of a data set, in [0, 1], without a word about its classes.

    mean    (C, h, w), the mean image, coarse
    spread  (h, w), standard deviation about it, 1 in the root mean square: small where all images look the same
    root    (C, C), with root · rootᵀ the covariance of the channels about the mean image

    Independent numbers z of variance 1 become images of that mean and covariance as mean + spread · root · z.
    """

    mean: Tensor
    spread: Tensor
    root: Tensor

    @property
    def channels(self) -> int:
        return len(self.mean)

    def paint(self, values: Tensor) -> Tensor:
        """Values (n, C, S, S) without bounds, the channels on their own -> pixels in (0, 1).

        To first order mean + spread · root · values; a sigmoid keeps what is larger within bounds.
        """
        # Copies: what was measured under inference_mode could not take part in a gradient.
        mean, spread, root = (cells.to(values, copy=True) for cells in (self.mean, self.spread[None], self.root))
        mean, spread = (
            F.interpolate(cells[None], values.shape[-2:], mode="bilinear", align_corners=False)
            for cells in (mean, spread)
        )
        mean = mean.clamp(DARKEST, 1 - DARKEST)
        mixed = spread * torch.einsum("dc,ncij->ndij", root, values)
        return torch.sigmoid(torch.logit(mean) + mixed / (mean * (1 - mean)).clamp(min=LEAST_SLOPE))


def measure_colour(images: Tensor) -> Colour:
    """The colours of a data set, from some of its images, uint8 (N, C, S, S): a few hundred are enough.

    `root` is the symmetric root, which turns no channel into another; one channel has just its standard deviation.
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
    """Of a data set whose channels' `mean` and `std` (C,) are all that is known: the same everywhere, uncorrelated."""
    return Colour(mean.float().view(-1, 1, 1), torch.ones(1, 1), torch.diag(std.float()))
