"""What is kept of a decoded picture: the square that the network sees, or what random crops are taken from."""

from dataclasses import dataclass, replace
from functools import cache, cached_property
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import BinaryIO

import numpy as np
import PIL
from PIL import Image, features

from .augmented import Augmentation, read_to_augment, reserve
from .bands import Bands, Picture
from .formats import FORMATS
from .images import open_image, opened
from .transforms import Geometry, load_image

VERSION = 1
"""Of the pixels. Another one when a change makes others of the same file."""


@dataclass(frozen=True)
class Kind:
    """One way of keeping pictures. `crops`: for random crops, whose scale and reserve it has; None: as squares."""

    geometry: Geometry
    crops: Augmentation | None = None

    @classmethod
    def squares(cls, geometry: Geometry) -> "Kind":
        return cls(geometry)

    @classmethod
    def of_crops(cls, geometry: Geometry, augmentation: Augmentation) -> "Kind":
        return cls(geometry, replace(Augmentation(), scale=augmentation.scale, reserve=augmentation.reserve))

    @cached_property
    def key(self) -> str:
        """A digest of all that the pixels of a file depend on, the versions of what decodes it included."""
        crops = self.crops and (self.crops.needed(self.geometry.image_size), self.crops.reserve)
        return sha256(repr((VERSION, made_by(), self.geometry, crops)).encode()).hexdigest()[:16]

    @property
    def what(self) -> str:
        """Its pictures, in a few words."""
        size = self.geometry.image_size
        if self.crops is None:
            return f"of {size}×{size}"
        return "to crop from" + (f" ({self.crops.needed(size)} pixels a side or more)" if self.crops.reserve else "")

    def make(self, source: Path | BinaryIO) -> np.ndarray:
        """Return what is kept of an image file: uint8 (C, S, S), or (H, W, C) for crops."""
        if self.crops is None:
            return load_image(source, self.geometry).numpy()
        return from_picture(read_to_augment(source, self.geometry, self.crops))

    def estimate(self, path: Path) -> int:
        """Return about how many bytes `make` would return, from the file's header alone; 0 where it doesn't say."""
        size, channels = self.geometry.image_size, self.geometry.in_channels
        if self.crops is None:
            return channels * size**2
        needed = self.crops.needed(size)
        if self.geometry.resize == "pad":
            return channels * needed**2
        try:
            with opened(path) as file:
                found = open_image(file, None if self.geometry.is_exact else needed).size
        except Exception:  # it is of a format that Pillow doesn't know, or has gone
            return 0
        width, height = reserve(found, needed) if self.crops.reserve else found
        return channels * width * height


@cache
def made_by() -> list[str]:
    """Return the versions of what decodes and resizes pictures."""
    found = [f"Pillow {PIL.__version__} {features.version('jpg')} {features.version('zlib')}"]
    for package in sorted({row.package for row in FORMATS if row.package} | {"tifffile", "pillow-jxl-plugin"}):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return found


def from_picture(picture: Picture) -> np.ndarray:
    """Return uint8 (H, W, C)."""
    if isinstance(picture, Bands):
        return np.stack([np.asarray(band) for band in picture.bands], axis=-1)
    pixels = np.asarray(picture)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def to_picture(pixels: np.ndarray) -> Picture:
    """Return the picture of uint8 (H, W, C)."""
    channels = pixels.shape[2]
    if channels in (1, 3):
        return Image.fromarray(np.ascontiguousarray(pixels[..., 0] if channels == 1 else pixels))
    return Bands([Image.fromarray(np.ascontiguousarray(pixels[..., band])) for band in range(channels)])
