"""Image files broken in every way that a seed can think of: `mutate` changes the bytes of one of `samples()`."""

import io
import struct
import zlib
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

SIDES = (160, 120)  # width, height of a sample
EXTREMES = (0, 1, 2, 255, 4096, 13000, 65535, 2**24, 2**31 - 1, 2**31, 2**32 - 1)


def photograph(seed: int, size: tuple[int, int] = SIDES) -> Image.Image:
    """Something like a photograph: noise of four scales, so with smooth parts, edges and grain. `size`: (w, h)."""
    random = np.random.default_rng(seed)
    total = np.zeros((size[1], size[0], 3))
    for cells, strength in ((3, 110), (7, 60), (20, 40), (60, 20)):
        coarse = Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        total += strength * (np.asarray(coarse.resize(size, Image.Resampling.BICUBIC)) / 255 - 0.5)
    return Image.fromarray(np.clip(128 + total + random.normal(0, 4, total.shape), 0, 255).astype(np.uint8))


def samples() -> dict[str, bytes]:
    """Whole files by name; what stands before the first dash is the format."""
    first, second = photograph(1), photograph(2)
    grey, faded = first.convert("L"), first.copy()
    faded.putalpha(grey)
    deep = np.asarray(grey).astype(np.uint16) * 257
    exif = Image.Exif()
    exif[0x0112] = 6
    frames: dict = {"save_all": True, "append_images": [second, first], "duration": 50}
    found = {
        "jpeg-baseline": encode(first, "JPEG"),
        "jpeg-progressive": encode(first, "JPEG", progressive=True, exif=exif, restart_marker_rows=1),
        "jpeg-grey": encode(grey, "JPEG"),
        "jpeg-cmyk": encode(first.convert("CMYK"), "JPEG", progressive=True),
        "png-rgb": encode(first, "PNG"),
        "png-rgba": encode(faded, "PNG"),
        "png-palette": encode(first.quantize(64), "PNG", transparency=3),
        "png-16": encode(Image.fromarray(deep), "PNG"),
        "png-interlaced": interlaced(first),
        "gif-animated": encode(first, "GIF", **frames),
        "webp-lossy": encode(first, "WEBP"),
        "webp-lossless": encode(faded, "WEBP", lossless=True),
        "webp-animated": encode(first, "WEBP", **frames),
        "bmp-rgb": encode(first, "BMP"),
        "bmp-palette": encode(first.quantize(200), "BMP"),
        "bmp-runs": runs(grey),
        "tiff-16": encode(Image.fromarray(deep), "TIFF"),
        "tiff-group4": encode(first.convert("1"), "TIFF", compression="group4"),
    }
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"):
        found[f"tiff-{compression}"] = encode(first, "TIFF", compression=compression)
    return found


def encode(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def interlaced(image: Image.Image) -> bytes:
    """A PNG in Adam7's seven passes, which Pillow reads but doesn't write (PNG specification, 8.2)."""
    pixels = np.asarray(image)
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = [row for y, x, dy, dx in passes for row in pixels[y::dy, x::dx]]
    content = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", *image.size, 8, 2, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(content)) + chunk(b"IEND", b"")


def runs(grey: Image.Image) -> bytes:
    """A BMP of 16 grey values with run lengths (BI_RLE8), which Pillow reads but doesn't write."""
    body = b""
    for row in np.asarray(grey)[::-1] // 16:
        starts = np.flatnonzero(np.diff(row, prepend=255))
        body += b"".join(bytes((n, row[i])) for i, n in zip(starts, np.diff(starts, append=len(row)), strict=True))
        body += b"\0\0"
    body += b"\0\1"
    palette = b"".join(bytes((17 * i,) * 3) + b"\0" for i in range(16))
    start = 14 + 40 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, *grey.size, 1, 8, 1, len(body), 0, 0, 16, 0)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + header + palette + body


# What is done to them -------------------------------------------------------------------------------------------------

Bytes = bytearray


def flip(data: Bytes, random: np.random.Generator, others: Sequence[bytes]) -> Bytes:
    """A few bytes anywhere, or among the first 300."""
    end = len(data) if random.random() < 0.5 else 300
    for position in random.integers(0, end, random.integers(1, 20)):
        data[position] = random.integers(256)
    return data


def cut(data: Bytes, random: np.random.Generator, others: Sequence[bytes]) -> Bytes:
    return data[: random.integers(0, len(data))]


def drop(data: Bytes, random: np.random.Generator, others: Sequence[bytes]) -> Bytes:
    start = random.integers(0, len(data))
    del data[start : start + random.integers(1, 200)]
    return data


def insert(data: Bytes, random: np.random.Generator, others: Sequence[bytes]) -> Bytes:
    start = random.integers(0, len(data))
    data[start:start] = random.bytes(random.integers(1, 200))
    return data


def zero(data: Bytes, random: np.random.Generator, others: Sequence[bytes]) -> Bytes:
    start, length = random.integers(0, len(data)), random.integers(1, 500)
    data[start : start + length] = bytes(len(data[start : start + length]))
    return data


def swap(data: Bytes, random: np.random.Generator, others: Sequence[bytes]) -> Bytes:
    a, b, c = sorted(random.integers(0, len(data), 3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def repeat(data: Bytes, random: np.random.Generator, others: Sequence[bytes]) -> Bytes:
    """A part of the file up to a hundred times over: a JPEG's scans, a GIF's frames, a TIFF's strips."""
    start, end = sorted(random.integers(0, len(data), 2))
    return data[:end] + data[start:end] * int(random.integers(1, 100)) + data[end:]


def join(data: Bytes, random: np.random.Generator, others: Sequence[bytes]) -> Bytes:
    """The beginning of one file and the end of another."""
    other = others[random.integers(len(others))]
    return data[: random.integers(1, len(data) + 1)] + other[random.integers(0, len(other)) :]


def resize(data: Bytes, random: np.random.Generator, others: Sequence[bytes]) -> Bytes:
    """Width or height, wherever the header has them, in any byte order, become something else."""
    for side in SIDES if random.random() < 0.5 else SIDES[:1]:
        value = EXTREMES[random.integers(len(EXTREMES))]
        for form, top in ((">I", 2**32), ("<I", 2**32), (">H", 2**16), ("<H", 2**16)):
            found = bytes(data[:600]).find(struct.pack(form, side))
            if found >= 0:
                struct.pack_into(form, data, found, value % top)
                break
    return data


def lie(data: Bytes, random: np.random.Generator, others: Sequence[bytes]) -> Bytes:
    """Lengths, counts and offsets: words of the header, or, of a TIFF, of the directory at its end."""
    near = range(2, 200) if random.random() < 0.5 else range(len(data) - 250, len(data) - 4)
    for _ in range(random.integers(1, 4)):
        form, top = ((">I", 2**32), ("<I", 2**32), (">H", 2**16), ("<H", 2**16))[random.integers(4)]
        value = EXTREMES[random.integers(len(EXTREMES))]
        struct.pack_into(form, data, near[random.integers(len(near))], value % top)
    return data


WAYS: tuple[Callable[[Bytes, np.random.Generator, Sequence[bytes]], Bytes], ...] = (
    flip, cut, drop, insert, zero, swap, repeat, join, resize, lie,
)  # fmt: skip


def mutate(data: bytes, random: np.random.Generator, others: Sequence[bytes]) -> bytes:
    """One way, sometimes two. Half of the PNG files get right checksums again: else nothing behind them is reached."""
    broken = Bytes(data)
    for _ in range(1 + (random.random() < 0.2)):
        if len(broken) > 600:
            broken = WAYS[random.integers(len(WAYS))](broken, random, others)
    if data.startswith(b"\x89PNG") and random.random() < 0.5:
        return seal(bytes(broken))
    return bytes(broken)


def seal(png: bytes) -> bytes:
    """The right checksum for every chunk that can be found."""
    sealed, position = png[:8], 8
    while position + 12 <= len(png):
        (length,) = struct.unpack_from(">I", png, position)
        if position + 12 + length > len(png):
            break
        sealed += chunk(png[position + 4 : position + 8], png[position + 8 : position + 8 + length])
        position += 12 + length
    return sealed + png[position:]
