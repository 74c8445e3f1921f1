"""What class images are painted on: which numbers are optimised, and what the network is shown of the picture."""

from dataclasses import dataclass, fields
from functools import cached_property

import torch
from torch import Tensor

from ..errors import InputError
from .ascent import Picture
from .colour import Colour
from .fourier import random_views, random_waves, to_pixels, wave_scale


@dataclass(frozen=True)
class ClassImageSettings:
    """How class images are made; the defaults serve one and three channels and sides from 8 to 224 pixels.

    Attributes:
        steps: Of Adam, whose rate `lr` falls to 0 along half a cosine.
        lr: Adam's rate at the start.
        start: Standard deviation of the first image, in that of the data set.
        decay: How fast waves weaken with their frequency: 0 is white noise, 1 a natural image, more is smoother.
        tv: Weight of total variation; the cross-entropy has 1.
        bn: Weight of the batch norms' statistics.
        logit: Weight of the class's logit itself, which still rises when the network has long been sure.
        jitter: The network is shown views, moved by up to this share of the side,
        scale: scaled by a factor within 1 ± this,
        rotation: turned by up to so many degrees, few enough that a 6 is no 9,
        noise: and with noise of so many standard deviations of the data set, against evidence in single pixels.
    """

    steps: int = 128
    lr: float = 0.1
    start: float = 0.1
    decay: float = 1.5
    tv: float = 0.05
    bn: float = 2.0
    logit: float = 0.1
    jitter: float = 0.07
    scale: float = 0.1
    rotation: float = 10.0
    noise: float = 0.5

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value >= (1 if field.name == "steps" else 0):
                raise InputError(f"class image: {field.name}={value} is not possible: take {field.default} or so")


@dataclass(frozen=True, eq=False)
class Waves:
    """Pictures of `size`² pixels as sums of waves in a data set's colours; `mean` and `std` are (C,)."""

    size: int
    mean: Tensor
    std: Tensor
    colour: Colour
    settings: ClassImageSettings
    random: torch.Generator

    def start(self, n: int, device: torch.device) -> Picture:
        """Return n pictures to begin with."""
        return Picture(self.waves(n).to(device), self.paint)

    def views(self, images: Tensor) -> Tensor:
        """Show each image (n, C, S, S) from another angle, under noise."""
        settings = self.settings
        views = random_views(
            images, jitter=settings.jitter * self.size, scale=settings.scale, rotation=settings.rotation,
            generator=self.random,
        )  # fmt: skip
        return self.noisy(views)

    @cached_property
    def scale(self) -> Tensor:
        return wave_scale(self.size, self.settings.decay)

    def waves(self, n: int) -> Tensor:
        return random_waves(n, self.colour.channels, self.size, self.settings.start, self.random)

    def paint(self, waves: Tensor) -> Tensor:
        return self.colour.paint(to_pixels(waves, self.scale.to(waves.device)))

    def noisy(self, images: Tensor) -> Tensor:
        noise = torch.randn(images.shape, generator=self.random) * self.std.view(1, -1, 1, 1)
        return images + self.settings.noise * noise.to(images)


class Pixels(Waves):
    """Pictures as they are, in units of the data set's `std`, cut off at black and white: from uniform noise."""

    def start(self, n: int, device: torch.device) -> Picture:
        unit = self.std.view(1, -1, 1, 1)
        values, unit = (self.first(n) / unit).to(device), unit.to(device)
        return Picture(values, lambda values: (unit * values).clamp(0, 1))

    def first(self, n: int) -> Tensor:
        return torch.rand((n, len(self.mean), self.size, self.size), generator=self.random)


class PixelsNearMean(Pixels):
    """The same from where `Waves` start, near the data set's mean image."""

    def first(self, n: int) -> Tensor:
        return self.paint(self.waves(n))
