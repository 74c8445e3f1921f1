"""What decoding a JPEG 2000 will cost, as the headers of its codestream say (ITU-T T.800, annex A)."""

import math
import re
import struct
from typing import BinaryIO

START = b"\xff\x4f\xff\x51"  # SOC and SIZ, with which a codestream begins
BOX = b"jp2c"  # which holds one
COD, COC, SOT, SOD = 0xFF52, 0xFF53, 0xFF90, 0xFF93
KNOWN = {0xFF00 | n for n in bytes.fromhex("50 51 52 53 55 57 58 59 5C 5D 5E 5F 60 61 63 64 74 75 77 78 90 93")}
"""Markers that OpenJPEG knows (j2k.c, j2k_memory_marker_handler_tab). It looks into others for known ones."""

MOST_SAMPLES = 225_000_000
"""Of one tile: OpenJPEG keeps a tile's samples in 4 bytes each, and Pillow has the picture beside them."""

MOST_TILES = 20_000
"""OpenJPEG keeps some 10 kB for each."""

MOST_BLOCKS = 1_500_000
"""Code-blocks and precincts of a tile. OpenJPEG keeps 300 to 900 bytes for each, and they may be tiny."""

MOST_PACKETS = 3_000_000
"""Quality layers times precincts, of all tiles. OpenJPEG goes through them even where they are empty."""

MOST_COMPONENTS = 4
MOST_CODESTREAMS = 4
MOST_MARKERS = 500_000
UNUSUAL = "cannot be decoded: unusual JPEG 2000"


def reason_against_jpeg2000(file: BinaryIO) -> str | None:
    """Return why decoding costs too much; None if it doesn't."""
    file.seek(0)
    data = file.read()
    places = [0] if data.startswith(START) else [found.end() for found in re.finditer(BOX, data)]
    if len(places) > MOST_CODESTREAMS:
        return f"too costly to decode ({len(places):,} codestreams)"
    for place in places:
        start = next((at for at in (place, place + 8) if data.startswith(START, at)), None)  # a length may lie between
        if start is None:
            return UNUSUAL if place + 12 <= len(data) else "truncated"
        try:
            reason = _against_codestream(data, start)
        except (struct.error, IndexError):
            reason = "truncated"
        if reason is not None:
            return reason
    return None


def _against_codestream(data: bytes, place: int) -> str | None:
    """Weigh the codestream that begins at `place`: its tiles, then each of the styles of coding in its headers."""
    x1, y1, x0, y0, width, height, left, top, components = struct.unpack_from(">8IH", data, place + 8)
    if not (width and height and x1 > x0 and y1 > y0):
        return "cannot be decoded: no size"
    if components > MOST_COMPONENTS:
        return f"cannot be decoded: {components:,} components"
    subsampled = data[place + 43 : place + 42 + 3 * components]
    if not subsampled or min(subsampled[0::3]) < 1:
        return "truncated"
    tiles = math.ceil((x1 - left) / width) * math.ceil((y1 - top) / height)
    if tiles > MOST_TILES:
        return f"too costly to decode ({tiles:,} tiles)"
    width, height = min(width, x1 - x0), min(height, y1 - y0)
    if width * height * components > MOST_SAMPLES:
        return f"too costly to decode (one tile of {width:,} × {height:,} pixels)"
    styles = _styles(data, place + 2, components)
    if styles is None:
        return UNUSUAL
    for layers, style in styles:
        precincts, blocks = _parts(width, height, style)
        if components * (precincts + blocks) > MOST_BLOCKS:
            return f"too costly to decode (a tile in {components * (precincts + blocks):,} pieces)"
        if layers * precincts * components * tiles > MOST_PACKETS:
            return f"too costly to decode ({layers:,} layers)"
    return None


def _styles(data: bytes, place: int, components: int) -> list[tuple[int, bytes]] | None:
    """Return the number of layers with each style of coding (SPcod, SPcoc), of the main header and of all tiles'.

    None where OpenJPEG may find others: beyond a marker that it doesn't know, or that is one too many for us.
    """
    found: list[tuple[int, bytes]] = []
    layers, part = 1, len(data)
    for _ in range(MOST_MARKERS):
        if place + 4 > len(data):
            return found
        marker, length = struct.unpack_from(">HH", data, place)
        segment = data[place + 4 : place + 2 + length]
        if marker == SOT:
            size = struct.unpack_from(">I", segment, 2)[0]
            part = place + size if size else len(data)
        elif marker == SOD:
            place = max(part, place + 2)
            continue
        elif marker == COD:
            layers = max(layers, struct.unpack_from(">H", segment, 2)[0])
            found.append((layers, segment[5:] if segment[0] & 1 else segment[5:10]))
        elif marker == COC:
            segment = segment[1 if components < 257 else 2 :]
            found.append((layers, segment[1:] if segment[0] & 1 else segment[1:6]))
        elif marker not in KNOWN:
            return found if part < len(data) and place >= part else None  # whatever follows the tiles
        place += 2 + max(length, 2)
    return None


def _parts(width: int, height: int, style: bytes) -> tuple[int, int]:
    """Return about how many precincts and code-blocks a component of a tile has, over all its resolutions."""
    levels, wide, high = style[0], style[1] + 2, style[2] + 2
    precincts = blocks = 0
    for level in range(levels + 1):
        shrunk = levels - level
        across, down = math.ceil(width / 2**shrunk), math.ceil(height / 2**shrunk)
        said = style[5 + level] if len(style) > 5 + level else 0xFF
        a, b = said & 15, said >> 4
        here = math.ceil(across / 2**a) * math.ceil(down / 2**b)
        precincts += here
        # of three bands of half the size, beyond the first level; a block is no larger than its precinct
        inner = 1 if level else 0
        c, d = min(wide, max(a - inner, 0)), min(high, max(b - inner, 0))
        bands = 3 if level else 1
        blocks += bands * max(here, math.ceil(across / 2 ** (c + inner)) * math.ceil(down / 2 ** (d + inner)))
    return precincts, blocks
