"""What decoding a file will cost, judged by its structure before any pixel is decoded: a small file can cost minutes.

Each limit lies far above what encoders write, and together they hold a file of 10 MB below 20 s and 1.5 GB.
"""

import re
import struct
from collections.abc import Callable
from typing import BinaryIO

from PIL.ImageFile import ImageFile

from .jpeg2000_cost import reason_against_jpeg2000
from .jpeg_cost import reason_against_jpeg
from .tiff_cost import reason_against_tags, reason_against_tiff

MOST_TEXTS = 100
"""Compressed texts and profiles in a PNG. Pillow unpacks up to 1 MB of each, and doesn't add up all of them."""

MOST_CHUNKS = 250_000
"""Of a PNG; Pillow takes 10 µs for each."""

MOST_COMMENTS = 10_000
"""In a plain PBM, PGM or PPM: Pillow copies a megabyte for each."""

LONGEST_PPM_HEADER = 2**16
COMMENT = re.compile(rb"#[^\r\n]*")

MOST_PIXELS_IN_PYTHON = 40_000_000
"""Of a BMP that is run-length encoded: Pillow decodes it in Python."""

MOST_AVIF_PIXELS = 100_000_000
"""libavif and Pillow take up to 13 bytes for a pixel. The AVIF profiles end at 36 million, larger ones are grids."""

MOST_WEBP_PIXELS = 90_000_000
"""libwebp's decoder of animations, which Pillow uses for all, keeps two canvases, and Pillow two copies of one."""

MOST_AVIF_ITEMS = 64
"""libavif decodes each, whatever size the file says that it has."""

MOST_ICONS = 256
MOST_ICON_PIXELS = 2**24

PNG = b"\x89PNG\r\n\x1a\n"
TEXTS = (b"iCCP", b"zTXt", b"iTXt")


# Before Pillow opens a file -------------------------------------------------------------------------------------------


def reason_against(file: BinaryIO) -> str | None:
    """Return why the file costs too much to be opened, in a few words; None if it doesn't."""
    file.seek(0)
    start = file.read(8)
    if start.startswith(b"\xff\xd8\xff"):
        return reason_against_jpeg(file)
    if start == PNG:
        return reason_against_png(file)
    if start.startswith(b"\0\0\1\0"):
        return reason_against_ico(file)
    if start[:2] in (b"II", b"MM"):
        return reason_against_tags(file)
    if start[4:] == b"ftyp" and b"avi" in file.read(64):  # others are other formats
        return reason_against_avif(file)
    return reason_against_ppm(file) if start.startswith(b"P") else None


def reason_against_png(file: BinaryIO) -> str | None:
    texts = chunks = 0
    while len(head := file.read(8)) == 8:
        chunks += 1
        texts += head[4:] in TEXTS
        if head[4:] == b"IEND" or chunks > MOST_CHUNKS:
            break
        file.seek(int.from_bytes(head[:4]) + 4, 1)
    if texts > MOST_TEXTS:
        return f"too costly to decode ({texts:,} texts)"
    return f"too costly to decode (over {MOST_CHUNKS:,} chunks)" if chunks > MOST_CHUNKS else None


def reason_against_ico(file: BinaryIO) -> str | None:
    """Look at every picture in the icon: Pillow decodes the largest as soon as it opens the file."""
    file.seek(4)
    data = file.read(2)
    number = int.from_bytes(data, "little")
    if number > MOST_ICONS:
        return f"too costly to decode ({number:,} icons)"
    places = {struct.unpack_from("<I", entry, 12)[0] for _ in range(number) if len(entry := file.read(16)) == 16}
    pictures = 0
    for place in places:
        file.seek(place)
        start = file.read(24)
        if len(start) < 24:
            return "truncated"
        if start.startswith(PNG):
            pictures += 1
            width, height = struct.unpack_from(">II", start, 16)
        elif start[:4] == b"\x0c\0\0\0":
            width, height = struct.unpack_from("<HH", start, 4)
        else:
            width, height = map(abs, struct.unpack_from("<ii", start, 4))
        if width * height > MOST_ICON_PIXELS:
            return f"too costly to decode (an icon of {width:,} × {height:,} pixels)"
    file.seek(0)
    content = file.read()
    if content.count(b"IHDR") != pictures:  # a second header would be the one that counts
        return "cannot be decoded: unusual icon"
    texts = sum(map(content.count, TEXTS))
    return f"too costly to decode ({texts:,} texts)" if texts > MOST_TEXTS else None


def reason_against_avif(file: BinaryIO) -> str | None:
    file.seek(0)
    items = file.read().count(b"infe")
    return f"too costly to decode ({items:,} items)" if items > MOST_AVIF_ITEMS else None


def reason_against_ppm(file: BinaryIO) -> str | None:
    """Look for the magic number, width, height and range: Pillow passes over comments byte by byte."""
    file.seek(0)
    start = file.read(LONGEST_PPM_HEADER)
    words = COMMENT.sub(b"", start).split(maxsplit=4)
    return "too costly to decode (long header)" if len(start) == LONGEST_PPM_HEADER and len(words) < 4 else None


# After Pillow has read the header -------------------------------------------------------------------------------------


def reason_against_opened(image: ImageFile, file: BinaryIO) -> str | None:
    """Return why the pixels cost too much to be decoded, in a few words; None if they don't."""
    judge = JUDGES.get(image.format or "")
    if judge is None:
        return None
    place = file.tell()
    try:
        return judge(image, file)
    finally:
        file.seek(place)


def _tiff(image: ImageFile, file: BinaryIO) -> str | None:
    return reason_against_tiff(file, image.tag_v2.offset, image.size)  # type: ignore[attr-defined]


def _bmp(image: ImageFile, _: BinaryIO) -> str | None:
    width, height = image.size
    costly = image.tile[0][0] == "bmp_rle" and width * height > MOST_PIXELS_IN_PYTHON
    return f"too costly to decode ({width * height / 1e6:.0f} million pixels, run-length encoded)" if costly else None


def _ppm(image: ImageFile, file: BinaryIO) -> str | None:
    if image.tile[0][0] != "ppm_plain":
        return None
    file.seek(0)
    comments = 0
    while chunk := file.read(2**20):
        comments += chunk.count(b"#")
    return f"too costly to decode ({comments:,} comments)" if comments > MOST_COMMENTS else None


def _avif(image: ImageFile, _: BinaryIO) -> str | None:
    return _more_pixels(image, MOST_AVIF_PIXELS)


def _webp(image: ImageFile, _: BinaryIO) -> str | None:
    return _more_pixels(image, MOST_WEBP_PIXELS)


def _more_pixels(image: ImageFile, most: int) -> str | None:
    many = image.width * image.height > most
    return f"too large (over {most / 1e6:.0f} million pixels in a file of {image.format})" if many else None


def _jpeg2000(_: ImageFile, file: BinaryIO) -> str | None:
    return reason_against_jpeg2000(file)


JUDGES: dict[str, Callable[..., str | None]] = {
    "TIFF": _tiff,
    "BMP": _bmp,
    "PPM": _ppm,
    "AVIF": _avif,
    "WEBP": _webp,
    "JPEG2000": _jpeg2000,
}
