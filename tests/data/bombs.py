"""Small files that cost much, made here: each function returns one."""

import io
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence

from PIL import Image

KINDS = {3: "H", 4: "I", 16: "Q", 17: "q"}
Value = tuple[int, Sequence[int] | Callable[[int], Sequence[int]]]
"""Type and values of a TIFF's tag; a function is given the place of the data."""


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def zeros(size: int) -> bytes:
    """So many zeros, deflated."""
    packer = zlib.compressobj(9)
    parts = [packer.compress(bytes(2**20)) for _ in range(size >> 20)]
    return b"".join([*parts, packer.compress(bytes(size & (2**20 - 1))), packer.flush()])


def tiff(
    size: tuple[int, int],
    tags: Mapping[int, Value],
    data: bytes,
    *,
    order: str = "<",
    big: bool = False,
    bits: Sequence[int] = (8, 8, 8),
) -> bytes:
    """A TIFF of 8-bit RGB, if `bits` say nothing else, with further tags, and its data at the end."""
    common: dict[int, Value] = {256: (4, [size[0]]), 257: (4, [size[1]]), 258: (3, bits), 284: (3, [1])}
    common |= {262: (3, [2 if len(bits) == 3 else 1]), 277: (3, [len(bits)])}
    entries = sorted({**common, **tags}.items())
    form, room = ("HHQ", 8) if big else ("HHI", 4)
    start = b"MM" if order == ">" else b"II"
    start += struct.pack(order + "HHHQ", 43, 8, 0, 16) if big else struct.pack(order + "HI", 42, 8)
    after = len(start) + (16 if big else 6) + len(entries) * (struct.calcsize("<" + form) + room)

    def raw(kind: int, values: object, place: int) -> bytes:
        numbers = values(place) if callable(values) else values
        return struct.pack(f"{order}{len(numbers)}{KINDS[kind]}", *numbers)

    sizes = [len(raw(kind, values, 0)) for _, (kind, values) in entries]
    place = after + sum(size for size in sizes if size > room)
    listed, outside = b"", b""
    for tag, (kind, values) in entries:
        content = raw(kind, values, place)
        count = len(content) // struct.calcsize("<" + KINDS[kind])
        field = content.ljust(room, b"\0")
        if len(content) > room:
            field = struct.pack(order + form[2], after + len(outside))
            outside += content
        listed += struct.pack(order + form, tag, kind, count) + field
    number = struct.pack(order + ("Q" if big else "H"), len(entries))
    return start + number + listed + bytes(8 if big else 4) + outside + data


def tile(side: int, *, kind: int = 4, pixels: int = 8, **options: object) -> bytes:
    """A TIFF whose pixels lie in one tile of side², of which a large one holds no data here."""
    data = zeros(3 * side * side if side < 1000 else 99)
    where: dict[int, Value] = {324: (4, lambda place: [place]), 325: (4, [len(data)])}
    return tiff((pixels, pixels), {259: (3, [8]), 322: (kind, [side]), 323: (kind, [side])} | where, data, **options)


def strips(size: tuple[int, int], tags: Mapping[int, Value], data: bytes, rows: int, number: int = 1) -> bytes:
    where: dict[int, Value] = {273: (4, lambda place: [place] * number), 279: (4, [len(data)] * number)}
    return tiff(size, {259: (3, [8]), 278: (4, [rows])} | where | tags, data)


def chained(number: int, chain: int) -> bytes:
    """A TIFF whose tiles begin in one chain of comments, and so are one JPEG, looked at as often as there are tiles."""
    data = b"\xff\xfe\0\2" * chain + encoded(Image.new("L", (8, 8)), "JPEG")[2:]
    places: Value = (4, lambda place: [max(place - 2, 0) + 4 * (i % chain) for i in range(number)])
    tags: dict[int, Value] = {259: (3, [7]), 322: (4, [16]), 323: (4, [16]), 324: places, 325: (4, [9] * number)}
    return tiff((16 * 500, 16 * number // 500), tags, data, bits=[8])


def scans(size: tuple[int, int], copies: int, *, progressive: bool = True, filling: bytes = b"") -> bytes:
    """A JPEG with scans of no data; one that isn't progressive has a scan for each colour, over and over."""
    data = encoded(Image.new("RGB", size, "teal"), "JPEG", progressive=progressive, subsampling=0)
    place = data.rindex(b"\xff\xda")
    if not progressive:
        parts = [b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1 + n % 3, 0x11 * bool(n % 3), 0, 63, 0) for n in range(3)]
        return data[:2] + filling + data[2:place] + (b"".join(parts) * copies)[: 10 * copies] + b"\xff\xd9"
    head = data[place : place + 2 + int.from_bytes(data[place + 2 : place + 4])]
    return data[:2] + filling + data[2:-2] + head * copies + b"\xff\xd9"


def segments(marker: int, content: bytes, number: int) -> bytes:
    data = encoded(Image.new("RGB", (8, 8)), "JPEG")
    return data[:2] + (bytes([255, marker]) + struct.pack(">H", len(content) + 2) + content) * number + data[2:]


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(chunks: bytes = b"", *, late: bytes = b"") -> bytes:
    data = encoded(Image.new("L", (8, 8)), "PNG")
    return data[:33] + chunks + data[33:-12] + late + data[-12:]


def large_png(width: int, height: int) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zeros((width + 1) * height)) + chunk(b"IEND", b"")


def icon(*pictures: bytes) -> bytes:
    place = 6 + 16 * len(pictures)
    entries = b""
    for picture in pictures:
        entries += struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, len(picture), place)
        place += len(picture)
    return struct.pack("<HHH", 0, 1, len(pictures)) + entries + b"".join(pictures)


def bitmap(width: int, height: int, data: bytes) -> bytes:
    """A run-length encoded BMP."""
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 1, 1, 256, 0) + bytes(1024)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + len(head)) + head + data


def codestream(
    size: tuple[int, int],
    tile: tuple[int, int],
    *,
    components: int = 3,
    layers: int = 1,
    levels: int = 5,
    block: int = 4,
    precinct: int | None = None,
    in_tile: bool = False,
) -> bytes:
    """The headers of a JPEG 2000 and hardly any data; `in_tile`: the style of coding comes in the tile's header."""

    def segment(marker: int, content: bytes) -> bytes:
        return struct.pack(">HH", marker, len(content) + 2) + content

    siz = struct.pack(">H8IH", 0, *size, 0, 0, *tile, 0, 0, components) + b"\7\1\1" * components

    def cod(layers: int, levels: int, block: int, precinct: int | None) -> bytes:
        style = struct.pack(">BBHB5B", precinct is not None, 0, layers, 0, levels, block, block, 0, 1)
        return segment(0xFF52, style + (b"" if precinct is None else bytes([precinct]) * (levels + 1)))

    said = cod(layers, levels, block, precinct)
    main = cod(1, levels, 4, None) if in_tile else said
    extra = said if in_tile else b""
    qcd = segment(0xFF5C, b"\x40" + b"\x48" * (3 * levels + 1))
    part = struct.pack(">HHHIBB", 0xFF90, 10, 0, 0, 0, 1) + extra + b"\xff\x93" + bytes(100)
    return b"\xff\x4f" + segment(0xFF51, siz) + main + qcd + part + b"\xff\xd9"


def boxed(size: tuple[int, int], code: bytes) -> bytes:
    """A JP2 that says this size, whatever its codestream says; a box between them keeps Pillow from comparing."""

    def box(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I4s", len(content) + 8, name) + content

    header = box(b"ihdr", struct.pack(">IIHBBBB", size[1], size[0], 3, 7, 7, 0, 0))
    header += box(b"colr", struct.pack(">BBBI", 1, 0, 0, 16))
    start = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return start + box(b"jp2h", header) + box(b"free", b"") + box(b"jp2c", code)
