"""An upload is read as training reads the same file, and refused before it can cost anything."""

import io
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from src.data.transforms import Geometry, load_image
from src.errors import InputError
from src.page.uploads import MAX_BYTES, MAX_PIXELS, check_upload, to_input
from tests.data import bombs


def noise(mode: str = "RGB", size: tuple[int, int] = (150, 90)) -> Image.Image:
    """A picture with structure at all scales, the same at each call."""
    random = np.random.default_rng(1)
    values = random.integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    return Image.fromarray(values, "RGBA").convert(mode)


def encode(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def animation(format: str) -> bytes:
    frames = [noise(), Image.new("RGB", (150, 90), "blue")]
    return encode(frames[0], format, save_all=True, append_images=frames[1:])


def palette() -> bytes:
    return encode(noise().quantize(16), "PNG", transparency=3)


def deep() -> bytes:
    return encode(Image.fromarray(np.arange(64 * 80, dtype=np.uint16).reshape(64, 80) * 12), "PNG")


CONTENTS = {
    **{format: encode(noise(), format) for format in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")},
    **{f"JPEG turned {n}": encode(noise(size=(900, 500)), "JPEG", exif=turned(n)) for n in range(1, 9)},
    **{f"{format} turned 6": encode(noise(), format, exif=turned(6)) for format in ("PNG", "WEBP", "TIFF")},
    "CMYK": encode(noise("CMYK"), "JPEG"),
    "CMYK TIFF": encode(noise("CMYK"), "TIFF", compression="tiff_deflate"),
    "grey": encode(noise("L"), "JPEG"),
    "bits": encode(noise("1"), "PNG"),
    "RGBA": encode(noise("RGBA"), "PNG"),
    "grey with alpha": encode(noise("LA"), "PNG"),
    "palette with transparency": palette(),
    "16 bit": deep(),
    "large JPEG": encode(noise(size=(1600, 1200)), "JPEG"),
    "strip": encode(noise(size=(2000, 3)), "PNG"),
    **{f"{format} of two frames": animation(format) for format in ("GIF", "TIFF", "WEBP")},
}


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("geometry", [Geometry(32, 3, "bilinear"), Geometry(28, 1, "bicubic")], ids=["3", "1"])
def test_the_network_gets_what_training_gets_of_the_same_file(name: str, geometry: Geometry, tmp_path: Path) -> None:
    file = tmp_path / "name.txt"
    file.write_bytes(CONTENTS[name])
    uploaded = to_input(CONTENTS[name], geometry)
    assert uploaded.dtype == torch.uint8
    assert torch.equal(uploaded, load_image(file, geometry))


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def black_png(width: int, height: int) -> bytes:
    """A whole PNG of black bits; 30,000×30,000 pixels take 110 kB."""
    packer = zlib.compressobj(1)
    row = bytes(1 + -(-width // 8))
    packed = b"".join([packer.compress(row * 100) for _ in range(height // 100)] + [packer.flush()])
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [30_000, 10_000, 7_100])  # above Pillow's two limits, between them, below both
def test_a_bomb_is_refused_by_its_header(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = black_png(side, side)
    assert len(bomb) < MAX_BYTES
    assert side**2 > MAX_PIXELS
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: time.sleep(60))
    start = time.perf_counter()
    with pytest.raises(InputError, match="more than the 50 million pixels allowed: make it smaller"):
        to_input(bomb, Geometry(32, 3))
    assert time.perf_counter() - start < 5


REFUSED = {
    "empty": (b"", "This file is empty"),
    "11 MB": (CONTENTS["JPEG"] + bytes(11 * 2**20), "more than the 10 MB allowed"),
    "a byte too many": (bytes(MAX_BYTES + 1), "has 10.1 MB"),
    "text": (b"a cat", "no JPEG, PNG, WebP, BMP, GIF or TIFF picture"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no JPEG, PNG"),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "no JPEG, PNG"),
    "AVIF": (encode(noise(), "AVIF"), "no JPEG, PNG"),
    "ICO": (encode(noise(), "ICO"), "no JPEG, PNG"),
    "header alone": (CONTENTS["JPEG"][:30], "no JPEG, PNG"),
    "half a JPEG": (CONTENTS["JPEG"][: len(CONTENTS["JPEG"]) // 2], "was cut off"),
    "half a PNG": (CONTENTS["PNG"][: len(CONTENTS["PNG"]) // 2], "was cut off"),
    "half a GIF": (CONTENTS["GIF"][: len(CONTENTS["GIF"]) // 2], "was cut off"),
    "half a BMP": (CONTENTS["BMP"][: len(CONTENTS["BMP"]) // 2], "was cut off"),
    "half a TIFF": (CONTENTS["TIFF"][: len(CONTENTS["TIFF"]) - 500], "cut off|damaged|no JPEG"),
    "half a WebP": (CONTENTS["WEBP"][: len(CONTENTS["WEBP"]) // 2], "cut off|damaged|no JPEG"),
    "flipped": (CONTENTS["PNG"].replace(b"IDAT", b"IDAZ"), "cut off|damaged"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_picture_gets_a_sentence(name: str) -> None:
    content, words = REFUSED[name]
    with pytest.raises(InputError, match=words) as caught:
        to_input(content, Geometry(32, 3))
    sentence = str(caught.value)
    assert sentence.startswith("This ")
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert "0x" not in sentence  # no BytesIO object at …


def test_the_largest_allowed_picture_is_let_through() -> None:
    assert check_upload(black_png(10_000, 5_000)) == (10_000, 5_000)


HEADERS = {
    "EXIF in pieces": lambda: bombs.segments(0xE1, b"Exif\0\0" + b"A" * 10, 450_000),
    "profiles": lambda: bombs.png(bombs.chunk(b"iCCP", b"a\0\0" + bombs.zeros(10**6)) * 8000),
    "tiles": lambda: bombs.tiff((1000, 1000), {322: (4, [1]), 323: (4, [1]), 324: (3, [8] * 4_500_000)}, b""),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_is_costly_itself_costs_the_server_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("src.page.uploads.SECONDS", 1)
    content = HEADERS[name]()
    start, used = time.perf_counter(), time.process_time()
    with pytest.raises(InputError, match="takes too long to decode"):
        to_input(content, Geometry(32, 3))
    assert time.perf_counter() - start < 5
    assert time.process_time() - used < 0.5


def test_many_at_once_are_not_mixed_up() -> None:
    contents = [encode(Image.new("RGB", (40, 30), (n, 255 - n, n)), "PNG") for n in range(0, 240, 5)]
    with ThreadPoolExecutor(8) as pool:
        inputs = list(pool.map(lambda content: to_input(content, Geometry(8, 3)), contents))
    assert [int(image[0, 0, 0]) for image in inputs] == list(range(0, 240, 5))


def test_a_picture_that_takes_too_long_or_too_much_gets_a_sentence_and_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    geometry = Geometry(8, 3)
    with monkeypatch.context() as patch:
        patch.setattr("src.page.uploads.SECONDS", 0.5)
        patch.setattr("src.page.uploads.load_image", lambda *_: time.sleep(60))
        with pytest.raises(InputError, match="takes too long to decode"):
            to_input(CONTENTS["PNG"], geometry)
    with monkeypatch.context() as patch:
        patch.setattr("src.page.uploads.load_image", lambda *_: torch.from_numpy(np.ones(2**30)))
        with pytest.raises(InputError, match="too large for the memory"):
            to_input(CONTENTS["PNG"], geometry)
    with pytest.raises(InputError, match="takes too long to decode"):
        to_input(bombs.scans((7000, 7000), 2000), geometry)
    assert to_input(CONTENTS["PNG"], geometry).shape == (3, 8, 8)
