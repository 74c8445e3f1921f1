"""From an image file to pixels: the one way in which training, prediction and the web page read a picture."""

import ctypes
import errno
import os
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from PIL import Image, UnidentifiedImageError, _imaging
from PIL.ImageFile import ImageFile

from . import members
from .bands import Bands, Picture
from .colour import finish_with, plain
from .decoding_cost import reason_against, reason_against_opened
from .depth import Deep, Extent, Limits, find_deep, measure, to_bands, to_picture
from .formats import RAW, plug_in, recognise
from .jpeg_cost import MAX_PIXELS
from .jpegxl_cost import jpegxl_pixels
from .pixels import UPRIGHT, exif_orientation, to_channels
from .readers.dicom import read_dicom
from .readers.tiff import SAMPLES, describe_tiff, has_odd_planes, is_camera_raw, is_tiff, read_tiff, tiff_orientation
from .refusal import UnreadableImageError, refuse

# What may be opened. By default Pillow also tries formats that start other programs (EPS runs Ghostscript) and some
# without a signature, which take any bytes for a picture.
FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")

# Odd metadata doesn't matter to someone who trains a network, and what can't be read is listed with its reason.
warnings.filterwarnings("ignore", module=r"PIL\.")
# libtiff, loaded with Pillow's own library, otherwise prints on stderr whatever it stumbles over, in whole files too
# (http://www.simplesystems.org/libtiff/functions/TIFFError.html).
with suppress(OSError, AttributeError):
    ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


Range = str | tuple[float, float]
"""What becomes black and white where samples have more than 8 bits: two values, `OWN` or `EARLIER`."""

OWN = "own"
"""Each picture's own range (see `src.data.depth`)."""

COLOURS = (1, 3)
"""Channels of a grey and of a coloured picture."""

EARLIER = "earlier"
"""As versions did that knew no ranges: 65535 is white; several samples of 16 bits lose their lower byte."""


class Contents(NamedTuple):
    """What a file holds.

    Attributes:
        format, mode: as Pillow calls them; the mode is such as "5 bands" where there are no colours.
        bands: samples of a pixel.
        extent: of the values of its colours, where they have more than 8 bits.
        every: that of all samples.
    """

    format: str
    mode: str
    bands: int
    extent: Extent | None = None
    every: Extent | None = None


@dataclass
class Loaded:
    """A file that has been decoded: a picture of Pillow's, or deep samples."""

    format: str
    mode: str
    picture: Image.Image | None = None
    deep: Deep | None = None
    orientation: int = 1
    profile: bytes | None = None
    stored: int | None = None  # samples of a TIFF, of which Pillow may drop some

    @property
    def bands(self) -> int:
        if self.stored is not None:
            return self.stored
        if self.deep is not None:
            return self.deep.samples
        assert self.picture is not None
        return len(self.picture.getbands())


def read_image(
    source: Path | str | BinaryIO,
    in_channels: int = 3,
    shorter_side: int | None = None,
    range: Range = OWN,
    color: str = "srgb",
    when_clipped: Callable[[], None] | None = None,
    seen: Callable[[Contents], None] | None = None,
) -> Picture:
    """Return the first frame of an image file, upright, on white where it is transparent, 8 bits a channel.

    Args:
        in_channels: 1 gives mode L (luma, ITU-R 601), 3 gives RGB, any other number the file's own bands, as they are.
        shorter_side: the pixels that are needed of the shorter side. A JPEG that has at least four times as many is
            decoded by libjpeg at a half, quarter or eighth of its size, so that twice as many are left: several times
            faster, and not quite the same after resizing. No other format can do this. None: every pixel.
        color: "srgb", as a profile in the file means its colours, or "stored", as they are.
        when_clipped: called where values lie outside of a range of two values.
        seen: called with what the file holds.

    Raises:
        UnreadableImageError: empty, truncated, not an image, too large, or broken otherwise.
    """
    with explained(source), opened(source) as file:
        loaded = load(file, shorter_side, earlier=range == EARLIER, as_bands=in_channels not in COLOURS)
        if seen:
            seen(contents_of(loaded))
        turn = UPRIGHT.get(loaded.orientation)
        limits = None if isinstance(range, str) else range
        if when_clipped and limits and loaded.deep is not None and not loaded.deep.of_bytes:
            extent = measure(loaded.deep, every=in_channels not in COLOURS)
            if extent is not None and extent.is_outside(limits):
                when_clipped()
        picture = convert(loaded, in_channels, limits, color)
        del loaded  # of the largest pictures each copy takes 0.7 GB, and turning needs two
        return picture if turn is None else picture.transpose(turn)


def read_as_shown(
    source: Path | str | BinaryIO, in_channels: int, range: Range, color: str
) -> tuple[Image.Image, Contents]:
    """Return the picture as a person sees it, RGB, and what the file holds; of many bands the first three."""
    as_bands = in_channels not in COLOURS
    limits = None if isinstance(range, str) else range
    with explained(source), opened(source) as file:
        loaded = load(file, None, earlier=range == EARLIER, as_bands=as_bands)
        contents = Contents(loaded.format, loaded.mode, loaded.bands)
        picture = convert(loaded, in_channels if as_bands else 3, limits, color)
        if isinstance(picture, Bands):
            shown = picture.bands[:3] if len(picture.bands) > 2 else [picture.bands[0]] * 3
            picture = Image.merge("RGB", shown)
        turn = UPRIGHT.get(loaded.orientation)
        return picture if turn is None else picture.transpose(turn), contents


def convert(loaded: Loaded, in_channels: int, limits: Limits | None, color: str) -> Picture:
    """Return what was decoded with so many channels of 8 bits."""
    refuse(reason_against_bands(loaded.mode, loaded.bands, in_channels))
    if in_channels not in COLOURS:
        return Bands(loaded.picture.split() if loaded.deep is None else to_bands(loaded.deep, limits))  # type: ignore[union-attr]
    finish = plain if color == "stored" else finish_with(loaded.profile, loaded.mode)
    if loaded.deep is not None:
        return to_picture(loaded.deep, "L" if in_channels == 1 else "RGB", limits, finish)
    assert loaded.picture is not None
    return to_channels(loaded.picture, in_channels, finish)


UNFITTING = "and the network takes"
"""What a reason against the number of bands says."""


def reason_against_bands(mode: str, bands: int, in_channels: int) -> str | None:
    """Return why a file of this mode doesn't give so many channels; None if it does."""
    fits = not mode.endswith("bands") if in_channels in COLOURS else bands == in_channels
    return None if fits else f"{bands} band{'s' * (bands != 1)}, {UNFITTING} {in_channels}"


def look_at(source: Path | str | BinaryIO) -> Contents:
    """Decode a file and return what it holds; `UnreadableImageError` as `read_image`.

    The whole file is decoded, because half a JPEG passes Pillow's `open` and `verify`. Of a JPEG all coefficients are
    read, but only an eighth of its size is reconstructed from them: the same verdict in less time.
    """
    with explained(source), opened(source) as file:
        loaded = load(file, shorter_side=1)
        if loaded.picture is not None:
            to_channels(loaded.picture, in_channels=3)
        return contents_of(loaded)


def contents_of(loaded: Loaded) -> Contents:
    contents = Contents(loaded.format, loaded.mode, loaded.bands)
    if loaded.deep is None:
        return contents
    return contents._replace(extent=measure(loaded.deep), every=measure(loaded.deep, every=True))


# From a file to samples ----------------------------------------------------------------------------------------------


def load(file: BinaryIO, shorter_side: int | None, *, earlier: bool = False, as_bands: bool = False) -> Loaded:
    """Decode a file.

    Args:
        earlier: as earlier versions did, without samples of more than 8 bits.
        as_bands: without regard to what its samples mean.
    """
    row = recognise(file)
    if row is not None and not row.is_installed:
        raise UnreadableImageError(str(row))
    if row is not None and row.plugin is None:
        return _loaded(read_dicom(file), row.name)
    tiff = is_tiff(file)
    if tiff:
        refuse(reason_against(file))
        tags = describe_tiff(file)
        if is_camera_raw(tags):
            raise UnreadableImageError(f"camera raw (DNG, NEF, ARW, PEF …): {RAW}")
        if as_bands or (not earlier and has_odd_planes(tags)):
            return _loaded(read_tiff(file, as_bands=as_bands), "TIFF", tiff_orientation(file))
    try:
        image = open_image(file, shorter_side, FORMATS if row is None else (plug_in(row),))
    except UnidentifiedImageError:
        if row is not None:
            raise UnreadableImageError(f"{row.name} that cannot be decoded: damaged, or of an unknown kind") from None
        if not tiff:
            raise
        return _loaded(read_tiff(file, as_bands=as_bands), "TIFF", tiff_orientation(file))
    loaded = Loaded(image.format or "", image.mode, profile=image.info.get("icc_profile"))
    if tiff:
        loaded.stored = tags.get(SAMPLES, 1)
    loaded.deep = None if earlier else find_deep(image, file)
    image.load()
    loaded.orientation = exif_orientation(image)  # asked last: Pillow turns a TIFF upright itself while it loads it
    loaded.picture = image if loaded.deep is None else None
    return loaded


def _loaded(deep: Deep, format: str, orientation: int = 1) -> Loaded:
    mode = f"{deep.samples} bands" if deep.of_bands else {1: "L", 3: "RGB", 4: "CMYK"}.get(deep.colours, "")
    return Loaded(format, mode, deep=deep, orientation=orientation)


def open_image(file: BinaryIO, shorter_side: int | None, formats: tuple[str, ...] = FORMATS) -> ImageFile:
    """Open a picture that doesn't cost too much, without decoding it."""
    refuse(reason_against(file))
    if formats == ("JXL",) and (jpegxl_pixels(file) or MAX_PIXELS + 1) > MAX_PIXELS:
        raise Image.DecompressionBombError
    file.seek(0)
    image = Image.open(file, formats=formats)
    if image.width * image.height > MAX_PIXELS:
        raise Image.DecompressionBombError
    refuse(reason_against_opened(image, file))
    if shorter_side is not None:
        image.draft(None, (2 * shorter_side, 2 * shorter_side))
    return image


def size_as_read(path: Path, shorter_side: int | None) -> tuple[int, int] | None:
    """Return the size at which `read_image` would decode a file, before it is turned; None where Pillow can't say."""
    with suppress(Exception), opened(path) as file:
        return open_image(file, shorter_side).size
    return None


@contextmanager
def explained(source: Path | str | BinaryIO) -> Iterator[None]:
    """Raise `UnreadableImageError` in place of anything else: Pillow's decoders raise nearly anything."""
    try:
        yield
    except Exception as error:
        name = source if isinstance(source, str | Path) else getattr(source, "name", "the image")
        reason = reason_of(error, source)
        raise UnreadableImageError(f"{str(name)!r} cannot be read: {reason}. Give another image.", reason) from error


@contextmanager
def opened(source: Path | str | BinaryIO) -> Iterator[BinaryIO]:
    """Open the image at a path. One that is open already is passed on, and stays open."""
    if not isinstance(source, str | Path):
        yield source
        return
    with members.opened(source) as file:
        if not isinstance(file, BytesIO) and not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise UnreadableImageError("not a regular file")
        yield file


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
    with opened(source) as file:
        file.seek(0)
        return not file.read(1)
