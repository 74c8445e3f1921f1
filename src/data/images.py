"""From an image file to pixels: the one way in which training, prediction and the web page read a picture."""

import ctypes
import errno
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from PIL import Image, UnidentifiedImageError, _imaging
from PIL.ImageFile import ImageFile

from ..errors import InputError
from .colour import finish_with, plain
from .decoding_cost import reason_against, reason_against_opened
from .depth import Extent, find_deep, measure, to_picture
from .jpeg_cost import MAX_PIXELS
from .pixels import UPRIGHT, exif_orientation, to_channels

# What may be opened. By default Pillow also tries formats that start other programs (EPS runs Ghostscript) and some
# without a signature, which take any bytes for a picture.
FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")

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


Range = str | tuple[float, float]
"""What becomes black and white where samples have more than 8 bits: two values, `OWN` or `EARLIER`."""

OWN = "own"
"""Each picture's own range (see `src.data.depth`)."""

EARLIER = "earlier"
"""As versions did that knew no ranges: 65535 is white; several samples of 16 bits lose their lower byte."""


class Contents(NamedTuple):
    """What a file holds.

    Attributes:
        format, mode: as Pillow calls them.
        extent: of its values, where they have more than 8 bits.
    """

    format: str
    mode: str
    extent: Extent | None


def read_image(
    source: Path | str | BinaryIO,
    in_channels: int = 3,
    shorter_side: int | None = None,
    range: Range = OWN,
    color: str = "srgb",
) -> Image.Image:
    """Return the first frame of an image file, upright, on white where it is transparent, 8 bits a channel.

    Args:
        in_channels: 1 gives mode L (luma, ITU-R 601), 3 gives RGB.
        shorter_side: the pixels that are needed of the shorter side. A JPEG that has at least four times as many is
            decoded by libjpeg at a half, quarter or eighth of its size, so that twice as many are left: several times
            faster, and not quite the same after resizing. No other format can do this. None: every pixel.
        color: "srgb", as a profile in the file means its colours, or "stored", as they are.

    Raises:
        UnreadableImageError: empty, truncated, not an image, too large, or broken otherwise.
    """
    mode = "L" if in_channels == 1 else "RGB"
    with explained(source), opened(source) as file:
        image = open_image(file, shorter_side)
        finish = plain if color == "stored" else finish_with(image.info.get("icc_profile"), image.mode)
        deep = None if range == EARLIER else find_deep(image, file)
        image.load()
        orientation = exif_orientation(image)  # asked last: Pillow turns a TIFF upright itself while it loads it
        if deep is None:
            picture = to_channels(image, in_channels, finish)
        else:
            picture = to_picture(deep, mode, None if isinstance(range, str) else range, finish)
        del image, deep  # of the largest pictures each copy takes 0.7 GB, and turning needs two
        return picture.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else picture


def look_at(source: Path | str | BinaryIO) -> Contents:
    """Decode a file and return what it holds; `UnreadableImageError` as `read_image`.

    The whole file is decoded, because half a JPEG passes Pillow's `open` and `verify`. Of a JPEG all coefficients are
    read, but only an eighth of its size is reconstructed from them: the same verdict in less time.
    """
    with explained(source), opened(source) as file:
        image = open_image(file, shorter_side=1)
        contents = Contents(image.format or "", image.mode, None)
        deep = find_deep(image, file)
        image.load()
        if deep is not None:
            return contents._replace(extent=measure(deep))
        to_channels(image, in_channels=3)
        return contents


def open_image(file: BinaryIO, shorter_side: int | None) -> ImageFile:
    """Open a picture that doesn't cost too much, without decoding it."""
    refuse(reason_against(file))
    image = Image.open(file, formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise Image.DecompressionBombError
    refuse(reason_against_opened(image, file))
    if shorter_side is not None:
        image.draft(None, (2 * shorter_side, 2 * shorter_side))
    return image


@contextmanager
def explained(source: Path | str | BinaryIO) -> Iterator[None]:
    """Raise `UnreadableImageError` in place of anything else: Pillow's decoders raise nearly anything."""
    try:
        yield
    except Exception as error:
        name = source if isinstance(source, str | Path) else getattr(source, "name", "the image")
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
