"""From a decoded picture to a network's input, as training sees it: changed at random."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import Image, ImageEnhance

from ..errors import InputError
from ..settings.schema.data import Augment
from .bands import Picture, each
from .policies import changed, changes
from .transforms import Geometry, make_square, pad, to_tensor

# Width to height of a random crop, as in GoogLeNet (https://arxiv.org/abs/1409.4842) and in torchvision's
# RandomResizedCrop, whose rejection sampling `random_box` follows.
ASPECT_RATIOS = (3 / 4, 4 / 3)
ATTEMPTS = 10


@dataclass(frozen=True)
class Augmentation:
    """What training changes at random. All zero or False: nothing.

    Attributes:
        flip: mirror left and right, by chance every second image; "alternate": see `mirrors`.
        shift: move by up to this many pixels of the input in each direction.
        padding: what comes in from outside then: "zeros" is black, "reflect" the image itself, mirrored at its edge.
        scale: least area of a random crop, as a fraction of the image; 1.0 is no random crop. Image files only.
        color: brightness, contrast and saturation by a factor within 1 ± this. Image files only.
        policy: "randaugment", "trivialaugment", or "none".
        erase: share of the images of which a rectangle is erased.
        reserve: random crops are taken from a smaller copy of a large picture; see `reserve`.
    """

    flip: bool | str = False
    shift: int = 0
    padding: str = "zeros"
    scale: float = 1.0
    color: float = 0.0
    policy: str = "none"
    erase: float = 0.0
    reserve: bool = False

    @property
    def crops(self) -> bool:
        return self.scale < 1

    @property
    def is_cheap(self) -> bool:
        """Whether nothing but flips and shifts is done, for which `augment_square` is enough."""
        return not self.crops and self.color == 0 and not changes(self)

    def needed(self, image_size: int) -> int:
        """Return the pixels of a picture's shorter side with which its smallest crop still has those of the input."""
        return math.ceil(image_size / math.sqrt(self.scale * ASPECT_RATIOS[0]))


def chosen_augmentation(settings: Augment | None, *, in_memory: bool) -> Augmentation | None:
    """Return what training changes at random; None where that is nothing."""
    chosen = Augmentation() if settings is None else Augmentation(**settings.model_dump(exclude_unset=True))
    if in_memory and (chosen.scale < 1 or chosen.color > 0):
        raise InputError("data.augment: scale and color are for image files; this data set knows flip and shift.")
    return chosen if chosen != Augmentation() else None


def load_augmented(
    source: Path | str | BinaryIO,
    geometry: Geometry,
    augmentation: Augmentation,
    random: np.random.Generator,
    turn: int = 0,
) -> torch.Tensor:
    """Return an image file as training sees it: uint8 (C, S, S). All randomness comes from `random`."""
    if not augmentation.crops:
        square = make_square(geometry.read(source, geometry.image_size), geometry)
        return augment(square, geometry, augmentation, random, turn=turn)
    picture = geometry.read(source, augmentation.needed(geometry.image_size))
    return augment(to_crop(picture, geometry, augmentation), geometry, augmentation, random, picture.size, turn)


def to_crop(picture: Picture, geometry: Geometry, augmentation: Augmentation) -> Picture:
    """Return of a picture as it was read what random crops are taken from."""
    needed = augmentation.needed(geometry.image_size)
    if geometry.resize == "pad":
        return pad(picture, needed, geometry)
    size = reserve(picture.size, needed) if augmentation.reserve else picture.size
    return picture if size == picture.size else picture.resize(size, geometry.resampling)


def reserve(size: tuple[int, int], needed: int) -> tuple[int, int]:
    """Return the (width, height) at which a picture of `size` is kept for random crops.

    Its shorter side becomes `needed` where that leaves out half of the pixels; otherwise it stays as it is.
    """
    shorter = min(size)
    if shorter**2 < 2 * needed**2:
        return size
    width, height = (max(needed, round(needed * side / shorter)) for side in size)
    return width, height


def augment(
    picture: Picture,
    geometry: Geometry,
    augmentation: Augmentation,
    random: np.random.Generator,
    size: tuple[int, int] | None = None,
    turn: int = 0,
) -> torch.Tensor:
    """Return what training sees of a square, or of what random crops are taken from: uint8 (C, S, S).

    Args:
        size: (width, height) of the picture before it became a reserve: its crops stay the same.
        turn: see `mirrors`.
    """
    if augmentation.crops:
        side = augmentation.needed(geometry.image_size)
        frame = size or picture.size if geometry.resize == "crop" else (side, side)
        x, y = picture.width / frame[0], picture.height / frame[1]
        left, top, right, bottom = random_box(frame, augmentation.scale, random)
        box = (left * x, top * y, right * x, bottom * y)
        gap = None if geometry.is_exact else 2.0  # so much is left after averaging whole blocks, which is faster
        square = (geometry.image_size, geometry.image_size)
        picture = picture.resize(square, geometry.resampling, box=box, reducing_gap=gap)
    if mirrors(augmentation, turn, random):
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if augmentation.color > 0:
        picture = jitter_color(picture, augmentation.color, random)
    image = to_tensor(picture)
    if augmentation.shift > 0:
        image = torch.from_numpy(shifted(image.numpy(), augmentation, random))
    return changed([image], augmentation, random)[0] if changes(augmentation) else image


def augment_square(
    square: np.ndarray, augmentation: Augmentation, random: np.random.Generator, turn: int = 0
) -> np.ndarray:
    """Do as `augment` to uint8 (C, S, S), without random crops and colours, in a fraction of its time."""
    if mirrors(augmentation, turn, random):
        square = square[..., ::-1]
    return shifted(square, augmentation, random) if augmentation.shift > 0 else square


def mirrors(augmentation: Augmentation, turn: int, random: np.random.Generator) -> bool:
    """Return whether an image is mirrored, by chance or in turn.

    In turn, it is seen one way in every other epoch and the other way in those between, so that no way is seen twice
    before the other one (Jordan 2024, https://arxiv.org/abs/2404.00498, section 3.6).

    Args:
        turn: Which time it is that this image is seen, from 0 or, for half of the images, from 1.
    """
    if augmentation.flip == "alternate":
        return turn % 2 == 1
    return bool(augmentation.flip) and random.random() < 0.5


def shifted(image: np.ndarray, augmentation: Augmentation, random: np.random.Generator) -> np.ndarray:
    """Return uint8 (C, H, W), moved down and right by whole pixels, each uniform in -shift…shift."""
    down, right = (int(n) for n in random.integers(-augmentation.shift, augmentation.shift + 1, size=2))
    height, width = image.shape[1:]
    if augmentation.padding == "reflect":
        return image[:, reflected(height, -down)[:, None], reflected(width, -right)]
    moved = np.zeros_like(image)
    if abs(down) < height and abs(right) < width:
        kept = image[:, max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)]
        moved[:, max(0, down) : height - max(0, -down), max(0, right) : width - max(0, -right)] = kept
    return moved


def reflected(side: int, offset: int) -> np.ndarray:
    """Return which pixel of a row stands at `offset`, `offset` + 1, …: (side,), mirrored at both ends of the row."""
    period = max(1, 2 * (side - 1))
    places = np.arange(offset, offset + side) % period
    return np.minimum(places, period - places)


def random_box(
    size: tuple[int, int], least_area: float, random: np.random.Generator
) -> tuple[float, float, float, float]:
    """Return a random crop (left, top, right, bottom) in pixels of an image of `size` (width, height).

    Its area is uniform in [least_area, 1] of the image's, the logarithm of its aspect ratio uniform in `ASPECT_RATIOS`.
    """
    width, height = size
    for _ in range(ATTEMPTS):
        area = width * height * random.uniform(least_area, 1.0)
        ratio = math.exp(random.uniform(math.log(ASPECT_RATIOS[0]), math.log(ASPECT_RATIOS[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(random.integers(0, width - w + 1)), int(random.integers(0, height - h + 1))
            return (left, top, left + w, top + h)
    side = min(width, height)  # a strip rather than a picture: its central square
    left, top = (width - side) // 2, (height - side) // 2
    return (left, top, left + side, top + side)


def jitter_color(picture: Picture, strength: float, random: np.random.Generator) -> Picture:
    enhancers = [ImageEnhance.Brightness, ImageEnhance.Contrast]
    if isinstance(picture, Image.Image) and picture.mode == "RGB":
        enhancers.append(ImageEnhance.Color)
    for enhancer in enhancers:
        picture = each(picture, partial(enhanced, enhancer, random.uniform(1 - strength, 1 + strength)))
    return picture


def enhanced(enhancer: Callable[[Image.Image], Any], factor: float, picture: Image.Image) -> Image.Image:
    result: Image.Image = enhancer(picture).enhance(factor)
    return result
