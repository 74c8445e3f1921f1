"""Class images: what a network wants to see of a class, made by gradient ascent from noise.

Activation maximisation after Olah et al. 2017 (https://distill.pub/2017/feature-visualization), with the batch norms'
statistics as a prior after Yin et al. 2020, "DeepInversion" (https://arxiv.org/abs/1912.08795). Without all of that,
as `pixel_ascent`, it finds noise of which the network is sure.
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

    steps       of Adam, whose rate `lr` falls to 0 along half a cosine
    start       standard deviation of the first image, in that of the data set
    decay       how fast waves get weaker with their frequency: 0 is white noise, 1 a natural image, more is smoother
    tv, bn      weights of total variation and of the batch norms' statistics, beside the cross-entropy's 1
    logit       weight of the class's logit itself, which goes on when the network has long been sure
    jitter      of the views that the network is shown: moved by up to this share of the side,
    scale       by a factor within 1 ± this,
    rotation    by up to so many degrees: few enough that a 6 is no 9,
    noise       and with noise of so many standard deviations of the data set, against evidence of single pixels
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
    """One image of each class in `targets` (n,), `image_size` pixels on a side, as `network` would have it.

    The network sees (pixels - mean) / std, one value a channel. `colour` is that of the data set (`measure_colour`);
    without it, that of `mean` and `std`. A class that is there several times gets different images. `batch_size` of
    them, by default `at_once`, are made together, as mixed as they can be: their statistics are compared with those of
    the training images, which only means something for several classes. `snapshots` are the steps after which the
    images are kept, besides the last one.

    `network` and the random state are left as they were; the same `seed` gives the same images. Raises `InputError`
    for a class that does not exist, and a size or channels that the network or `colour` doesn't have.
    """
    settings = settings or ClassImageSettings()
    check_size(image_size)
    mean_, std_ = torch.tensor(mean, dtype=torch.float32), torch.tensor(std, dtype=torch.float32)
    colour = colour or plain_colour(mean_, std_)
    if colour.channels != len(mean):
        raise InputError(f"class image: colours of {colour.channels} channels, and mean of {len(mean)}: measure anew")
    generator = torch.Generator().manual_seed(seed)
    scale = wave_scale(image_size, settings.decay)

    def start(n: int, device: torch.device) -> Picture:
        waves = random_waves(n, colour.channels, image_size, settings.start, generator).to(device)
        return Picture(waves, lambda waves: colour.paint(to_pixels(waves, scale.to(device))))

    def shown(images: Tensor) -> Tensor:
        views = random_views(
            images,
            jitter=settings.jitter * image_size,
            scale=settings.scale,
            rotation=settings.rotation,
            generator=generator,
        )
        noise = torch.randn(views.shape, generator=generator) * std_.view(1, -1, 1, 1)
        return views + settings.noise * noise.to(views)

    def cost(images: Tensor, logits: Tensor, wanted: Tensor, statistics: Tensor) -> Tensor:
        named = F.cross_entropy(logits, wanted) - settings.logit * of_class(logits, wanted).mean()
        return named + settings.tv * total_variation(images) + settings.bn * statistics

    ascent = Ascent(start, shown, cost, settings.steps, settings.lr, watch=settings.bn > 0)
    return make_images(
        network, targets, image_size, mean_, std_, ascent, batch_size or at_once(image_size), progress, snapshots
    )


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
    """As `class_images`, by plain gradient ascent of the class's logit on pixels: what it has to be better than.

    From pixels that are uniform noise or, with `from_mean`, from where class images start, near the data set's mean
    image; the start decides much of what a judge says. Of `settings`, `steps` and `lr` count, in the data set's `std`,
    and for that start `start` and `decay`.
    """
    settings = settings or ClassImageSettings()
    check_size(image_size)
    mean_, std_ = torch.tensor(mean, dtype=torch.float32), torch.tensor(std, dtype=torch.float32)
    generator = torch.Generator().manual_seed(seed)

    colour = colour or plain_colour(mean_, std_)

    def start(n: int, device: torch.device) -> Picture:
        if from_mean:
            waves = random_waves(n, colour.channels, image_size, settings.start, generator)
            pixels = colour.paint(to_pixels(waves, wave_scale(image_size, settings.decay)))
        else:
            pixels = torch.rand((n, len(mean), image_size, image_size), generator=generator)
        unit = std_.view(1, -1, 1, 1)
        values, unit = (pixels / unit).to(device), unit.to(device)
        return Picture(values, lambda values: (unit * values).clamp(0, 1))

    def cost(_images: Tensor, logits: Tensor, wanted: Tensor, _statistics: Tensor) -> Tensor:
        return -of_class(logits, wanted).mean()

    ascent = Ascent(start, lambda images: images, cost, settings.steps, settings.lr, watch=False)
    return make_images(
        network, targets, image_size, mean_, std_, ascent, batch_size or at_once(image_size), progress, snapshots
    )


def at_once(image_size: int) -> int:
    """How many images of this side are made together unless told."""
    return max(FEWEST_AT_ONCE, min(MOST_AT_ONCE, PIXELS_AT_ONCE // image_size**2))
