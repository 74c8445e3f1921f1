"""What is kept of a decoded picture: the square that the network sees, or what random crops are taken from."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, features

from .augmented import Augmentation, reserve, to_crop
from .bands import Bands, Picture
from .formats import FORMATS
from .images import Contents, size_as_read
from .transforms import Geometry, make_square, to_tensor

Made = tuple[np.ndarray, tuple[int, int]]
"""What is kept of a picture, and its size (width, height) as it was read."""

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
        crops = self.crops and (self.needed, self.crops.reserve)
        return sha256(repr((VERSION, made_by(), self.geometry, crops)).encode()).hexdigest()[:16]

    @property
    def what(self) -> str:
        """Its pictures, in a few words."""
        size = self.geometry.image_size
        if self.crops is None:
            return f"of {size}×{size}"
        return "to crop from" + (f" ({self.needed} pixels a side or more)" if self.crops.reserve else "")

    @property
    def needed(self) -> int:
        """The pixels that are needed of a picture's shorter side."""
        size = self.geometry.image_size
        return size if self.crops is None else self.crops.needed(size)

    def make(self, read: Picture) -> np.ndarray:
        """Return what is kept of a picture as it was read: uint8 (C, S, S), or (H, W, C) for crops."""
        if self.crops is None:
            return to_tensor(make_square(read, self.geometry)).numpy()
        return from_picture(to_crop(read, self.geometry, self.crops))

    def estimate(self, path: Path) -> int:
        """Return about how many bytes `make` would return, from the file's header alone; 0 where it doesn't say."""
        side, channels = self.needed, self.geometry.in_channels
        if self.crops is None or self.geometry.resize == "pad":
            return channels * side**2
        found = size_as_read(path, None if self.geometry.is_exact else side)
        if found is None:
            return 0
        width, height = reserve(found, side) if self.crops.reserve else found
        return channels * width * height


def make_all(path: Path, kinds: Sequence[Kind], seen: Callable[[Contents], None] | None = None) -> list[Made | None]:
    """Return the picture of each kind, all of the same geometry; None where the file can't be read.

    It is decoded once, unless it is so large that libjpeg reduces it by another factor for each.

    Args:
        seen: called with what the file holds, if it can be read.
    """
    largest = max(kinds, key=lambda kind: kind.needed)
    found: list[Made] = []
    with suppress(Exception):
        first = largest.geometry.read(path, largest.needed, seen=seen)
        for kind in kinds:
            read = first if is_read_alike(path, kind, largest, first) else kind.geometry.read(path, kind.needed)
            found.append((kind.make(read), read.size))
    return [*found] if len(found) == len(kinds) else [None] * len(kinds)


def is_read_alike(path: Path, kind: Kind, other: Kind, picture: Picture) -> bool:
    """Return whether a file is decoded at the same size for both kinds, of which the other needs more pixels.

    `picture` is what was read for the other. A JPEG that is decoded at half its size still has twice the pixels that
    are needed: of a smaller one the header need not be read again.
    """
    shorter = min(picture.size)
    if kind.geometry.is_exact or kind.needed == other.needed or shorter < min(2 * other.needed, 4 * kind.needed):
        return True
    return size_as_read(path, kind.needed) == size_as_read(path, other.needed)


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
