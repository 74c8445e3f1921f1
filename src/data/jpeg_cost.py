"""What decoding a JPEG will cost, as its markers say (ITU-T T.81, annex B)."""

import re
from dataclasses import dataclass
from typing import BinaryIO

MAX_PIXELS = 178_956_970
"""Pillow's own limit against decompression bombs (it raises at this many pixels and merely warns at half of it)."""

MOST_SEGMENTS = 10_000
"""Before the first scan. Profiles, previews and depth maps come in pieces of 64 kB: some hundreds."""

MOST_EXIF = 16
"""Segments with EXIF data. There is one, of 64 kB at most; Pillow joins several, in a time that is their square."""

MOST_FILLING = 2**16
"""Bytes between segments, which Pillow passes over one by one."""

MOST_SCANNED = 32 * MAX_PIXELS
"""Pixels that all scans together go through. Encoders write about ten scans, and the longest scripts forty."""

LARGEST_MCU = 32
"""Pixels to a side: a picture one pixel high is filled up to so many before it is decoded."""

CHUNK = 2**20
SOI, EOI, SOS, APP1 = 0xD8, 0xD9, 0xDA, 0xE1
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
SEQUENTIAL = (0xC0, 0xC1, 0xC3)
MARKER = re.compile(rb"\xff+([^\x00\xff])")
ALONE = (0x01, *range(0xD0, SOI + 1))  # markers without a segment


@dataclass
class Header:
    """What stands before the first scan, and how many scans there are; `scans` None: not counted."""

    width: int = 0
    height: int = 0
    segments: int = 0
    exif: int = 0
    filling: int = 0
    scans: int | None = None

    @property
    def reason(self) -> str | None:
        """Why this is too much, or None."""
        if self.segments > MOST_SEGMENTS:
            return f"too costly to decode (over {MOST_SEGMENTS:,} segments)"
        if self.exif > MOST_EXIF:
            return f"too costly to decode ({self.exif:,} pieces of EXIF)"
        if self.filling > MOST_FILLING:
            return "too costly to decode (filling between segments)"
        passed = (self.scans or 1) * (self.width + LARGEST_MCU) * (self.height + LARGEST_MCU)
        if self.width * self.height <= MAX_PIXELS and passed > MOST_SCANNED:  # of more pixels that is the reason
            return f"too costly to decode ({self.scans:,} scans)"
        return None


def reason_against_jpeg(file: BinaryIO) -> str | None:
    """Return why a JPEG, at its beginning, costs too much, before Pillow reads its segments; None if it doesn't.

    An ordinary one has a single scan, which libjpeg reads once, and its segments are jumped over. Of others scans are
    counted: first all bytes that may begin one, then, where these are too many (a film behind the picture), exactly.
    """
    header = read_header(file)
    if header is None:
        file.seek(0)
        return walk(file.read()).reason
    if header.scans is not None and header.reason is None:
        header.scans = _count(file, b"\xff\xda") + 1
        if header.reason is not None:
            file.seek(0)
            return walk(file.read()).reason
    return header.reason


def read_header(file: BinaryIO, place: int = 0) -> Header | None:
    """Read the segments from the SOI, which is at `place`, to the first scan; None where anything else lies between.

    `scans` is 1 where libjpeg will look for more than one.
    """
    header, frame, components = Header(), None, b""
    file.seek(place + 2)
    while header.segments <= MOST_SEGMENTS:
        start = file.read(4)
        if len(start) < 4 or start[0] != 0xFF or start[1] in (0, 0xFF, EOI, *ALONE):
            return None
        header.segments += 1
        marker, length = start[1], start[2] << 8 | start[3]
        if marker == SOS:
            if frame is None:
                return None
            if frame not in SEQUENTIAL or file.read(1) != components:
                header.scans = 1
            return header
        if marker in FRAMES:
            said = file.read(length - 2) if length >= 8 else b""
            if frame is not None or len(said) < 6:
                return None
            frame, components = marker, said[5:6]
            header.height, header.width = said[1] << 8 | said[2], said[3] << 8 | said[4]
            continue
        header.exif += marker == APP1
        file.seek(length - 2, 1)
    return header


def walk(data: bytes) -> Header:
    """Look at all markers as libjpeg finds them, which passes over whatever lies between, up to the EOI."""
    header, place, scans = Header(), 2, 0
    while (found := MARKER.search(data, place)) is not None:
        if not scans:
            header.filling += found.end() - 2 - place
        marker, place = found[1][0], found.end()
        if marker == EOI:
            break
        if marker in ALONE:
            continue
        length = int.from_bytes(data[place : place + 2])
        if marker == SOS:
            scans += 1
        elif not scans:
            header.segments += 1
            header.exif += data.startswith(b"Exif", place + 2)
        if marker in FRAMES and not header.width:
            header.height, header.width = (int.from_bytes(data[place + n : place + n + 2]) for n in (3, 5))
        place += max(length, 2)
    header.scans = scans
    return header


def _count(file: BinaryIO, pair: bytes) -> int:
    """Return how often two bytes occur in the rest of the file."""
    found, last = 0, b""
    while chunk := file.read(CHUNK):
        found += (last + chunk).count(pair)
        last = chunk[-1:]
    return found
