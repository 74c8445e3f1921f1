"""From an image file to pixels: the one way in which training, prediction and the web page read a picture."""

import ctypes
import errno
import os
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError, _imaging

from ..errors import InputError
from .decoding_cost import reason_against, reason_against_opened
from .jpeg_cost import MAX_PIXELS

# What may be opened. By default Pillow also tries formats that start other programs (EPS runs Ghostscript) and some
# without a signature, which take any bytes for a picture.
FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")

BLOCK = 2**20  # pixels that are converted at once

EXIF_ORIENTATION = 0x0112
# EXIF 2.32, tag 274: what undoes each orientation. 1 is upright.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Odd metadata doesn't matter to someone who trains a network, and what can't be read is listed with its reason.
warnings.filterwarnings("ignore", module=r"PIL\.")
# libtiff, loaded with Pillow's own library, otherwise prints on stderr whatever it stumbles over, in whole files too
# (http://www.simplesystems.org/libtiff/functions/TIFFError.html).
with suppress(OSError, AttributeError):
    ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


class UnreadableImageError(InputError):
    """A file that cannot become a picture; `reason` is short enough for a table ("empty file", "truncated", …)."""

    def __init__(self, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason or message


def read_image(source: Path | str | BinaryIO, in_channels: int = 3, shorter_side: int | None = None) -> Image.Image:
    """Return the first frame of an image file, upright, on white where it is transparent, 8 bits a channel.

    Args:
        in_channels: 1 gives mode L (luma, ITU-R 601), 3 gives RGB.
        shorter_side: the pixels that are needed of the shorter side. A JPEG that has at least four times as many is
            decoded by libjpeg at a half, quarter or eighth of its size, so that twice as many are left: several times
            faster, and not quite the same after resizing. No other format can do this. None: every pixel.

    Raises:
        UnreadableImageError: empty, truncated, not an image, too large, or broken otherwise.
    """
    name = source if isinstance(source, str | Path) else getattr(source, "name", "the image")
    try:
        with opened(source) as file:
            refuse(reason_against(file))
            image = Image.open(file, formats=FORMATS)
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            refuse(reason_against_opened(image, file))
            if shorter_side is not None:
                image.draft(None, (2 * shorter_side, 2 * shorter_side))
            image.load()
            orientation = exif_orientation(image)  # asked last: Pillow turns a TIFF upright itself while it loads it
            picture = to_channels(image, in_channels)
            del image  # of the largest pictures each copy takes 0.7 GB, and turning needs two
            return picture.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else picture
    except Exception as error:  # Pillow's decoders raise nearly anything on broken input
        reason = reason_of(error, source)
        raise UnreadableImageError(f"{str(name)!r} cannot be read: {reason}. Give another image.", reason) from error


def refuse(reason: str | None) -> None:
    """Raise `UnreadableImageError` if there is a reason."""
    if reason is not None:
        raise UnreadableImageError(reason)


@contextmanager
def opened(source: Path | str | BinaryIO) -> Iterator[BinaryIO]:
    """Open the file at a path. One that is open already is passed on, and stays open."""
    if not isinstance(source, str | Path):
        yield source
        return
    with open(source, "rb", opener=at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise UnreadableImageError("not a regular file")
        yield file


def at_once(path: str, flags: int) -> int:
    """Open without waiting: a pipe in an image's place would block everyone forever (open(2))."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def reason_of(error: Exception, source: Path | str | BinaryIO) -> str:
    """Return in a few words why `source` could not be decoded."""
    text = " ".join(str(error).split())
    if isinstance(error, UnreadableImageError):
        return error.reason
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"too large (over {MAX_PIXELS / 1e6:.0f} million pixels)"
    if isinstance(error, UnidentifiedImageError):
        return "empty file" if is_empty(source) else "not an image"
    if isinstance(error, FileNotFoundError):
        return "missing"
    if isinstance(error, PermissionError):
        return "permission denied"
    # what opening says; decoders raise OSError without a number, and seek before the beginning of broken files
    if isinstance(error, OSError) and (error.filename is not None or error.errno == errno.EIO):
        return f"no access: {(error.strerror or type(error).__name__).lower()}"
    if isinstance(error, MemoryError):
        return "too large for the memory"
    if isinstance(error, EOFError) or "truncated" in text.lower():
        return "truncated"
    return f"cannot be decoded: {text or type(error).__name__}"[:200]


def is_empty(source: Path | str | BinaryIO) -> bool:
    if isinstance(source, str | Path):
        return Path(source).stat().st_size == 0
    source.seek(0)
    return not source.read(1)


def exif_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation 1…8; 1 (upright) where there is none or the EXIF block is broken."""
    try:
        orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # a broken EXIF block says nothing about the orientation and leaves the pixels alone
        return 1
    return orientation if isinstance(orientation, int) else 1


def to_channels(image: Image.Image, in_channels: int) -> Image.Image:
    """Convert any of Pillow's modes to L (1 channel) or RGB (3), with transparency on white.

    In bands: of the largest pictures each copy takes 0.7 GB, and transparency needs four.
    """
    mode = "L" if in_channels == 1 else "RGB"
    if image.mode == mode and not image.has_transparency_data:
        return image
    convert = _grey_conversion(image) if image.mode.startswith(("I", "F")) else _on_white
    rows = max(1, BLOCK // image.width)
    if image.height <= rows:
        return convert(image, mode)
    picture = Image.new(mode, image.size)
    for top in range(0, image.height, rows):
        picture.paste(convert(_band(image, top, rows), mode), (0, top))
    return picture


def _band(image: Image.Image, top: int, rows: int) -> Image.Image:
    return image.crop((0, top, image.width, min(top + rows, image.height)))


def _on_white(image: Image.Image, mode: str) -> Image.Image:
    if image.has_transparency_data:
        page = Image.new("RGBA", image.size, "white")
        page.alpha_composite(image.convert("RGBA"))
        return page.convert("RGB").convert(mode)
    if image.mode == "P":  # straight to L would take the luma of a palette that has been rounded already
        image = image.convert("RGB")
    return image.convert(mode)


def _grey_conversion(image: Image.Image) -> Callable[[Image.Image, str], Image.Image]:
    """Return what converts bands of grey values of 16 bits (modes I;16 and I), 32 bits (I) or floats (F).

    16 bits: 0…65535 becomes 0…255, rounded. Floats within 0…1 are fractions, within 0…255 they stay as they are.
    Anything else has no agreed range and is stretched from its own minimum to its own maximum.
    """
    rows = max(1, BLOCK // image.width)
    bands = (_finite(_band(image, top, rows)) for top in range(0, image.height, rows))
    limits = [(grey.min(), grey.max()) for grey in bands]
    low, high = float(min(low for low, _ in limits)), float(max(high for _, high in limits))
    narrow, wide = (65535.0, 65535.0) if image.mode.startswith("I") else (1.0, 255.0)
    origin, top = 0.0, narrow if high <= narrow else wide
    if low < 0 or high > top:
        origin, top = low, (high - low) or 1.0

    def convert(band: Image.Image, mode: str) -> Image.Image:
        return Image.fromarray(np.rint((_finite(band) - origin) * (255.0 / top)).astype(np.uint8)).convert(mode)

    return convert


def _finite(image: Image.Image) -> np.ndarray:
    return np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0.0, neginf=0.0)
