"""2,000 pictures of all formats, modes, depths, compressions and orientations that libraries here write.

Ours must be what a second decoder (OpenCV, of what it can't read tifffile) reads, turned and brought to 8 bits by the
plain formulas below; what is refused must be named.
"""

import io
import itertools
from collections import Counter
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from src.data.images import read_image
from src.data.refusal import UnreadableImageError
from tests.data.test_images import TURNS

MOST = 2000
Case = tuple[str, bytes, int, int]
"""Name, content, orientation, and how far a level may be off: 0 and 1 (rounding) of what is lossless."""

PILLOW = [
    *(("PNG", mode, {"compress_level": level}, 0) for mode in ("1", "L", "LA", "RGB", "RGBA", "P", "I;16")
      for level in (0, 6)),
    *(("TIFF", mode, {"compression": how}, 0) for mode in ("L", "RGB", "RGBA", "I;16", "F")
      for how in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "tiff_deflate")),
    *(("BMP", mode, {}, 0) for mode in ("L", "RGB")), *(("PPM", mode, {}, 0) for mode in ("L", "RGB", "I;16")),
    ("GIF", "L", {}, 0), *(("WEBP", mode, {"lossless": True, "exact": True}, 0) for mode in ("RGB", "RGBA")),
    *(("WEBP", "RGB", {"quality": quality}, 4) for quality in (50, 90)),
    *(("JPEG", mode, {"quality": quality, "progressive": progressive}, 4) for mode in ("L", "RGB")
      for quality in (50, 95) for progressive in (False, True)),
    *(("JPEG2000", mode, {"irreversible": False}, 0) for mode in ("L", "RGB")),
    ("AVIF", "RGB", {"quality": 90}, 8),
]  # fmt: skip
DTYPES = (np.uint8, np.uint16, np.float32)


def noise(random: np.random.Generator, channels: int, dtype: type, bits: int = 8) -> np.ndarray:
    """A smooth picture with grain, (H, W, C), of sizes that are no multiples of anything."""
    height, width = random.integers(33, 90, 2)
    slopes = random.random((2, channels))
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    values = (y[..., None] * slopes[0] + x[..., None] * slopes[1]) / 2 + random.random((height, width, channels)) * 0.05
    values = (values / values.max()).clip(0, 1)
    return values.astype(dtype) if dtype is np.float32 else (values * (2**bits - 1)).round().astype(dtype)


def by_pillow(random: np.random.Generator) -> Iterator[Case]:
    for format, mode, options, off in PILLOW:
        for orientation in (1, *random.permutation(range(2, 9))[:3]):
            deep = mode in ("I;16", "F")
            dtype = {"I;16": np.uint16, "F": np.float32}.get(mode, np.uint8)
            values = noise(random, 1 if deep else 4, dtype, int(random.choice([8, 10, 12, 14, 16])) if deep else 8)
            picture = Image.fromarray(values[..., 0]) if deep else Image.fromarray(values, "RGBA").convert(mode)
            exif = Image.Exif()
            exif[0x0112] = int(orientation)
            turned = format in ("PNG", "TIFF", "WEBP", "JPEG")
            file = io.BytesIO()
            picture.save(file, format, **options, **({"exif": exif} if turned else {}))
            yield f"Pillow {format} {mode} {options}", file.getvalue(), int(orientation) if turned else 1, off


def by_tifffile(random: np.random.Generator) -> Iterator[Case]:
    ways = itertools.product(
        DTYPES, (1, 3), (None, "lzw", "zlib", "packbits", "zstd"), (False, True), "<>", (None, (16, 32))
    )
    for dtype, channels, compression, planes, order, tile in ways:
        values = noise(random, channels, dtype, int(random.choice([8, 10, 12, 14, 16])) if dtype is np.uint16 else 8)
        stored = np.ascontiguousarray(values.transpose(2, 0, 1)) if planes else values
        options = {"planarconfig": "separate" if planes else "contig"} if channels > 1 else {}
        file = io.BytesIO()
        tifffile.imwrite(
            file, stored if channels > 1 else values[..., 0], photometric="rgb" if channels > 1 else "minisblack",
            compression=compression, byteorder=order, tile=tile, **options,
        )  # fmt: skip
        yield (
            f"tifffile {dtype.__name__} {channels} {compression} planes={planes} {order} {tile}",
            file.getvalue(),
            1,
            0,
        )


def by_opencv(random: np.random.Generator) -> Iterator[Case]:
    ways = itertools.product((".png", ".tiff", ".ppm", ".pgm", ".bmp", ".webp", ".jpg"), (1, 3, 4), (8, 12, 16))
    for suffix, channels, bits in ways:
        deep = bits > 8
        if (deep and suffix in (".bmp", ".webp", ".jpg")) or channels == {".ppm": 1, ".pgm": 3}.get(suffix):
            continue
        if channels == 4 and suffix not in (".png", ".tiff", ".webp"):
            continue
        values = noise(random, channels, np.uint16 if deep else np.uint8, bits)
        options = {".webp": [cv2.IMWRITE_WEBP_QUALITY, 101]}
        done, content = cv2.imencode(suffix, values, options.get(suffix, []))
        assert done
        yield f"OpenCV {suffix} {channels} {bits} bits", content.tobytes(), 1, 4 if suffix == ".jpg" else 0


def second(content: bytes) -> np.ndarray | None:
    """The stored samples (H, W, C), RGB or RGBA, by another decoder; None where none of them knows."""
    read = None
    if content[:2] not in (b"II", b"MM"):
        read = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        if read is not None and read.ndim == 3:
            read = read[..., [2, 1, 0, 3][: read.shape[2]]]
    else:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            page = file.pages.first
            read = page.asarray()
            read = read.transpose(1, 2, 0) if page.axes == "SYX" else read
    return read if read is None or read.ndim == 3 else read[..., None]


def to_8_bits(values: np.ndarray, orientation: int) -> np.ndarray:
    """RGB (H, W, 3), turned upright, on white, of the least bits that hold them."""
    values = TURNS[orientation](values)
    colours, alpha = (values[..., :-1], values[..., -1:]) if values.shape[2] in (2, 4) else (values, None)
    if values.dtype == np.bool_:
        return np.repeat(values * 255.0, 3, axis=2)
    if values.dtype == np.uint8:
        low_to_high = colours.astype(float)
    else:
        whole = values.dtype.kind in "ui"
        top = next(2**bits - 1 for bits in (8, 10, 12, 14, 16) if colours.max() < 2**bits) if whole else 1
        low_to_high = colours * (255.0 / top)
    if alpha is not None:
        full = 255 if values.dtype == np.uint8 else top if alpha.max() <= top else 65535
        share = (alpha / full).clip(0, 1)
        low_to_high = low_to_high * share + 255 * (1 - share)
    return np.broadcast_to(low_to_high, (*low_to_high.shape[:2], 3))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_everything_that_can_be_written_is_read_right_or_named() -> None:
    random = np.random.default_rng(0)
    count: Counter[str] = Counter()
    wrong, named = [], []
    rounds = (case for _ in itertools.count() for make in (by_pillow, by_tifffile, by_opencv) for case in make(random))
    for name, content, orientation, off in itertools.islice(rounds, MOST):
        try:
            ours = np.asarray(read_image(io.BytesIO(content))).astype(float)
        except UnreadableImageError as error:
            named.append(f"{name}: {error.reason}")
            continue
        samples = second(content)
        if samples is None:
            count["unknown to the second decoder"] += 1
            continue
        theirs = to_8_bits(samples, orientation)
        difference = np.abs(ours - theirs) if ours.shape == theirs.shape else np.array([999.0])
        if (difference.mean() if off else difference.max()) > max(off, 1):
            wrong.append(f"{name}, orientation {orientation}: {difference.max():.0f}, {ours.shape} {theirs.shape}")
        else:
            count["close" if off else "equal"] += 1
    print(dict(count), Counter(named).most_common(20))
    assert not wrong, "\n".join(sorted(set(wrong))[:40])
    assert count["equal"] + count["close"] + count["unknown to the second decoder"] + len(named) == MOST
    assert count["equal"] > 0.7 * MOST
    assert len(named) < 0.05 * MOST
