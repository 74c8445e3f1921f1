import io
import os
import socket
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.data.defects import find_defect
from src.data.images import UnreadableImageError, read_image
from tests.data.mutations import chunk


def encode(image: Image.Image, format: str = "PNG", **options) -> io.BytesIO:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    buffer.seek(0)
    return buffer


def pixels(source, in_channels: int = 3) -> np.ndarray:
    return np.asarray(read_image(source, in_channels))


def luma(rgb: np.ndarray) -> np.ndarray:
    """ITU-R 601 in the fixed point of Pillow: 0.299, 0.587 and 0.114 of 65536, rounded."""
    return (rgb.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32) + 32768 >> 16).astype(np.uint8)


def compare(file: io.BytesIO, expected: np.ndarray, tolerance: int = 0) -> None:
    """What is read, as three channels and as one, with uint8 (H, W, 3)."""
    for in_channels, wanted in ((3, expected), (1, luma(expected))):
        read = pixels(file, in_channels)
        assert (read.shape, read.dtype) == (wanted.shape, np.uint8)
        assert np.abs(read.astype(int) - wanted).max() <= tolerance


# EXIF 2.32, tag 274: where the stored row 0 and column 0 belong, as what has to be done to the stored rows.
TURNS = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],  # top, right
    3: lambda stored: stored[::-1, ::-1],  # bottom, right
    4: lambda stored: stored[::-1],  # bottom, left
    5: lambda stored: stored.swapaxes(0, 1),  # left, top
    6: lambda stored: stored[::-1].swapaxes(0, 1),  # right, top: a quarter turn clockwise
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),  # right, bottom
    8: lambda stored: stored.swapaxes(0, 1)[::-1],  # left, bottom: a quarter turn anticlockwise
}


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_ends_upright(orientation, format):
    corners = np.random.default_rng(0).integers(30, 220, (3, 2, 3))
    stored = (corners.repeat(16, axis=0).repeat(16, axis=1) + np.arange(3)).astype(np.uint8)  # JPEG keeps such blocks
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(format, {})
    file = encode(Image.fromarray(stored), format, exif=exif, **options)
    compare(file, TURNS[orientation](stored), tolerance=2 if format == "JPEG" else 0)


def test_cmyk_of_all_makes():
    """Ink on white: what is left of red is (1 - C)(1 - K). Adobe's JPEG files hold the inverse of each ink."""
    ink = np.random.default_rng(0).integers(0, 256, (3, 2, 4)).repeat(16, axis=0).repeat(16, axis=1)
    expected = np.rint((255 - ink[..., :3]) * (255 - ink[..., 3:]) / 255).astype(np.uint8)
    picture = Image.frombytes("CMYK", ink.shape[1::-1], ink.astype(np.uint8).tobytes())
    compare(encode(picture, "TIFF"), expected, tolerance=1)
    adobe = encode(picture, "JPEG", quality=100)
    assert b"Adobe" in adobe.getvalue()[:100]
    compare(adobe, expected, tolerance=3)
    inverted = Image.open(adobe)  # Pillow undoes it: what the file itself holds is the other way round
    assert inverted.mode == "CMYK"
    assert np.abs(np.asarray(inverted).astype(int) - ink).max() <= 3


def test_transparency_of_all_makes_is_laid_on_white():
    colours = np.array([[0, 0, 255], [40, 80, 120], [255, 255, 255], [9, 9, 9]], np.uint8)
    indices = np.array([[0, 1, 2, 3], [3, 2, 1, 0]], np.uint8)
    alphas = np.array([255, 51, 0, 204])  # whole, a fifth, none, four fifths
    shares = alphas[:, None] / 255
    mixed = np.rint(colours * shares + 255 * (1 - shares)).astype(np.uint8)
    palette = Image.fromarray(indices, "P")
    palette.putpalette(colours.tobytes())
    compare(encode(palette, transparency=bytes(alphas.tolist())), mixed[indices])
    compare(
        encode(palette, "GIF", transparency=3), np.concatenate([colours[:3], [[255] * 3]]).astype(np.uint8)[indices]
    )
    rgba = np.concatenate([colours, alphas[:, None]], axis=1).astype(np.uint8)[indices]
    for format, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})):
        compare(encode(Image.fromarray(rgba), format, **options), mixed[indices])
    grey = np.array([[10, 51], [10, 0], [200, 255], [60, 204]], np.uint8)
    levels = np.rint(grey[:, 0] * (grey[:, 1] / 255) + 255 * (1 - grey[:, 1] / 255)).astype(np.uint8)
    compare(encode(Image.fromarray(grey[None], "LA")), np.repeat(levels[None, :, None], 3, axis=2))
    keyed = Image.fromarray(colours[indices])  # one colour of an opaque picture that stands for nothing
    compare(encode(keyed, transparency=(9, 9, 9)), np.concatenate([colours[:3], [[255] * 3]]).astype(np.uint8)[indices])


def test_16_bits_of_all_makes():
    values = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    expected = np.repeat(np.array([[0, 0, 1, 1, 128, 255]], np.uint8)[..., None], 3, axis=2)
    for format, options in (("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("PPM", {})):
        compare(encode(Image.fromarray(values), format, **options), expected)
    motorola = Image.frombytes("I;16B", values.shape[::-1], values.astype(">u2").tobytes())
    compare(encode(motorola, "TIFF"), expected)
    deep = np.array([[0x1234, 0x00FF, 0xFFFF], [0x8000, 0x7FFF, 0x0100]], np.uint16)
    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" + deep.astype(">u2").tobytes())
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    compare(io.BytesIO(png), np.rint(deep / 257).astype(np.uint8)[None])


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_an_animation_is_read(format):
    random = np.random.default_rng(0)
    first, *others = (random.integers(0, 6, (8, 8, 3), dtype=np.uint8) * 51 for _ in range(3))
    frames = [Image.fromarray(first).quantize(64) if format == "GIF" else Image.fromarray(first)]
    expected = np.asarray(frames[0].convert("RGB"))
    assert np.array_equal(expected, first)
    options = {"lossless": True} if format == "WEBP" else {}
    more = [Image.fromarray(other) for other in others]
    file = encode(frames[0], format, save_all=True, append_images=more, **options)
    assert Image.open(file).n_frames == 3
    compare(file, first)


def test_jpeg_from_a_camera_held_sideways():
    left_red = np.zeros((32, 64, 3), dtype=np.uint8)
    left_red[:, :32, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: the left becomes the top
    read = pixels(encode(Image.fromarray(left_red), "JPEG", exif=exif, quality=95))
    assert read.shape == (64, 32, 3)
    assert read[:24, :, 0].min() > 240
    assert read[40:, :, 0].max() < 15


def test_32_bits_and_floats():
    whole = Image.fromarray(np.array([[0, 1 << 20, 1 << 21]], dtype=np.int32))
    np.testing.assert_array_equal(pixels(encode(whole, "TIFF"), 1), [[0, 128, 255]])
    for values, expected in [([0.0, 0.5, 1.0], [0, 128, 255]), ([0.0, 7.0, 255.0], [0, 7, 255]), ([-1.0, 0, 1], None)]:
        image = Image.fromarray(np.array([values], dtype=np.float32))
        np.testing.assert_array_equal(pixels(encode(image, "TIFF"), 1), [expected or [0, 128, 255]])
    flat = Image.fromarray(np.full((2, 2), 1e9, dtype=np.float32))
    assert pixels(encode(flat, "TIFF")).shape == (2, 2, 3)


def test_bits_and_grey():
    bits = Image.fromarray(np.array([[True, False]]))
    np.testing.assert_array_equal(pixels(encode(bits), 1), [[255, 0]])
    np.testing.assert_array_equal(pixels(encode(Image.new("L", (1, 1), 77))), [[[77] * 3]])
    assert pixels(encode(Image.new("RGB", (1, 1), (255, 0, 0))), 1).tolist() == [[76]]


def test_large_jpeg_is_decoded_smaller_and_looks_the_same():
    y, x = np.mgrid[:400, :600]
    smooth = Image.fromarray(np.stack([x * 255 // 600, y * 255 // 400, (x + y) // 4], -1).astype(np.uint8))
    file = encode(smooth, "JPEG", quality=95)
    small = read_image(file, shorter_side=50)
    assert small.size == (150, 100)  # at least twice what was asked for
    fair = read_image(file).resize((75, 50), Image.Resampling.BILINEAR)
    difference = np.asarray(small.resize((75, 50), Image.Resampling.BILINEAR)).astype(int) - np.asarray(fair)
    assert np.abs(difference).max() <= 3


def test_reasons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    jpeg, png = encode(noise, "JPEG").getvalue(), encode(noise).getvalue()
    written = {
        "empty.jpg": (b"", "empty file"),
        "Thumbs.db": (b"\xd0\xcf\x11\xe0" + bytes(500), "not an image"),
        "text.jpg": (b"hello", "not an image"),
        "half.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
        "half.png": (png[: len(png) // 2], "truncated"),
        "vector.eps": (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
            "PostScript: draw it as PNG, as with Ghostscript",
        ),
        "whole.jpg": (jpeg, None),
    }
    for name, (content, reason) in written.items():
        (tmp_path / name).write_bytes(content)
        assert find_defect(tmp_path / name).reason == reason, name
    assert find_defect(tmp_path / "nowhere.jpg").reason == "missing"
    monkeypatch.setattr("src.data.images.MAX_PIXELS", 1000)
    assert "too large" in str(find_defect(tmp_path / "whole.jpg").reason)


def test_error_names_the_file_in_one_line(tmp_path: Path):
    (tmp_path / "x.jpg").write_bytes(b"")
    with pytest.raises(UnreadableImageError, match=r"x\.jpg.*empty file") as caught:
        read_image(tmp_path / "x.jpg")
    assert "\n" not in str(caught.value)
    with pytest.raises(UnreadableImageError, match="empty file"):
        read_image(io.BytesIO())


def test_what_is_no_file_is_not_waited_for(tmp_path, monkeypatch):
    """A pipe or a socket may come into an image's place after the folder was listed."""
    monkeypatch.chdir(tmp_path)  # a socket's name must be short
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        reasons = {"pipe": "not a regular file", "socket": "no access: no such device or address"}
        for name, reason in reasons.items():
            with pytest.raises(UnreadableImageError) as error:
                read_image(name)
            assert error.value.reason == reason
    with pytest.raises(UnreadableImageError, match="not a regular file"):
        read_image("/dev/zero")


def test_quick_look_finds_what_a_full_decode_finds():
    """The scan reconstructs an eighth of a JPEG; 300 seeded cuts and flips must get the verdict of the whole."""
    random = np.random.default_rng(0)
    noise = Image.fromarray(random.integers(0, 256, (96, 120, 3), dtype=np.uint8)).resize((240, 200))
    whole = encode(noise, "JPEG").getvalue()
    verdicts = []
    for case in range(300):
        broken = bytearray(whole)
        if case % 2:
            broken = broken[: random.integers(1, len(broken))]
        else:
            for position in random.integers(0, len(broken) if case % 4 else 700, 5):
                broken[position] = random.integers(256)
        pair = []
        for shorter_side in (None, 1):
            try:
                read_image(io.BytesIO(bytes(broken)), shorter_side=shorter_side)
                pair.append(True)
            except UnreadableImageError:
                pair.append(False)
        verdicts.append(tuple(pair))
    assert {(True, True), (False, False)} == set(verdicts)
