"""Class images: what a network wants to see of a class, made by gradient ascent from noise.

Activation maximisation after Olah et al. 2017 (https://distill.pub/2017/feature-visualization), with the batch norms'
statistics as a prior after Yin et al. 2020, "DeepInversion" (https://arxiv.org/abs/1912.08795). Without them,
`pixel_ascent` finds noise of which the network is sure.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import InputError
from .ascent import Ascent, ClassImages, Progress, check_size, make_images, of_class
from .canvas import ClassImageSettings, Pixels, PixelsNearMean, Waves
from .colour import Colour, plain_colour
from .naturalness import total_variation

__all__ = ["ClassImageSettings", "ClassImages", "class_images", "pixel_ascent"]

PIXELS_AT_ONCE = 64 * 112**2
"""How many pixels are optimised together, unless told: 64 images of 112², 16 of 224², in 1 to 4 GB with a ResNet."""

Canvas = Callable[..., Waves]
"""A class of `canvas`, or one that makes its like of the same arguments."""

MOST_AT_ONCE, FEWEST_AT_ONCE = 64, 8


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
    canvas: Canvas = Waves,
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
        canvas: What they are painted on: `Waves`, `Pixels`, or the `Phases` of MaCo.

    Raises:
        InputError: For a class that does not exist, and a size or channels that the network or `colour` doesn't have.
    """
    painted = _painted_on(canvas, image_size, mean, std, colour, settings, seed)
    settings = painted.settings

    def cost(images: Tensor, logits: Tensor, wanted: Tensor, statistics: Tensor) -> Tensor:
        named = F.cross_entropy(logits, wanted) - settings.logit * of_class(logits, wanted).mean()
        return named + settings.tv * total_variation(images) + settings.bn * statistics

    ascent = Ascent(painted.start, painted.views, cost, settings.steps, settings.lr, watch=settings.bn > 0)
    together = batch_size or at_once(image_size)
    return make_images(network, targets, image_size, painted.mean, painted.std, ascent, together, progress, snapshots)


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
    canvas = PixelsNearMean if from_mean else Pixels
    painted = _painted_on(canvas, image_size, mean, std, colour, settings, seed)

    def cost(_images: Tensor, logits: Tensor, wanted: Tensor, _statistics: Tensor) -> Tensor:
        return -of_class(logits, wanted).mean()

    steps, lr = painted.settings.steps, painted.settings.lr
    ascent = Ascent(painted.start, lambda images: images, cost, steps, lr, watch=False)
    together = batch_size or at_once(image_size)
    return make_images(network, targets, image_size, painted.mean, painted.std, ascent, together, progress, snapshots)


def at_once(image_size: int) -> int:
    """Return how many images of this side are made together unless told."""
    return max(FEWEST_AT_ONCE, min(MOST_AT_ONCE, PIXELS_AT_ONCE // image_size**2))


def _painted_on(
    canvas: Canvas,
    image_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    colour: Colour | None,
    settings: ClassImageSettings | None,
    seed: int,
) -> Waves:
    check_size(image_size)
    mean_, std_ = torch.tensor(mean, dtype=torch.float32), torch.tensor(std, dtype=torch.float32)
    colour = colour or plain_colour(mean_, std_)
    if colour.channels != len(mean):
        raise InputError(f"class image: colours of {colour.channels} channels, and mean of {len(mean)}: measure anew")
    random = torch.Generator().manual_seed(seed)
    return canvas(image_size, mean_, std_, colour, settings or ClassImageSettings(), random)
