"""Values of more than 8 bits: their range, how many levels are left of them, and how they are laid out."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile

from src.data.depth import Extent, choose_limits, tell
from src.data.images import look_at, read_image
from tests.data.mutations import chunk

RAMP = np.tile(np.linspace(0, 1, 256), (8, 1))


def png(samples: np.ndarray, colour: int, *extra: bytes) -> io.BytesIO:
    """16 bits a sample, uint16 (H, W, C); `colour` as in the PNG standard: 0 grey, 2 RGB, 4 and 6 with alpha."""
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    chunks = chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def tiff(samples: np.ndarray, photometric: str = "minisblack", **options) -> io.BytesIO:
    """Samples (H, W, C) of any type, in one strip."""
    file = io.BytesIO()
    tifffile.imwrite(file, samples[..., 0] if samples.shape[2] == 1 else samples, photometric=photometric, **options)
    return file


def levels(file: io.BytesIO, channels: int = 1, **options) -> np.ndarray:
    file.seek(0)
    return np.asarray(read_image(file, channels, **options))


def ramp(bits: int, channels: int = 1) -> np.ndarray:
    return np.repeat((RAMP * (2**bits - 1)).round().astype(np.uint16)[..., None], channels, axis=2)


EXPECTED = (RAMP * 255).round().astype(np.uint8)


MAKERS = {
    "png": lambda x: png(x, 0),
    "png grey and alpha": lambda x: png(np.concatenate([x, np.full_like(x, 65535)], 2), 4),
    "png rgb": lambda x: png(x.repeat(3, 2), 2),
    "png rgba": lambda x: png(np.concatenate([x] * 3 + [np.full_like(x, x.max())], 2), 6),
    "tiff": tiff,
    "tiff of Motorola": lambda x: tiff(x, byteorder=">"),
    "tiff rgb": lambda x: tiff(x.repeat(3, 2), "rgb"),
    "tiff rgb of Motorola": lambda x: tiff(x.repeat(3, 2), "rgb", byteorder=">"),
    "tiff rgb lzw": lambda x: tiff(x.repeat(3, 2), "rgb", compression="lzw", predictor=True),
    "tiff rgb deflate of Motorola": lambda x: tiff(x.repeat(3, 2), "rgb", compression="zlib", byteorder=">"),
    "tiff rgb in tiles": lambda x: tiff(x.repeat(3, 2), "rgb", tile=(16, 16)),
    "tiff rgbx": lambda x: tiff(x.repeat(4, 2), "rgb", extrasamples=["unspecified"]),
    "tiff rgba": lambda x: tiff(
        np.concatenate([x] * 3 + [np.full_like(x, 65535)], 2), "rgb", extrasamples=["unassalpha"]
    ),
    "tiff premultiplied": lambda x: tiff(
        np.concatenate([x] * 3 + [np.full_like(x, 65535)], 2), "rgb", extrasamples=["assocalpha"]
    ),
}


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_all_levels_are_left_whatever_bits_are_used(make, bits):
    file = make(ramp(bits))
    assert np.abs(levels(file).astype(int) - EXPECTED).max() <= 1
    assert np.abs(levels(file, 3).astype(int) - EXPECTED[..., None]).max() <= 1
    file.seek(0)
    assert look_at(file).extent == Extent(0, 2**bits - 1, True)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.int32])
def test_signed_and_floats_of_both_orders(order, compression, dtype):
    values = RAMP[..., None].astype(dtype) if dtype is np.float32 else (RAMP * 4000 - 2000)[..., None].astype(dtype)
    assert np.abs(levels(tiff(values, compression=compression, byteorder=order)).astype(int) - EXPECTED).max() <= 1


def test_netpbm_colour():
    for plain in (False, True):
        values = ramp(12, 3)
        head = f"{'P3' if plain else 'P6'} 256 8 65535\n".encode()
        body = " ".join(map(str, values.ravel())).encode() if plain else values.astype(">u2").tobytes()
        np.testing.assert_array_equal(levels(io.BytesIO(head + body), 3)[..., 1], EXPECTED)


def test_a_range_that_is_known_counts_and_not_the_pictures_own():
    file = png(ramp(10), 0)
    assert levels(file, range=(0.0, 4095.0)).max() == round(1023 / 4095 * 255)
    assert levels(file, range=(0.0, 511.0))[0, 200:].min() == 255  # clipped, not wrapped
    assert levels(file, range=(512.0, 1023.0))[0, :128].max() == 0


def test_white_is_zero_in_every_depth():
    for values in (ramp(16), ramp(12), RAMP[..., None].astype(np.float32)):
        assert np.abs(levels(tiff(values, "miniswhite")).astype(int) - EXPECTED[:, ::-1]).max() <= 1


def test_transparency_of_16_bits_is_white():
    half = np.concatenate([ramp(16), np.full_like(ramp(16), 32768)], 2)
    assert np.abs(levels(png(half, 4)).astype(int) - (EXPECTED / 2 + 127.5)).max() <= 1
    key = chunk(b"tRNS", struct.pack(">H", 0))
    seen = levels(png(ramp(16), 0, key))
    assert seen[0, 0] == 255  # and not black, which it stands for
    assert (seen[:, 1:] == EXPECTED[:, 1:]).all()
    keyed = chunk(b"tRNS", struct.pack(">HHH", 0x0100, 0x0100, 0x0100))
    values = np.array([[[0x0100] * 3, [0x0101] * 3, [0xFFFF] * 3]], np.uint16)  # the same upper bytes
    assert levels(png(values, 2, keyed), 3)[0, :, 0].tolist() == [255, 1, 255]


def test_signed_values_and_floats_have_the_range_that_is_given():
    signed = tiff((RAMP * 2000 - 1000)[..., None].round().astype(np.int16))
    signed.seek(0)
    assert look_at(signed).extent == Extent(-1000, 1000, True)
    wide = levels(signed, range=(-1000.0, 3000.0))
    assert (wide.min(), wide.max()) == (0, 128)
    floats = tiff((RAMP * 1e-3)[..., None].astype(np.float32))
    assert levels(floats).max() == 0  # fractions of 1
    assert levels(floats, range=(0.0, 1e-3)).max() == 255
    holes = RAMP[..., None].astype(np.float32)
    holes[0, 0], holes[0, 1], holes[0, 2] = np.nan, np.inf, -np.inf
    assert levels(tiff(holes))[0, :3].tolist() == [0, 255, 0]


@pytest.mark.parametrize(("extents", "limits"), [
    ([], None),
    ([Extent(3, 200, True), Extent(0, 1024, True)], (0, 4095)),
    ([Extent(0, 1023, True)], (0, 1023)),
    ([Extent(0, 65536, True)], (0, 65536)),
    ([Extent(-1, 5, True), Extent(0, 9, True)], (-1, 9)),
    ([Extent(0, 0.2, False)], (0, 1)),
    ([Extent(0, 0.2, False), Extent(0, 80, False)], (0, 255)),
    ([Extent(-5, 5, False)], (-5, 5)),
    ([Extent(7e9, 7e9, False)], (7e9, 7e9 + 1)),
])  # fmt: skip
def test_limits_of_pictures_together(extents, limits):
    assert choose_limits(extents) == limits


def test_told():
    assert tell((0.0, 4095.0)) == "0…4095 (12 bits)"
    assert tell((-1000.0, 2000.5)) == "-1000…2000.5"


def test_the_earlier_way_stays():
    """Checkpoints from before there was a choice see what they were trained on."""
    assert levels(png(ramp(12), 0), range="earlier").max() == 16
    assert levels(png(ramp(12, 3), 2), 3, range="earlier").max() == 15
    assert levels(tiff(ramp(16), "miniswhite"), range="earlier")[0, -1] == 255
