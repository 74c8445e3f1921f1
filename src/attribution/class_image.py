"""Class images: what a network wants to see of a class, made by gradient ascent from noise.

Activation maximisation after Olah et al. 2017 (https://distill.pub/2017/feature-visualization), with the batch norms'
statistics as a prior after Yin et al. 2020, "DeepInversion" (https://arxiv.org/abs/1912.08795). Without them,
`pixel_ascent` finds noise of which the network is sure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import InputError
from .ascent import Ascent, ClassImages, Picture, Progress, check_size, make_images, of_class
from .colour import Colour, plain_colour
from .fourier import random_views, random_waves, to_pixels, wave_scale
from .naturalness import total_variation

__all__ = ["ClassImageSettings", "ClassImages", "class_images", "pixel_ascent"]

PIXELS_AT_ONCE = 64 * 112**2
"""How many pixels are optimised together, unless told: 64 images of 112², 16 of 224², in 1 to 4 GB with a ResNet."""

MOST_AT_ONCE, FEWEST_AT_ONCE = 64, 8


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


@torch.inference_mode(False)
def class_images(
    network: nn.Module,
    targets: Sequence[int] | NDArray[np.int64] | Tensor,
    *,
    image_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    colour: Colour | None = None,
    settings: ClassImageSettings | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    progress: Progress | None = None,
    snapshots: Sequence[int] = (),
) -> ClassImages:
    """Make an image of each class in `targets` as `network` would have it.

    `network` and the random state are left as they were; the same `seed` gives the same images.

    Args:
        network: Sees (pixels - mean) / std, one value a channel.
        targets: (n,) classes; a class that is named several times gets different images.
        colour: That of the data set (`measure_colour`); by default that of `mean` and `std`.
        batch_size: How many are made together, by default `at_once`, with as many classes as possible: their statistics
            are compared with those of the training images, which only means something for several classes.
        snapshots: Steps after which the images are kept, besides the last one.

    Raises:
        InputError: For a class that does not exist, and a size or channels that the network or `colour` doesn't have.
    """
    canvas = _canvas(image_size, mean, std, colour, settings, seed)
    settings = canvas.settings

    def cost(images: Tensor, logits: Tensor, wanted: Tensor, statistics: Tensor) -> Tensor:
        named = F.cross_entropy(logits, wanted) - settings.logit * of_class(logits, wanted).mean()
        return named + settings.tv * total_variation(images) + settings.bn * statistics

    ascent = Ascent(canvas.start, canvas.views, cost, settings.steps, settings.lr, watch=settings.bn > 0)
    together = batch_size or at_once(image_size)
    return make_images(network, targets, image_size, canvas.mean, canvas.std, ascent, together, progress, snapshots)


@torch.inference_mode(False)
def pixel_ascent(
    network: nn.Module,
    targets: Sequence[int] | NDArray[np.int64] | Tensor,
    *,
    image_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    colour: Colour | None = None,
    settings: ClassImageSettings | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    progress: Progress | None = None,
    snapshots: Sequence[int] = (),
    from_mean: bool = False,
) -> ClassImages:
    """Make images like `class_images`, by plain gradient ascent of the logit on pixels: what those must improve on.

    It starts from uniform noise or, with `from_mean`, where class images do, near the data set's mean image: the start
    decides much of what a judge says. Of `settings` it uses `steps` and `lr`, in units of the data set's `std`,
    and for that start `start` and `decay`.
    """
    canvas = _canvas(image_size, mean, std, colour, settings, seed)
    settings = canvas.settings

    def start(n: int, device: torch.device) -> Picture:
        if from_mean:
            pixels = canvas.paint(canvas.waves(n))
        else:
            pixels = torch.rand((n, len(mean), image_size, image_size), generator=canvas.random)
        unit = canvas.std.view(1, -1, 1, 1)
        values, unit = (pixels / unit).to(device), unit.to(device)
        return Picture(values, lambda values: (unit * values).clamp(0, 1))

    def cost(_images: Tensor, logits: Tensor, wanted: Tensor, _statistics: Tensor) -> Tensor:
        return -of_class(logits, wanted).mean()

    ascent = Ascent(start, lambda images: images, cost, settings.steps, settings.lr, watch=False)
    together = batch_size or at_once(image_size)
    return make_images(network, targets, image_size, canvas.mean, canvas.std, ascent, together, progress, snapshots)


def at_once(image_size: int) -> int:
    """Return how many images of this side are made together unless told."""
    return max(FEWEST_AT_ONCE, min(MOST_AT_ONCE, PIXELS_AT_ONCE // image_size**2))


@dataclass(frozen=True, eq=False)
class _Canvas:
    """Random images of `size`² pixels in a data set's colours, and random views of them; `mean` and `std` are (C,)."""

    size: int
    mean: Tensor
    std: Tensor
    colour: Colour
    settings: ClassImageSettings
    scale: Tensor
    random: torch.Generator

    def waves(self, n: int) -> Tensor:
        return random_waves(n, self.colour.channels, self.size, self.settings.start, self.random)

    def paint(self, waves: Tensor) -> Tensor:
        return self.colour.paint(to_pixels(waves, self.scale.to(waves.device)))

    def start(self, n: int, device: torch.device) -> Picture:
        return Picture(self.waves(n).to(device), self.paint)

    def views(self, images: Tensor) -> Tensor:
        """Show each image (n, C, S, S) from another angle, under noise."""
        settings = self.settings
        views = random_views(
            images, jitter=settings.jitter * self.size, scale=settings.scale, rotation=settings.rotation,
            generator=self.random,
        )  # fmt: skip
        noise = torch.randn(views.shape, generator=self.random) * self.std.view(1, -1, 1, 1)
        return views + settings.noise * noise.to(views)


def _canvas(
    image_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    colour: Colour | None,
    settings: ClassImageSettings | None,
    seed: int,
) -> _Canvas:
    check_size(image_size)
    mean_, std_ = torch.tensor(mean, dtype=torch.float32), torch.tensor(std, dtype=torch.float32)
    colour = colour or plain_colour(mean_, std_)
    if colour.channels != len(mean):
        raise InputError(f"class image: colours of {colour.channels} channels, and mean of {len(mean)}: measure anew")
    settings, random = settings or ClassImageSettings(), torch.Generator().manual_seed(seed)
    return _Canvas(image_size, mean_, std_, colour, settings, wave_scale(image_size, settings.decay), random)
