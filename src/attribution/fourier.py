"""Images as sums of waves, and random views of images: what keeps gradient ascent away from noise.

Olah et al. 2017, "Feature visualization", https://distill.pub/2017/feature-visualization: descending in the Fourier
basis, scaled like natural images, changes only the direction of steepest ascent and removes its high frequencies.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def wave_scale(size: int, decay: float) -> Tensor:
    """Return how strong the waves of a `size` × `size` image are: 1 / frequency^decay, (size, size // 2 + 1).

    The constant counts as one wave per image. Coefficients of variance 1 give pixels of variance 1.
    """
    rows, columns = torch.fft.fftfreq(size), torch.fft.rfftfreq(size)
    scale = torch.hypot(rows[:, None], columns[None]).clamp(min=1 / size) ** -decay
    # In the half that is stored, every column stands for two waves except the first and, at an even size, the last; in
    # these two the inverse transform sees no more than half of the coefficients' variance.
    twice = torch.full((columns.numel(),), 2.0)
    twice[0] = 1.0
    if size % 2 == 0:
        twice[-1] = 1.0
    return scale * torch.sqrt(2 / twice) / torch.sqrt((scale**2 * twice).sum() / size**2)


def random_waves(n: int, channels: int, size: int, strength: float, generator: torch.Generator) -> Tensor:
    """Return coefficients (n, channels, size, size // 2 + 1, 2) of noise with standard deviation `strength`."""
    shape = (n, channels, size, size // 2 + 1, 2)
    return strength * torch.randn(shape, generator=generator) / math.sqrt(2)


def to_pixels(waves: Tensor, scale: Tensor) -> Tensor:
    """Turn coefficients (n, C, S, S // 2 + 1, 2) into pixels (n, C, S, S), without bounds."""
    size = waves.shape[-3]
    pixels: Tensor = torch.fft.irfft2(torch.view_as_complex(waves) * scale, s=(size, size), norm="ortho")
    return pixels


def random_views(images: Tensor, *, jitter: float, scale: float, rotation: float, generator: torch.Generator) -> Tensor:
    """Move, scale and turn each image (n, C, S, S) at random, continuing its border outwards.

    By up to `jitter` pixels in each direction, a factor within 1 ± `scale`, and up to `rotation` degrees.
    """
    n, _, size, _ = images.shape
    turn, zoom, right, down = 2 * torch.rand(4, n, generator=generator) - 1
    angle, factor = turn * math.radians(rotation), 1 + scale * zoom
    # affine_grid wants to know where each pixel comes from, on coordinates from -1 to 1.
    cosine, sine = torch.cos(angle) / factor, torch.sin(angle) / factor
    move = 2 * jitter / size
    matrix = torch.stack([cosine, -sine, move * right, sine, cosine, move * down], dim=1).view(n, 2, 3)
    grid = F.affine_grid(matrix.to(images.device), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def random_crops(images: Tensor, least: float, generator: torch.Generator) -> Tensor:
    """Cut a square out of each image (n, C, S, S) at random and enlarge it to S × S.

    Its side is between `least` and 1 of the image's; its centre is normal about the image's, with a standard deviation
    of 0.15 sides, as far as the square stays inside (Fel et al. 2023, appendix, let it reach beyond).
    """
    n = len(images)
    side = least + (1 - least) * torch.rand(n, generator=generator)
    room = (1 - side) / 2
    right, down = (0.15 * torch.randn(2, n, generator=generator)).clamp(-room, room)
    zero = torch.zeros(n)
    matrix = torch.stack([side, zero, 2 * right, zero, side, 2 * down], dim=1).view(n, 2, 3)
    grid = F.affine_grid(matrix.to(images.device), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
