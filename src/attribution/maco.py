"""MaCo: class images with the Fourier magnitude of the data set's images, of which only the phase is optimised.

Fel et al. 2023, "Unlocking Feature Visualization for Deeper Networks with MAgnitude Constrained Optimization",
https://arxiv.org/abs/2306.06805: no wave can get stronger than in photographs, so that noise isn't possible, and the
phase, which holds edges and shapes, is free.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from .ascent import Picture
from .canvas import ClassImageSettings, Waves
from .colour import Colour
from .fourier import random_crops

LEAST_CROP = 0.5
"""Least side of a crop, in sides of the picture. The paper's go down to 0.05, of pictures several times as large as
what the network takes: there the network still sees parts in its own resolution."""

PUBLISHED = ClassImageSettings(lr=1.0, tv=0.0, bn=0.0, noise=0.1)
"""Its rate, in radians, is that of the authors' code; of noise there is as little, in our units. No other priors:
jitter, scale, rotation, start and decay have no meaning here."""


@dataclass(frozen=True, eq=False)
class Phases(Waves):
    """Pictures whose waves have the strength `magnitude` (C, S, S // 2 + 1), and any phase: at first, at random."""

    magnitude: Tensor

    def start(self, n: int, device: torch.device) -> Picture:
        if self.magnitude.shape[-2] != self.size:
            raise InputError(f"class image: a magnitude of {self.magnitude.shape[-2]} pixels, not {self.size}")
        phases = math.pi * (2 * torch.rand((n, *self.magnitude.shape), generator=self.random) - 1)
        return Picture(phases.to(device), self.paint)

    def paint(self, phases: Tensor) -> Tensor:
        waves = torch.polar(self.magnitude.to(phases).expand_as(phases), odd(phases))
        return self.colour.paint(torch.fft.irfft2(waves, s=(self.size, self.size), norm="ortho"))

    def views(self, images: Tensor) -> Tensor:
        """Show a crop of each image (n, C, S, S) under noise: one a step, where the authors average over several."""
        return self.noisy(random_crops(images, LEAST_CROP, self.random))


def odd(phases: Tensor) -> Tensor:
    """Return phases (…, S, S // 2 + 1) that a real image can have, made of any; those of an image stay.

    The half of the spectrum that is stored holds both of a pair of waves k and -k in its first column and, at an even
    size, in its last: there the phase of -k is that of k, negative. The few waves that are their own pair are real: the
    inverse transform takes cos(phase) of their magnitude.
    """
    size = phases.shape[-2]
    second = torch.zeros(phases.shape[-2:], dtype=torch.bool, device=phases.device)
    second[size // 2 + 1 :, [0, -1] if size % 2 == 0 else [0]] = True
    mirrored = phases.flip(-2).roll(1, dims=-2)  # row -k in place of row k
    return torch.where(second, -mirrored, phases)


def measure_magnitude(images: Tensor, colour: Colour) -> Tensor:
    """Return the mean Fourier magnitude (C, S, S // 2 + 1) of uint8 images (N, C, S, S) in independent channels."""
    waves: Tensor = torch.fft.rfft2(colour.unpaint(images.float() / 255), norm="ortho")
    return waves.abs().mean(dim=0)
