"""From a decoded picture to a network's input, as evaluation and prediction see it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import Image

from .bands import Bands, Picture
from .images import OWN, Contents, Range, read_image

INTERPOLATIONS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

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
        self,
        source: Path | str | BinaryIO,
        needed: int,
        when_clipped: Callable[[], None] | None = None,
        seen: Callable[[Contents], None] | None = None,
    ) -> Picture:
        """Read a picture of whose shorter side at least `needed` pixels are wanted. Raise `UnreadableImageError`."""
        side = None if self.is_exact else needed
        return read_image(source, self.in_channels, side, self.range, self.color, when_clipped, seen)


def load_image(
    source: Path | str | BinaryIO, geometry: Geometry, when_clipped: Callable[[], None] | None = None
) -> torch.Tensor:
    """Return an image file as evaluation and prediction see it: uint8 (C, S, S). Raise `UnreadableImageError`.

    `when_clipped` is called where it has values outside of the geometry's range.
    """
    return to_tensor(make_square(geometry.read(source, geometry.image_size, when_clipped), geometry))


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


def to_tensor(picture: Picture) -> torch.Tensor:
    """Return a picture of mode L or RGB, or of bands, as uint8 (C, H, W), contiguous."""
    if isinstance(picture, Bands):
        return torch.from_numpy(np.stack([np.asarray(band) for band in picture.bands]))
    pixels = np.array(picture)  # a copy: PyTorch wants memory it may write to
    pixels = pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
    return torch.from_numpy(pixels)
