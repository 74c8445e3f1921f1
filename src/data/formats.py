"""The table of formats that Pillow alone doesn't read: by their first bytes, their names and what to do.

A row says what reads a format where that is installed, and what to tell a person otherwise: "not an image" would be
untrue, and no way out.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import BinaryIO, NamedTuple

from PIL import Image

START = 4096
"""Bytes of a file that are looked at."""

USUAL = (b"\xff\xd8\xff", b"\x89PNG", b"BM", b"GIF8")

RAW = "save it as TIFF or JPEG in the camera's software, or with rawpy or darktable"
FRAMES = "take pictures from it, as with ffmpeg -i FILE frame_%04d.png"


class Format(NamedTuple):
    """A format that Pillow alone doesn't read.

    Attributes:
        name: as people call it.
        starts: whether a file begins like one, by its first bytes.
        remedy: what to do with it, in a few words.
        package: what reads it; None: nothing here does.
        plugin: Pillow's name of the format, which the package adds to it; None: a file of `readers` does.
    """

    name: str
    starts: Callable[[bytes], object]
    remedy: str
    package: str | None = None
    plugin: str | None = None

    @property
    def is_installed(self) -> bool:
        return self.package is not None and find_spec(self.package) is not None

    def __str__(self) -> str:
        return f"{self.name}: {self.remedy}"


def _begins(*words: bytes) -> Callable[[bytes], object]:
    return lambda start: start.startswith(words)


def _brand(*brands: bytes) -> Callable[[bytes], object]:
    """Of the container of ISO/IEC 14496-12, which says in its first box what is inside."""
    return lambda start: start[4:8] == b"ftyp" and start[8:12].startswith(brands)


def _is_heif(start: bytes) -> bool:
    length = int.from_bytes(start[:4])
    brands = {start[8:12], *(start[place : place + 4] for place in range(16, min(length, 200), 4))}
    known = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
    return start[4:8] == b"ftyp" and bool(brands & known) and not brands & {b"avif", b"avis"}


def _is_svg(start: bytes) -> bool:
    return start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<svg", b"<?xml", b"<!")) and b"<svg" in start


MOVIES = (b"iso", b"mp4", b"mp7", b"avc1", b"qt  ", b"M4V", b"3g", b"dash", b"MSNV")
JPEG_XL = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")

FORMATS = (
    Format("HEIC", _is_heif, "pip install 'reslens[heif]'", "pillow_heif", "HEIF"),
    Format("JPEG XL", _begins(*JPEG_XL), "pip install 'reslens[jxl]'", "pillow_jxl", "JXL"),
    Format("DICOM", lambda start: start[128:132] == b"DICM", "pip install 'reslens[dicom]'", "pydicom"),
    Format("camera raw (CR2)", lambda start: start[8:10] == b"CR" and start[:2] in (b"II", b"MM"), RAW),
    Format("camera raw (CR3)", _brand(b"crx "), RAW),
    Format("camera raw (RAF)", _begins(b"FUJIFILMCCD-RAW"), RAW),
    Format("camera raw (ORF)", _begins(b"IIRO", b"IIRS", b"MMOR"), RAW),
    Format("camera raw (RW2)", _begins(b"IIU\0"), RAW),
    Format("camera raw (X3F)", _begins(b"FOVb"), RAW),
    Format("camera raw (MRW)", _begins(b"\0MRM"), RAW),
    Format("video (MP4, MOV)", _brand(*MOVIES), FRAMES),
    Format("video (MOV)", lambda start: start[4:8] in (b"moov", b"mdat", b"wide"), FRAMES),
    Format("video (AVI)", lambda start: start[:4] == b"RIFF" and start[8:12] == b"AVI ", FRAMES),
    Format("video (Matroska, WebM)", _begins(b"\x1a\x45\xdf\xa3"), FRAMES),
    Format("video (MPEG)", _begins(b"\0\0\x01\xba", b"\0\0\x01\xb3"), FRAMES),
    Format("video (WMV)", _begins(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"), FRAMES),
    Format("video (FLV)", _begins(b"FLV\x01"), FRAMES),
    Format("video (Ogg)", _begins(b"OggS"), FRAMES),
    Format("SVG", _is_svg, "draw it as PNG, as with rsvg-convert or Inkscape"),
    Format("PDF", _begins(b"%PDF-"), "draw its pages as PNG, as with pdftoppm -png"),
    Format("PostScript", _begins(b"%!PS", b"\xc5\xd0\xd3\xc6"), "draw it as PNG, as with Ghostscript"),
    Format("Photoshop (PSD)", _begins(b"8BPS"), "save it as PNG or TIFF"),
    Format("GIMP (XCF)", _begins(b"gimp xcf"), "save it as PNG or TIFF"),
    Format("OpenEXR", _begins(b"v/1\x01"), "save it as a float TIFF"),
    Format("Radiance HDR", _begins(b"#?RADIANCE", b"#?RGBE"), "save it as a float TIFF"),
    Format("DDS", _begins(b"DDS "), "save it as PNG"),
    Format("DjVu", _begins(b"AT&TFORM"), "save its pages as PNG or TIFF"),
    Format("JPEG XR", _begins(b"II\xbc"), "save it as PNG or TIFF"),
    Format("FITS", _begins(b"SIMPLE  ="), "save it as a float TIFF"),
    Format("HDF5", _begins(b"\x89HDF\r\n\x1a\n"), "save its pictures as TIFF"),
    Format("NumPy", _begins(b"\x93NUMPY"), "save its pictures as PNG or TIFF"),
    Format("NIfTI", lambda start: start[344:348] in (b"n+1\0", b"ni1\0"), "save its slices as PNG or TIFF"),
)  # fmt: skip


def recognise(file: BinaryIO) -> Format | None:
    """Return the row of the table that a file belongs to; None for what Pillow reads, and for what nobody knows."""
    file.seek(0)
    start = file.read(START)
    file.seek(0)
    if start.startswith(USUAL):  # nearly all, and to be quick with
        return None
    return next((row for row in FORMATS if row.starts(start)), None)


def plug_in(row: Format) -> str:
    """Let Pillow open a format that another package adds to it; return Pillow's name of it."""
    assert row.package is not None
    assert row.plugin is not None
    if row.plugin not in Image.OPEN:
        package = import_module(row.package)
        if row.plugin == "HEIF":
            package.register_heif_opener()
        else:  # it would start a thread a core in each of our processes
            vars(import_module(f"{row.package}.JpegXLImagePlugin"))["DECODE_THREADS"] = 0
    return row.plugin
