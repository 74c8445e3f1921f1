import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.data.images import UPRIGHT, UnreadableImageError, read_image
from src.data.scan import find_defect


def encode(image: Image.Image, format: str = "PNG", **options) -> io.BytesIO:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    buffer.seek(0)
    return buffer


def pixels(source, in_channels: int = 3) -> np.ndarray:
    return np.asarray(read_image(source, in_channels))


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_ends_upright(orientation, format):
    upright = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3) * 3
    # what a camera stores is the inverse of what makes it upright; a quarter turn is the only one that isn't its own
    inverse = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    stored = Image.fromarray(upright)
    if orientation > 1:
        stored = stored.transpose(inverse.get(orientation, UPRIGHT.get(orientation)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if format == "WEBP" else {}
    np.testing.assert_array_equal(pixels(encode(stored, format, exif=exif, **lossless)), upright)


def test_jpeg_from_a_camera_held_sideways():
    left_red = np.zeros((32, 64, 3), dtype=np.uint8)
    left_red[:, :32, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: the left becomes the top
    read = pixels(encode(Image.fromarray(left_red), "JPEG", exif=exif, quality=95))
    assert read.shape == (64, 32, 3)
    assert read[:24, :, 0].min() > 240
    assert read[40:, :, 0].max() < 15


def test_transparent_parts_become_white():
    grey_alpha = Image.fromarray(np.array([[[10, 255], [10, 0]]], dtype=np.uint8), "LA")
    np.testing.assert_array_equal(pixels(encode(grey_alpha)), [[[10] * 3, [255] * 3]])
    half = Image.new("RGBA", (1, 1), (0, 100, 200, 51))  # a fifth of itself, four fifths white
    np.testing.assert_array_equal(pixels(encode(half)), [[[204, 224, 244]]])
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 255, 9, 9, 9])
    palette.putpixel((1, 0), 1)
    np.testing.assert_array_equal(pixels(encode(palette, transparency=1)), [[[0, 0, 255], [255] * 3]])
    np.testing.assert_array_equal(pixels(encode(palette)), [[[0, 0, 255], [9, 9, 9]]])


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_16_bits_are_scaled_not_cut(format):
    values = np.array([[0, 128, 129, 257, 32768, 65535]], dtype=np.uint16)
    read = pixels(encode(Image.fromarray(values), format), in_channels=1)
    np.testing.assert_array_equal(read, [[0, 0, 1, 1, 128, 255]])


def test_32_bits_and_floats():
    whole = Image.fromarray(np.array([[0, 1 << 20, 1 << 21]], dtype=np.int32))
    np.testing.assert_array_equal(pixels(encode(whole, "TIFF"), 1), [[0, 128, 255]])
    for values, expected in [([0.0, 0.5, 1.0], [0, 128, 255]), ([0.0, 7.0, 255.0], [0, 7, 255]), ([-1.0, 0, 1], None)]:
        image = Image.fromarray(np.array([values], dtype=np.float32))
        np.testing.assert_array_equal(pixels(encode(image, "TIFF"), 1), [expected or [0, 128, 255]])
    flat = Image.fromarray(np.full((2, 2), 1e9, dtype=np.float32))
    assert pixels(encode(flat, "TIFF")).shape == (2, 2, 3)


def test_cmyk_bits_and_grey():
    red = encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    assert np.abs(pixels(red).astype(int) - [255, 0, 0]).max() <= 3
    bits = Image.fromarray(np.array([[True, False]]))
    np.testing.assert_array_equal(pixels(encode(bits), 1), [[255, 0]])
    np.testing.assert_array_equal(pixels(encode(Image.new("L", (1, 1), 77))), [[[77] * 3]])
    assert pixels(encode(Image.new("RGB", (1, 1), (255, 0, 0))), 1).tolist() == [[76]]


def test_first_frame_of_an_animation():
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    animation = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert pixels(animation)[0, 0].tolist() == [255, 0, 0]


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
        "vector.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        "whole.jpg": (jpeg, None),
    }
    for name, (content, reason) in written.items():
        (tmp_path / name).write_bytes(content)
        assert find_defect(tmp_path / name) == reason, name
    assert find_defect(tmp_path / "nowhere.jpg") == "missing"
    monkeypatch.setattr("src.data.images.MAX_PIXELS", 1000)
    assert "too large" in str(find_defect(tmp_path / "whole.jpg"))


def test_error_names_the_file_in_one_line(tmp_path: Path):
    (tmp_path / "x.jpg").write_bytes(b"")
    with pytest.raises(UnreadableImageError, match=r"x\.jpg.*empty file") as caught:
        read_image(tmp_path / "x.jpg")
    assert "\n" not in str(caught.value)
    with pytest.raises(UnreadableImageError, match="empty file"):
        read_image(io.BytesIO())


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
