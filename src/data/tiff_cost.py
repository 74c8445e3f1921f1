"""What decoding a TIFF will cost, as its directory says (TIFF 6.0, part 1; BigTIFF)."""

import math
import struct
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

from .jpeg_cost import MOST_SCANNED, read_header

MOST_ENTRIES = 4096
"""In a directory. A TIFF has some twenty, and there are 65,536 tags."""

MOST_PIECES = 250_000
"""Tiles or strips. Pillow takes 20 µs for each that isn't compressed."""

MOST_BYTES = 2**30
"""Of one tile or strip, which libtiff decodes into memory whole."""

MOST_VALUES = 100_000
"""Of an entry that isn't bytes: Pillow makes an object of each."""

SPARE = 2**24
"""Pixels outside of the image that tiles may cover, beside a quarter of those within."""

MOST_SEGMENTS = 1_000_000
"""Of the JPEGs in all tiles; each has three to eight, and looking at one takes 2 µs."""

MOST_JPEG_SCANS = 100  # libtiff 4.7, tif_jpeg.c: max_allowed_scan_number

WIDTH, HEIGHT, BITS, COMPRESSION, SAMPLES, ROWS, PLANES = 256, 257, 258, 259, 277, 278, 284
TILE_WIDTH, TILE_HEIGHT = 322, 323
STRIPS, TILES = (273, 279), (324, 325)
SUBDIRECTORIES = (34665, 34853, 40965)  # EXIF, GPS, interoperability: Pillow reads them whole
JPEG = 7
BYTE = 1
WHOLE = {3: "H", 4: "I", 16: "Q"}  # types of whole numbers
SIZES = {1: 1, 2: 1, 6: 1, 7: 1, 3: 2, 8: 2, 4: 4, 9: 4, 11: 4, 13: 4, 5: 8, 10: 8, 12: 8, 16: 8, 17: 8, 18: 8}


class Entry(NamedTuple):
    """Of a directory: the type of its values, their number, and they themselves or where they are."""

    kind: int
    values: int
    field: bytes


class Layout(NamedTuple):
    """How the numbers of a file are written, and how it lists entries."""

    order: str
    big: bool

    def number(self, data: bytes, kind: int) -> int:
        letter = WHOLE[kind]
        return int(struct.unpack_from(self.order + letter, data)[0])


def reason_against_tags(file: BinaryIO) -> str | None:
    """Return why the tags alone cost too much, of which Pillow makes objects as soon as it opens a file."""
    file.seek(0)
    layout, first = _layout(file.read(16))
    if first is None:
        return None
    try:
        entries = _directory(file, layout, first)
    except (struct.error, OSError, OverflowError, ValueError):  # too short, or a place that no file has
        return None
    if isinstance(entries, str):
        return entries
    pieces = max((entries[tag].values for tag in (*STRIPS, *TILES) if tag in entries), default=0)
    if pieces > MOST_PIECES:
        return f"too costly to decode ({pieces:,} tiles or strips)"
    return _against_values(entries)


def read_tags(file: BinaryIO, wanted: Sequence[int]) -> dict[int, int]:
    """Return the first whole number of each of the wanted tags in the first directory, as far as they are there."""
    file.seek(0)
    layout, first = _layout(file.read(16))
    if first is None:
        return {}
    try:
        entries = _directory(file, layout, first)
    except (struct.error, OSError, OverflowError, ValueError):
        return {}
    if isinstance(entries, str):
        return {}
    bytes_ = {tag: entry.field[0] for tag in wanted if (entry := entries.get(tag)) and entry.kind == BYTE}
    return bytes_ | {tag: numbers[0] for tag in wanted if (numbers := _numbers(file, layout, entries.get(tag), 1))}


def reason_against_first(file: BinaryIO, size: tuple[int, int]) -> str | None:
    """Return why the first directory costs too much to be decoded."""
    file.seek(0)
    _, first = _layout(file.read(16))
    return "truncated" if first is None else reason_against_tiff(file, first, size)


def reason_against_tiff(file: BinaryIO, offset: int, size: tuple[int, int]) -> str | None:
    """Return why decoding costs too much; None if it doesn't.

    The directory is read here once more, because libtiff, which decodes, takes more types of numbers than Pillow, and
    Pillow leaves out entries: what one doesn't see, the other may obey. So anything unusual is refused.

    Args:
        offset: of the directory.
        size: as Pillow understands it, width and height in either order.
    """
    file.seek(0)
    layout, first = _layout(file.read(16))
    if offset != first:
        return "cannot be decoded: unusual TIFF (its first directory)"
    entries = _directory(file, layout, offset)
    if isinstance(entries, str):
        return entries
    known: dict[int, int] = {}
    for tag in (WIDTH, HEIGHT, COMPRESSION, SAMPLES, ROWS, PLANES, TILE_WIDTH, TILE_HEIGHT):
        if tag in entries:
            value = _single(layout, entries[tag])
            if value is None:
                return f"cannot be decoded: unusual TIFF (tag {tag})"
            known[tag] = value
    if {known.get(WIDTH), known.get(HEIGHT)} != set(size):
        return "cannot be decoded: unusual TIFF (its size)"
    return _against_pieces(file, layout, entries, known) or _against_subdirectories(file, layout, entries)


def _against_pieces(file: BinaryIO, layout: Layout, entries: dict[int, Entry], known: dict[int, int]) -> str | None:
    """Weigh tiles and strips: how large each is, and all of them together."""
    width, height = known[WIDTH], known[HEIGHT]
    tiled = TILE_WIDTH in known or TILE_HEIGHT in known or any(tag in entries for tag in TILES)
    if tiled:
        across, down = known.get(TILE_WIDTH, 0), known.get(TILE_HEIGHT, 0)
        if not across or not down:
            return "cannot be decoded: no tile size"
        covered = math.ceil(width / across) * math.ceil(height / down) * across * down
        if covered > 1.25 * width * height + SPARE:
            return f"too costly to decode (tiles of {across:,} × {down:,} pixels)"
    else:
        across, down = width, min(height, known.get(ROWS, height) or height)
    bits = _numbers(file, layout, entries.get(BITS), 16) or [64 if BITS in entries else 1]
    samples = 1 if known.get(PLANES) == 2 else known.get(SAMPLES, 3)
    if across * down * samples * max(bits) > 8 * MOST_BYTES:
        return f"too costly to decode (one piece of {across:,} × {down:,} pixels)"
    if known.get(COMPRESSION) == JPEG:
        tags = TILES if tiled else STRIPS
        return _against_jpegs(file, layout, entries.get(tags[0]), (across, down), width * height)
    return None


def _against_jpegs(
    file: BinaryIO, layout: Layout, places: Entry | None, piece: tuple[int, int], pixels: int
) -> str | None:
    """Weigh the JPEGs in the tiles: libtiff decodes one in the last strip whole, however high it is."""
    most, segments = 2 * piece[0] * piece[1] + SPARE, 0
    for place in set(_numbers(file, layout, places, MOST_PIECES)):
        header = read_header(file, place)
        if header is None or header.width * header.height > most:
            return "too costly to decode (a JPEG larger than its tile)"
        segments += header.segments
        if segments > MOST_SEGMENTS:  # the same ones may belong to every tile
            return f"too costly to decode (over {MOST_SEGMENTS:,} segments)"
        if header.scans is not None and MOST_JPEG_SCANS * pixels > MOST_SCANNED:
            return "too costly to decode (progressive tiles)"
    return None


def _against_values(entries: dict[int, Entry]) -> str | None:
    pieces = (*STRIPS, *TILES)
    for tag, entry in entries.items():
        if tag not in pieces and SIZES[entry.kind] > 1 and entry.values > MOST_VALUES:
            return f"too costly to decode (tag {tag} has {entry.values:,} values)"
    return None


def _against_subdirectories(file: BinaryIO, layout: Layout, entries: dict[int, Entry]) -> str | None:
    for tag in SUBDIRECTORIES:
        for place in _numbers(file, layout, entries.get(tag), 1):
            found = _directory(file, layout, place)
            if isinstance(found, str):
                return found
            if sum(entry.values for entry in found.values() if SIZES[entry.kind] > 1) > MOST_VALUES:
                return f"too costly to decode (tag {tag})"
    return None


def _directory(file: BinaryIO, layout: Layout, offset: int) -> dict[int, Entry] | str:
    """Return the entries of a directory by tag, or why it can't be used. A tag that comes twice is refused."""
    prefix, form = ("Q", "HHQ8s") if layout.big else ("H", "HHI4s")
    file.seek(offset)
    head = file.read(struct.calcsize("<" + prefix))
    number = struct.unpack(layout.order + prefix, head)[0]
    if number > MOST_ENTRIES:
        return f"too costly to decode ({number:,} tags)"
    size = struct.calcsize("<" + form)
    data = file.read(number * size)
    entries: dict[int, Entry] = {}
    for tag, kind, count, field in struct.iter_unpack(layout.order + form, data[: len(data) // size * size]):
        if tag in entries:
            return f"cannot be decoded: tag {tag} comes twice"
        if kind in SIZES:
            entries[tag] = Entry(kind, count, field)
    return entries


def _layout(start: bytes) -> tuple[Layout, int | None]:
    """Return how the file is written, and where its first directory is; None where it is too short to say."""
    layout = Layout("<" if start[:2] == b"II" else ">", 43 in start[2:4])
    if len(start) < 16:
        return layout, None
    return layout, layout.number(start[8:] if layout.big else start[4:], 16 if layout.big else 4)


def _single(layout: Layout, entry: Entry) -> int | None:
    """Return the whole number of an entry; None where it is no plain one."""
    if entry.values != 1 or entry.kind not in WHOLE or SIZES[entry.kind] > len(entry.field):
        return None
    return layout.number(entry.field, entry.kind)


def _numbers(file: BinaryIO, layout: Layout, entry: Entry | None, most: int) -> list[int]:
    """Return up to `most` whole numbers of an entry."""
    if entry is None or entry.kind not in (*WHOLE, 13):
        return []
    letter = WHOLE.get(entry.kind, "I")
    count, size = min(entry.values, most), SIZES[entry.kind]
    data = entry.field
    if entry.values * size > len(data):
        file.seek(layout.number(data, 16 if layout.big else 4))
        data = file.read(count * size)
    count = min(count, len(data) // size)
    return list(struct.unpack_from(f"{layout.order}{count}{letter}", data))
