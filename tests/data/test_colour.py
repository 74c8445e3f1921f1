"""Colours with a profile become those of sRGB; without one, or with sRGB's own, nothing changes."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from src.data.images import read_image

RED, RED_IN_P3 = (220, 60, 40), (203, 73, 52)

# https://www.color.org/chardata/rgb/DisplayP3.xalter: primaries and white of D65, the curve of sRGB
PRIMARIES_OF_P3 = [(0.680, 0.320), (0.265, 0.690), (0.150, 0.060)]
WHITE = (0.3127, 0.3290)
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
D50 = np.array([0.9642, 1.0, 0.8249])


def xyz(x: float, y: float) -> np.ndarray:
    return np.array([x / y, 1, (1 - x - y) / y])


def fixed(value: float) -> bytes:
    return round(value * 65536).to_bytes(4, "big", signed=True)


def matrix_profile(primaries: list[tuple[float, float]]) -> bytes:
    """A profile of ICC version 2: three primaries, adapted to D50, and sRGB's curve."""
    columns = np.stack([xyz(*point) for point in primaries], 1)
    columns = columns * np.linalg.solve(columns, xyz(*WHITE))
    adapt = np.linalg.inv(BRADFORD) @ np.diag((BRADFORD @ D50) / (BRADFORD @ xyz(*WHITE))) @ BRADFORD
    places = np.linspace(0, 1, 1024)
    curve = np.where(places <= 0.04045, places / 12.92, ((places + 0.055) / 1.055) ** 2.4)
    tone = b"curv" + bytes(4) + (1024).to_bytes(4, "big") + (curve * 65535).round().astype(">u2").tobytes()
    points = [b"XYZ " + bytes(4) + b"".join(map(fixed, column)) for column in (adapt @ columns).T]
    name = b"desc" + bytes(4) + (3).to_bytes(4, "big") + b"P3\0" + bytes(78)
    white = b"XYZ " + bytes(4) + b"".join(map(fixed, D50))
    tags = [(b"desc", name), (b"wtpt", white), *zip((b"rXYZ", b"gXYZ", b"bXYZ"), points, strict=True)]
    tags += [(curve, tone) for curve in (b"rTRC", b"gTRC", b"bTRC")]
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for key, content in tags:
        content += bytes(-len(content) % 4)
        table += key + (start + len(body)).to_bytes(4, "big") + len(content).to_bytes(4, "big")
        body += content
    size = (start + len(body)).to_bytes(4, "big")
    head = size + bytes(4) + bytes([2, 0x40, 0, 0]) + b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28)
    head += b"".join(map(fixed, D50)) + bytes(48)
    return head + len(tags).to_bytes(4, "big") + table + body


P3 = matrix_profile(PRIMARIES_OF_P3)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def written(picture: Image.Image, profile: bytes | None, format: str = "PNG", **options) -> io.BytesIO:
    file = io.BytesIO()
    picture.save(file, format, icc_profile=profile, **options)
    return file


def seen(file: io.BytesIO, channels: int = 3, **options) -> np.ndarray:
    file.seek(0)
    return np.asarray(read_image(file, channels, **options)).astype(int)


@pytest.mark.parametrize(
    ("format", "options"),
    [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True}), ("JPEG", {"quality": 100, "subsampling": 0})],
)
def test_one_red_in_two_spaces(format, options):
    plain = seen(written(Image.new("RGB", (16, 16), RED), None, format, **options))
    wide = seen(written(Image.new("RGB", (16, 16), RED_IN_P3), P3, format, **options))
    assert np.abs(plain - RED).max() <= 1
    assert np.abs(wide - RED).max() <= 2
    stored = seen(written(Image.new("RGB", (16, 16), RED_IN_P3), P3, format, **options), color="stored")
    assert np.abs(stored - RED_IN_P3).max() <= 1


def test_other_modes_follow_their_profile():
    red = Image.new("RGB", (4, 4), RED_IN_P3)
    for picture in (red.quantize(4), Image.new("RGBA", (4, 4), (*RED_IN_P3, 255))):
        assert np.abs(seen(written(picture, P3)) - RED).max() <= 2
    assert np.abs(seen(written(red, P3), 1) - np.asarray(Image.new("RGB", (4, 4), RED).convert("L"))).max() <= 2


def test_sixteen_bits_follow_it_too():
    tifffile = pytest.importorskip("tifffile")
    file = io.BytesIO()
    values = np.full((4, 4, 3), RED_IN_P3, np.uint16) * 257
    tifffile.imwrite(file, values, photometric="rgb", iccprofile=P3)
    assert np.abs(seen(file) - RED).max() <= 2


@pytest.mark.parametrize("profile", [SRGB, b"", b"no profile", P3[:200]])
def test_srgb_and_broken_profiles_change_no_bit(profile):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    np.testing.assert_array_equal(seen(written(Image.fromarray(noise), profile)), noise)
    grey = written(Image.fromarray(noise[..., 0]), P3)  # of another space than the picture
    np.testing.assert_array_equal(seen(grey, 1), noise[..., 0])
