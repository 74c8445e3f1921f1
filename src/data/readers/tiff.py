"""TIFFs that Pillow doesn't read: many bands, floats in colour, planes, 2 or 4 bands of no colour."""

from typing import BinaryIO

import numpy as np

from ..depth import Deep
from ..refusal import UnreadableImageError, refuse
from ..tiff_cost import read_tags, reason_against_first

REMEDY = "pip install 'reslens[tiff]'"
MOST_BYTES = 2**30
"""Of all samples together."""

COMPRESSIONS = (1, 5, 8, 32773, 32946, 34925, 50000)
"""None, LZW, deflate, PackBits, deflate's old number, LZMA, Zstandard: the others are formats of pictures."""

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, SAMPLES, DEPTH = 256, 257, 258, 259, 262, 277, 32997
EXTRA_SAMPLES, PLANAR, ORIENTATION = 338, 284, 274
DNG_VERSION, SUBFILE, SUBDIRECTORIES = 50706, 254, 330
MOSAICS = (32803, 34892)
"""Colour filter array, and what DNG calls linear raw."""
ASSOCIATED, UNASSOCIATED = 1, 2  # alpha
INVERTED, RGB, SEPARATED = 0, 2, 5


def is_tiff(file: BinaryIO) -> bool:
    file.seek(0)
    return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def describe_tiff(file: BinaryIO) -> dict[int, int]:
    """Return what the first directory says that has to be known before anything is decoded."""
    return read_tags(file, (DNG_VERSION, PHOTOMETRIC, SUBFILE, SUBDIRECTORIES, PLANAR, BITS, SAMPLES, EXTRA_SAMPLES))


def is_camera_raw(tags: dict[int, int]) -> bool:
    """Return whether it is a camera's, in which the first picture is a small preview, or a mosaic of its sensor."""
    preview = tags.get(SUBFILE, 0) & 1 and SUBDIRECTORIES in tags
    return DNG_VERSION in tags or bool(preview) or tags.get(PHOTOMETRIC) in MOSAICS


def has_odd_planes(tags: dict[int, int]) -> bool:
    """Return whether its samples lie in planes of more than 8 bits, or of no colour, of which Pillow takes a part."""
    odd = tags.get(BITS, 1) > 8 or tags.get(EXTRA_SAMPLES) == 0
    return tags.get(PLANAR) == 2 and tags.get(SAMPLES, 1) > 1 and odd


def tiff_orientation(file: BinaryIO) -> int:
    return read_tags(file, (ORIENTATION,)).get(ORIENTATION, 1)


def read_tiff(file: BinaryIO, *, as_bands: bool) -> Deep:
    """Return the samples of a file's first picture.

    Args:
        as_bands: every sample is a band of no colour.

    Raises:
        UnreadableImageError: it costs too much, is compressed in another way, or the packages are missing.
    """
    tags = read_tags(file, (WIDTH, HEIGHT, COMPRESSION, SAMPLES, PHOTOMETRIC, EXTRA_SAMPLES, DEPTH))
    width, height, samples = tags.get(WIDTH, 0), tags.get(HEIGHT, 0), tags.get(SAMPLES, 1)
    if not width or not height:
        raise UnreadableImageError("cannot be decoded: no TIFF with a size")
    if width * height * samples > MOST_BYTES // 2 or tags.get(DEPTH, 1) != 1:
        raise UnreadableImageError(f"too large ({width:,} × {height:,} pixels of {samples:,} bands)")
    refuse(reason_against_first(file, (width, height)))
    if tags.get(COMPRESSION, 1) not in COMPRESSIONS:
        raise UnreadableImageError(f"{samples} bands of a TIFF, compressed as {tags[COMPRESSION]}: save it with LZW")
    try:
        import imagecodecs  # noqa: F401  # otherwise some compressions fail, in other words
        import tifffile
    except ImportError:
        raise UnreadableImageError(f"TIFF of {samples} bands, planes or floats in colour: {REMEDY}") from None
    file.seek(0)
    with tifffile.TiffFile(file) as opened:
        page = opened.pages.first
        values, axes = page.asarray(maxworkers=1), page.axes
    if axes not in ("YX", "YXS", "SYX"):
        raise UnreadableImageError(f"TIFF of another order ({axes}): save it with rows, columns and bands")
    values = values[..., None] if axes == "YX" else values.transpose(1, 2, 0) if axes == "SYX" else values
    return _as_deep(values, tags, as_bands)


def _as_deep(values: np.ndarray, tags: dict[int, int], as_bands: bool) -> Deep:
    height, width, samples = values.shape
    kind, extra = tags.get(PHOTOMETRIC, 1), tags.get(EXTRA_SAMPLES, 0)
    alpha = extra in (ASSOCIATED, UNASSOCIATED)
    colours = {INVERTED: 1, 1: 1, RGB: 3, SEPARATED: 4}.get(kind) or samples
    if kind in (INVERTED, 1) and samples - alpha > 1:
        colours = samples  # bands of no colour; three are taken for RGB
    if as_bands:
        colours, alpha = samples, False
    return Deep(
        (width, height),
        lambda top, bottom: values[top:bottom],
        colours,
        alpha=alpha and samples > colours,
        premultiplied=extra == ASSOCIATED,
        inverted=kind == INVERTED and not as_bands,
        of_bands=colours not in (1, 3) and kind != SEPARATED,
    )
