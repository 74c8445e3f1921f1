"""What an audit keeps of an image: its size and kind, a digest of its pixels, a perceptual hash and a thumbnail."""

import hashlib
from collections.abc import Sequence
from functools import partial
from mmap import mmap
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple

import imagehash
import numpy as np
from PIL import Image

from ..data.collection import ImageCollection
from ..data.images import read_as_shown
from ..data.processes import map_files
from ..data.transforms import Geometry
from ..figures.heat_maps import first_three

SIDE = 32  # pixels of a thumbnail: what `imagehash.phash` looks at
HELD = "array"  # the format of an image that is held in memory
AS_IT_IS = Geometry(SIDE, 3)


class Signature(NamedTuple):
    """A hundred bytes an image, and a thumbnail of 3 kB, which `read_signatures` keeps on disk.

    Attributes:
        width, height: in pixels, upright (EXIF).
        mode: Pillow's, of the file: RGB, L, P, CMYK, I;16, …
        format: JPEG, PNG, …, or "array".
        digest: 16 bytes, the same for two images exactly when their upright RGB pixels are.
        phash: 64 bits; see https://www.hackerfactor.com/blog/index.php?/archives/432-Looks-Like-It.html
        thumbnail: uint8 (SIDE, SIDE, 3), the whole image without regard to its shape.
        contrast: standard deviation of the thumbnail's values, in grey levels of 255.
    """

    width: int
    height: int
    mode: str
    format: str
    digest: bytes
    phash: int
    thumbnail: np.ndarray
    contrast: float


def read_signatures(found: ImageCollection, indices: np.ndarray, geometry: Geometry = AS_IT_IS) -> list[Signature]:
    """Return one for each of the `indices` (n,) of the collection; every image is decoded once, whole, on all cores.

    Args:
        geometry: says what becomes black and white, and what profiles of colours mean.

    Raises:
        UnreadableImageError: a file has changed since it was checked.
    """
    thumbnails = on_disk(len(indices))
    items: Sequence[tuple[int, Path | np.ndarray]]
    if found.images is None:
        items = [(place, found.root / found.paths[i]) for place, i in enumerate(indices)]
    else:
        items = list(enumerate(found.images.numpy()[indices]))
    signatures = map_files(partial(sign_into, thumbnails, geometry), items, "Looking at images")
    return [signature._replace(thumbnail=thumbnails[place]) for place, signature in enumerate(signatures)]


def on_disk(count: int) -> np.ndarray:
    """Return room for so many thumbnails in a file without a name, which processes share and the system may drop."""
    with TemporaryFile(prefix="reslens") as file:
        file.truncate(max(1, count) * SIDE * SIDE * 3)
        pages = mmap(file.fileno(), 0)
    return np.frombuffer(pages, np.uint8)[: count * SIDE * SIDE * 3].reshape(count, SIDE, SIDE, 3)


def sign_into(thumbnails: np.ndarray, geometry: Geometry, item: tuple[int, Path | np.ndarray]) -> Signature:
    """Put the thumbnail of an image at its place, and return the rest."""
    place, image = item
    signature = sign_file(image, geometry) if isinstance(image, Path) else sign_array(image)
    thumbnails[place] = signature.thumbnail
    return signature._replace(thumbnail=NOT_HERE)


NOT_HERE = np.empty(0, np.uint8)


def sign_file(path: Path, geometry: Geometry = AS_IT_IS) -> Signature:
    picture, contents = read_as_shown(path, geometry.in_channels, geometry.range, geometry.color)
    return sign(picture, contents.mode, contents.format)


def sign_array(array: np.ndarray) -> Signature:
    return sign(to_picture(array), "L" if len(array) == 1 else "RGB", HELD)


def to_picture(array: np.ndarray) -> Image.Image:
    """Return uint8 (C, H, W) as an RGB picture."""
    return Image.fromarray(first_three(array).transpose(1, 2, 0).copy())


def sign(picture: Image.Image, mode: str, format: str) -> Signature:
    """Return the signature of an upright RGB picture."""
    small = picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    pixels = hashlib.sha256(repr(picture.size).encode() + picture.tobytes())
    bits = np.packbits(imagehash.phash(small).hash)
    return Signature(
        *picture.size, mode, format, pixels.digest()[:16], int.from_bytes(bits.tobytes()),
        thumbnail := np.asarray(small), float(thumbnail.std()),
    )  # fmt: skip
