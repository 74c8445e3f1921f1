"""From a decoded picture to a network's input size: fixed for evaluation, random for training."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import Image, ImageEnhance

from ..errors import InputError
from ..settings.schema.data import Augment
from .bands import Bands, Picture, each
from .images import OWN, Range, read_image
from .policies import changed, changes

INTERPOLATIONS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

# Width to height of a random crop, as in GoogLeNet (https://arxiv.org/abs/1409.4842) and in torchvision's
# RandomResizedCrop, whose rejection sampling `random_box` follows.
ASPECT_RATIOS = (3 / 4, 4 / 3)
ATTEMPTS = 10

GEOMETRY = ("image_size", "in_channels", "interpolation", "decode", "resize", "range", "color")

# Of a longer strip only the centre is resized: a line of 1 × 30000 pixels would become 224 × 6.7 million.
LONGEST = 8  # times the shorter side


@dataclass(frozen=True)
class Geometry:
    """What a network's input looks like: a square of `image_size` pixels with `in_channels` channels.

    Attributes:
        decode: "exact", and the pixels are those of torchvision's Resize and CenterCrop; or "fast", and of a JPEG
            that is much larger libjpeg reconstructs only a half, quarter or eighth of each side.
        range: which values become black and white where a file has more than 8 bits a sample.
        color: "srgb" or "stored"; see `read_image`.
        resize: "crop", the central square; "pad", all of the picture with `fill` around it; "squash", all of it,
            whatever its shape.
        fill: the colour beside a picture that is padded, 0 to 255 in each channel: the mean that is subtracted later,
            so that the network sees zeros.
    """

    image_size: int
    in_channels: int
    interpolation: str = "bilinear"
    decode: str = "exact"
    range: Range = OWN
    color: str = "srgb"
    resize: str = "crop"
    fill: tuple[int, ...] = ()

    @classmethod
    def of(cls, preprocessing: Mapping[str, Any]) -> "Geometry":
        """Return the geometry of a checkpoint's preprocessing."""
        settings = {key: preprocessing[key] for key in GEOMETRY}
        if not isinstance(settings["range"], str):
            settings["range"] = tuple(settings["range"])
        padded = settings["resize"] == "pad"
        return cls(**settings, fill=tuple(round(255 * mean) for mean in preprocessing["mean"]) if padded else ())

    @property
    def settings(self) -> dict[str, Any]:
        """What the group `data` calls it, as plain values."""
        settings = {key: getattr(self, key) for key in GEOMETRY}
        return settings | ({} if isinstance(self.range, str) else {"range": list(self.range)})

    @property
    def resampling(self) -> Image.Resampling:
        return INTERPOLATIONS[self.interpolation]

    @property
    def is_exact(self) -> bool:
        return self.decode == "exact"

    def read(
        self, source: Path | str | BinaryIO, needed: int, when_clipped: Callable[[], None] | None = None
    ) -> Picture:
        """Read a picture of whose shorter side at least `needed` pixels are wanted. Raise `UnreadableImageError`."""
        side = None if self.is_exact else needed
        return read_image(source, self.in_channels, side, self.range, self.color, when_clipped)


@dataclass(frozen=True)
class Augmentation:
    """What training changes at random. All zero or False: nothing.

    Attributes:
        flip: mirror left and right, every second image.
        shift: move by up to this many pixels of the input in each direction; what comes in from outside is black.
        scale: least area of a random crop, as a fraction of the image; 1.0 is no random crop. Image files only.
        color: brightness, contrast and saturation by a factor within 1 ± this. Image files only.
        policy: "randaugment", "trivialaugment", or "none".
        erase: share of the images of which a rectangle is erased.
    """

    flip: bool = False
    shift: int = 0
    scale: float = 1.0
    color: float = 0.0
    policy: str = "none"
    erase: float = 0.0


def chosen_augmentation(settings: Augment | None, *, in_memory: bool) -> Augmentation | None:
    """Return what training changes at random; None where that is nothing."""
    chosen = Augmentation() if settings is None else Augmentation(**settings.model_dump(exclude_unset=True))
    if in_memory and (chosen.scale < 1 or chosen.color > 0):
        raise InputError("data.augment: scale and color are for image files; this data set knows flip and shift.")
    return chosen if chosen != Augmentation() else None


def load_image(
    source: Path | str | BinaryIO, geometry: Geometry, when_clipped: Callable[[], None] | None = None
) -> torch.Tensor:
    """Return an image file as evaluation and prediction see it: uint8 (C, S, S). Raise `UnreadableImageError`.

    `when_clipped` is called where it has values outside of the geometry's range.
    """
    return to_tensor(make_square(geometry.read(source, geometry.image_size, when_clipped), geometry))


def load_augmented(
    source: Path | str | BinaryIO, geometry: Geometry, augmentation: Augmentation, random: np.random.Generator
) -> torch.Tensor:
    """Return an image file as training sees it: uint8 (C, S, S). All randomness comes from `random`."""
    size = geometry.image_size
    if augmentation.scale < 1:
        # the smallest crop's shorter side still has the pixels that the input needs
        needed = math.ceil(size / math.sqrt(augmentation.scale * ASPECT_RATIOS[0]))
        picture = geometry.read(source, needed)
        if geometry.resize == "pad":
            picture = pad(picture, needed, geometry)
        box = random_box(picture.size if geometry.resize != "squash" else (needed, needed), augmentation.scale, random)
        if geometry.resize == "squash":
            x, y = picture.width / needed, picture.height / needed
            box = (box[0] * x, box[1] * y, box[2] * x, box[3] * y)
        gap = None if geometry.is_exact else 2.0  # so much is left after averaging whole blocks, which is faster
        picture = picture.resize((size, size), geometry.resampling, box=box, reducing_gap=gap)
    else:
        picture = make_square(geometry.read(source, size), geometry)
    if augmentation.flip and random.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if augmentation.color > 0:
        picture = jitter_color(picture, augmentation.color, random)
    if augmentation.shift > 0:
        down, right = (int(n) for n in random.integers(-augmentation.shift, augmentation.shift + 1, size=2))
        picture = each(picture, lambda band: shifted(band, right, down))
    image = to_tensor(picture)
    return changed([image], augmentation, random)[0] if changes(augmentation) else image


def make_square(picture: Picture, geometry: Geometry) -> Picture:
    """Return the square of `image_size` pixels that evaluation sees of a picture."""
    if geometry.resize == "pad":
        return pad(picture, geometry.image_size, geometry)
    if geometry.resize == "squash":
        return picture.resize((geometry.image_size, geometry.image_size), geometry.resampling)
    return resize_and_crop(picture, geometry)


def pad(picture: Picture, side: int, geometry: Geometry) -> Picture:
    """Resize the longer side to `side` pixels, antialiased, and put the picture into the middle of a square."""
    longer = max(picture.size)
    width, height = (max(1, round(side * length / longer)) for length in picture.size)
    resized = picture if picture.size == (width, height) else picture.resize((width, height), geometry.resampling)
    if isinstance(resized, Bands):
        return Bands([framed(band, side, fill) for band, fill in zip(resized.bands, geometry.fill, strict=True)])
    return framed(resized, side, geometry.fill if len(geometry.fill) > 1 else sum(geometry.fill))


def framed(picture: Image.Image, side: int, colour: int | tuple[int, ...]) -> Image.Image:
    square = Image.new(picture.mode, (side, side), colour)
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square


def resize_and_crop(picture: Picture, geometry: Geometry) -> Picture:
    """Resize the shorter side, antialiased, and crop the centre: torchvision's Resize and CenterCrop."""
    size, is_strip = geometry.image_size, max(picture.size) > LONGEST * min(picture.size)
    if is_strip and not geometry.is_exact:
        picture = shorten(picture)
    width, height = picture.size
    if width <= height:
        resized = (size, max(size, int(size * height / width)))
    else:
        resized = (max(size, int(size * width / height)), size)
    left, top = round((resized[0] - size) / 2), round((resized[1] - size) / 2)
    if is_strip and geometry.is_exact:  # only what the crop keeps is computed
        x, y = width / resized[0], height / resized[1]
        box = (left * x, top * y, (left + size) * x, (top + size) * y)
        return picture.resize((size, size), geometry.resampling, box=box)
    if resized != picture.size:
        picture = picture.resize(resized, geometry.resampling)
    return picture if resized == (size, size) else picture.crop((left, top, left + size, top + size))


def shorten(picture: Picture) -> Picture:
    """Return the centre of a strip, `LONGEST` times as long as its shorter side."""
    most = LONGEST * min(picture.size)
    width, height = (min(side, most) for side in picture.size)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


def shifted(picture: Image.Image, right: int, down: int) -> Image.Image:
    moved = Image.new(picture.mode, picture.size)
    moved.paste(picture, (right, down))
    return moved


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


def to_tensor(picture: Picture) -> torch.Tensor:
    """Return a picture of mode L or RGB, or of bands, as uint8 (C, H, W), contiguous."""
    if isinstance(picture, Bands):
        return torch.from_numpy(np.stack([np.asarray(band) for band in picture.bands]))
    pixels = np.array(picture)  # a copy: PyTorch wants memory it may write to
    pixels = pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
    return torch.from_numpy(pixels)
