"""How large a JPEG XL is, by its header (ISO/IEC 18181-1, SizeHeader): its plugin decodes it while opening it."""

from typing import BinaryIO

WIDTHS = (9, 13, 18, 30)
"""Bits of a side, by a choice of two bits."""

RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
MOST_BOXES = 1000


def jpegxl_pixels(file: BinaryIO) -> int | None:
    """Return width times height; None where the header can't be found."""
    start = _codestream(file)
    if start is None:
        return None
    file.seek(start)
    head = file.read(16)
    if not head.startswith(b"\xff\x0a") or len(head) < 4:
        return None
    bits = int.from_bytes(head[2:], "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    small = take(1)

    def side() -> int:
        return 8 * (take(5) + 1) if small else take(WIDTHS[take(2)]) + 1

    height = side()
    ratio = take(3)
    width = side() if ratio == 0 else height * RATIOS[ratio][0] // RATIOS[ratio][1]
    return width * height


def _codestream(file: BinaryIO) -> int | None:
    """Return where the codestream begins: at once, or in a box of the container (ISO/IEC 18181-2)."""
    file.seek(0)
    if file.read(2) == b"\xff\x0a":
        return 0
    place = 0
    for _ in range(MOST_BOXES):
        file.seek(place)
        head = file.read(16)
        if len(head) < 8:
            return None
        size, kind, start = int.from_bytes(head[:4]), head[4:8], place + 8
        if size == 1:
            size, start = int.from_bytes(head[8:16]), place + 16
        if kind in (b"jxlc", b"jxlp"):
            return start + (4 if kind == b"jxlp" else 0)
        if size < 8:
            return None
        place += size
    return None
