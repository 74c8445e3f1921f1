"""Images as sums of waves, and as random views of themselves: what keeps gradient ascent away from noise.

Olah et al. 2017, "Feature visualization", https://distill.pub/2017/feature-visualization: descending in the Fourier
basis, scaled as natural images are, changes the direction of the steepest ascent and nothing else, and takes the high
frequencies out of it.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def wave_scale(size: int, decay: float) -> Tensor:
    """How strong the waves of a `size` × `size` image are: 1 / frequency^decay, (size, size // 2 + 1).

    The constant counts as one wave an image. Scaled so that coefficients of variance 1 give pixels of variance 1.
    """
    rows, columns = torch.fft.fftfreq(size), torch.fft.rfftfreq(size)
    scale = torch.hypot(rows[:, None], columns[None]).clamp(min=1 / size) ** -decay
    # Of the half that is stored, all columns but the first and, at an even size, the last stand for two waves; in
    # these two the inverse transform sees no more than half of the coefficients' variance.
    twice = torch.full((columns.numel(),), 2.0)
    twice[0] = 1.0
    if size % 2 == 0:
        twice[-1] = 1.0
    return scale * torch.sqrt(2 / twice) / torch.sqrt((scale**2 * twice).sum() / size**2)


def random_waves(n: int, channels: int, size: int, strength: float, generator: torch.Generator) -> Tensor:
    """Coefficients (n, channels, size, size // 2 + 1, 2), real and imaginary, of noise of this standard deviation."""
    shape = (n, channels, size, size // 2 + 1, 2)
    return strength * torch.randn(shape, generator=generator) / math.sqrt(2)


def to_pixels(waves: Tensor, scale: Tensor) -> Tensor:
    """Coefficients (n, C, S, S // 2 + 1, 2) -> (n, C, S, S), without bounds."""
    size = waves.shape[-3]
    return torch.fft.irfft2(torch.view_as_complex(waves) * scale, s=(size, size), norm="ortho")


def random_views(images: Tensor, *, jitter: float, scale: float, rotation: float, generator: torch.Generator) -> Tensor:
    """Each image (n, C, S, S) moved, enlarged and turned at random, with its border continued outwards.

    Up to `jitter` pixels in each direction, by a factor within 1 ± `scale`, by up to `rotation` degrees.
    """
    n, _, size, _ = images.shape
    turn, zoom, right, down = 2 * torch.rand(4, n, generator=generator) - 1
    angle, factor = turn * math.radians(rotation), 1 + scale * zoom
    # What affine_grid wants is where each pixel comes from, on coordinates from -1 to 1.
    cosine, sine = torch.cos(angle) / factor, torch.sin(angle) / factor
    move = 2 * jitter / size
    matrix = torch.stack([cosine, -sine, move * right, sine, cosine, move * down], dim=1).view(n, 2, 3)
    grid = F.affine_grid(matrix.to(images.device), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
