"""Formats beside Pillow's: read where something that reads them is installed, and named with a remedy otherwise."""

import io
import struct
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

from src.data import formats
from src.data.images import look_at, read_image
from src.data.refusal import UnreadableImageError

RAMP = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
COLOUR = np.stack([RAMP, RAMP[:, ::-1], np.full_like(RAMP, 90)], -1)


def box(brand: bytes) -> bytes:
    return b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(300)


def tiff_with(*tags: tuple[int, int, int, int]) -> bytes:
    return (
        b"II*\0\x08\0\0\0"
        + struct.pack("<H", len(tags))
        + b"".join(struct.pack("<HHII", *tag) for tag in tags)
        + bytes(64)
    )


NAMED = {
    "SVG": b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- drawn --><svg xmlns="x"/>',
    "PDF": b"%PDF-1.7\n",
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "Photoshop": b"8BPS" + bytes(40),
    "OpenEXR": b"v/1\x01" + bytes(40),
    "camera raw (CR2)": b"II*\0\x10\0\0\0CR\x02\0" + bytes(40),
    "camera raw (CR3)": b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom",
    "camera raw (RAF)": b"FUJIFILMCCD-RAW 0201",
    "camera raw (ORF)": b"IIRO\x08\0\0\0" + bytes(40),
    "camera raw (RW2)": b"IIU\0\x18\0\0\0" + bytes(40),
    "camera raw (DNG": tiff_with((254, 4, 1, 1), (50706, 1, 4, 0x00000401)),
    "camera raw (DNG, NEF": tiff_with((254, 4, 1, 1), (330, 4, 1, 500)),
    "video (MP4": b"\0\0\0\x20ftypisom" + bytes(40),
    "video (MP4, MOV": b"\0\0\0\x14ftypqt  " + bytes(40),
    "video (AVI)": b"RIFF\0\0\0\0AVI LIST",
    "video (Matroska": b"\x1a\x45\xdf\xa3" + bytes(40),
    "NIfTI": bytes(344) + b"n+1\0",
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(40),
}


def reason(content: bytes) -> str:
    with pytest.raises(UnreadableImageError) as error:
        read_image(io.BytesIO(content))
    return error.value.reason


@pytest.mark.parametrize("name", NAMED)
def test_what_nothing_here_reads_is_named_with_a_remedy(name):
    said = reason(NAMED[name])
    assert said.startswith(name)
    assert "save" in said or "draw" in said or "take pictures" in said


@pytest.mark.parametrize(
    ("name", "extra", "content"),
    [
        ("HEIC", "heif", box(b"heic")),
        ("JPEG XL", "jxl", b"\xff\x0a" + bytes(20)),
        ("DICOM", "dicom", bytes(128) + b"DICM"),
    ],
)
def test_what_is_not_installed_is_named(name, extra, content, monkeypatch):
    monkeypatch.setattr(formats, "find_spec", lambda _: None)
    assert reason(content) == f"{name}: pip install 'reslens[{extra}]'"


def test_what_is_no_picture_stays_none():
    assert reason(b"hello") == "not an image"
    assert reason(b"<html><body>svg</body></html>") == "not an image"


@pytest.mark.parametrize("content", [box(b"heic"), b"\xff\x0a\xff\xff" + bytes(50), bytes(128) + b"DICM" + bytes(100)])
def test_damaged_ones_have_a_name(content):
    said = reason(content)
    assert said != "not an image"
    assert "\n" not in said


def test_heif():
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(COLOUR)).save(file, quality=100)
    file.seek(0)
    assert np.abs(np.asarray(read_image(file)).astype(int) - COLOUR).mean() < 3
    file.seek(0)
    assert look_at(file)[:2] == ("HEIF", "RGB")


def test_jpeg_xl_and_one_that_is_too_large(monkeypatch):
    pytest.importorskip("pillow_jxl")
    file = io.BytesIO()
    Image.fromarray(COLOUR).save(file, "JXL", lossless=True)
    file.seek(0)
    np.testing.assert_array_equal(np.asarray(read_image(file)), COLOUR)
    monkeypatch.setattr("src.data.images.MAX_PIXELS", 48 * 64 - 1)
    monkeypatch.setattr("PIL.Image.open", lambda *_, **__: pytest.fail("opened, which decodes it"))
    assert reason(file.getvalue()).startswith("too large")


# DICOM ----------------------------------------------------------------------------------------------------------------


def dicom(pixels: np.ndarray, kind: str = "MONOCHROME2", **tags) -> io.BytesIO:
    pydicom = pytest.importorskip("pydicom")
    from pydicom.uid import ExplicitVRLittleEndian

    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    data.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    data.Rows, data.Columns = pixels.shape[:2]
    data.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    if pixels.ndim == 3:
        data.PlanarConfiguration = 0
    data.PhotometricInterpretation = kind
    data.BitsAllocated = data.BitsStored = pixels.itemsize * 8
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(pixels.dtype.kind == "i")
    for name, value in tags.items():
        setattr(data, name, value)
    data.PixelData = pixels.tobytes()
    file = io.BytesIO()
    data.save_as(file, enforce_file_format=True)
    file.seek(0)
    return file


HOUNSFIELD = np.tile(np.linspace(0, 4000, 256).astype(np.int16), (8, 1))  # stored; 1024 is water


def test_dicom_has_the_window_that_it_asks_for():
    file = dicom(HOUNSFIELD, RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=40, WindowWidth=400)
    seen = np.asarray(read_image(file, 1)).astype(int)
    values = HOUNSFIELD.astype(float) - 1024
    expected = ((values - 39.5) / 399 + 0.5).clip(0, 1) * 255  # PS3.3, C.11.2.1.2.1
    assert np.abs(seen - expected).max() <= 1
    file.seek(0)
    assert look_at(file).extent is None
    file.seek(0)
    bone = np.asarray(read_image(file, 1, range=(-1024.0, 2976.0)))  # what was asked for goes before
    assert np.abs(bone - np.tile(np.linspace(0, 255, 256), (8, 1))).max() <= 1


def test_dicom_without_a_window_has_the_range_of_its_units():
    file = dicom(HOUNSFIELD, RescaleSlope=2, RescaleIntercept=-1000)
    assert look_at(file).extent == (-1000, 7000, True)


def test_dicom_in_other_ways():
    twelve = np.tile(np.linspace(0, 4095, 256).astype(np.uint16), (8, 1))
    expected = np.linspace(0, 255, 256)
    assert np.abs(np.asarray(read_image(dicom(twelve), 1))[0] - expected).max() <= 1
    assert np.abs(np.asarray(read_image(dicom(twelve, "MONOCHROME1"), 1))[0] - expected[::-1]).max() <= 1
    np.testing.assert_array_equal(np.asarray(read_image(dicom(COLOUR, "RGB"))), COLOUR)


# TIFF -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_any_number_of_bands(planar, compression, dtype):
    values = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (20, 30, 5)).astype(dtype)
    values[0, 0, 4] = np.iinfo(dtype).max
    file = io.BytesIO()
    stored = values if planar == "contig" else values.transpose(2, 0, 1)
    tifffile.imwrite(file, stored, photometric="minisblack", planarconfig=planar, compression=compression)
    file.seek(0)
    picture = read_image(file, 5)
    read = np.stack([np.asarray(band) for band in picture.bands], -1)
    np.testing.assert_array_equal(read, np.rint(values * (255.0 / np.iinfo(dtype).max)))
    for channels, said in ((3, "5 bands, and the network takes 3"), (4, "5 bands, and the network takes 4")):
        with pytest.raises(UnreadableImageError) as error:
            read_image(file, channels)
        assert error.value.reason == said


def test_a_fourth_band_that_pillow_would_drop():
    values = np.random.default_rng(0).integers(0, 4096, (20, 30, 4)).astype(np.uint16)
    values[0, 0, 3] = 4095
    file = io.BytesIO()
    tifffile.imwrite(file, values, photometric="rgb", extrasamples=["unspecified"])
    picture = read_image(file, 4)
    np.testing.assert_array_equal(np.asarray(picture.bands[3]), np.rint(values[..., 3] * (255 / 4095)))
    assert look_at(file).bands == 4


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint16])
def test_colour_of_floats_and_planes(planar, dtype):
    values = (COLOUR / 255).astype(dtype) if dtype is not np.uint16 else COLOUR.astype(np.uint16) * 257
    file = io.BytesIO()
    stored = values if planar == "contig" else np.ascontiguousarray(values.transpose(2, 0, 1))
    tifffile.imwrite(file, stored, photometric="rgb", planarconfig=planar)
    assert np.abs(np.asarray(read_image(file)).astype(int) - COLOUR).max() <= 1


def test_bands_of_usual_pictures_are_taken_as_they_are():
    rgba = np.random.default_rng(0).integers(0, 256, (20, 30, 4), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(rgba).save(file, "PNG")
    np.testing.assert_array_equal(np.stack([np.asarray(band) for band in read_image(file, 4).bands], -1), rgba)


def test_without_the_packages_a_remedy(monkeypatch):
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((8, 8, 5), np.uint8), photometric="minisblack", planarconfig="contig")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    assert reason(file.getvalue()).endswith("pip install 'reslens[tiff]'")


def test_a_bomb_of_bands_is_refused_before_it_is_decoded(monkeypatch):
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((8, 8, 5), np.uint8), photometric="minisblack", planarconfig="contig")
    content = file.getvalue()
    for tag in (256, 257):
        entry = struct.pack("<HHI", tag, 4, 1)
        assert entry in content
        content = content.replace(entry + struct.pack("<I", 8), entry + struct.pack("<I", 60000))
    monkeypatch.setattr(tifffile.TiffFile, "__init__", lambda *_, **__: pytest.fail("opened"))
    assert reason(content).startswith("too large")
