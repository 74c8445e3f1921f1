"""A small file that would cost much is refused at once; a large picture is read, however it is built."""

import io
import time
import weakref
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageFile

from src.data.images import UnreadableImageError, read_image
from tests.data import bombs

SCANS = (7000, 7000)
EXIF = b"Exif\0\0" + b"A" * 200
MANY = 5000


def jpeg_in_tiff(size: tuple[int, int], jpeg: bytes) -> bytes:
    return bombs.strips(size, {259: (3, [7]), 262: (3, [6]), 530: (3, [1, 1])}, jpeg, rows=size[1])


def renamed(avif: bytes) -> bytes:
    """The same, with another size in its header."""
    place = avif.index(b"ispe") + 8
    return avif[:place] + (11_000).to_bytes(4) * 2 + avif[place + 8 :]


def styled(hiding: bytes) -> bytes:
    """A costly JPEG 2000 with something before its style of coding."""
    code = bombs.codestream((8000, 8000), (8000, 8000), block=0)
    return code.replace(b"\xff\x52", hiding + b"\xff\x52", 1)


NOISE = Image.fromarray(np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8))

BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "one huge tile": (lambda: bombs.tile(15_000), "tiles of 15,000 × 15,000"),
    "… big-endian": (lambda: bombs.tile(15_000, order=">"), "tiles of"),
    "… in a BigTIFF": (lambda: bombs.tile(15_000, big=True), "tiles of"),
    "… in numbers that Pillow passes over": (lambda: bombs.tile(15_000, kind=17), "unusual TIFF"),
    "… as large as memory allows": (lambda: bombs.tile(9_000), "tiles of"),
    "thin picture in large tiles": (
        lambda: bombs.tiff(
            (1, 4096 * 500),
            {259: (3, [8]), 322: (4, [4096]), 323: (4, [4096]), 324: (4, [0] * 500), 325: (4, [9] * 500)},
            b"",
        ),
        "tiles of",
    ),
    "a million tiles": (
        lambda: bombs.tiff((1000, 1000), {322: (4, [1]), 323: (4, [1]), 324: (3, [8] * 300_000)}, b""),
        "300,000 tiles",
    ),
    "a tag of many numbers": (lambda: bombs.strips((8, 8), {50_714: (4, [1] * 110_000)}, b"", 8), "110,000 values"),
    "a tag of many numbers below EXIF": (
        lambda: bombs.strips(
            (8, 8),
            {34_665: (4, lambda place: [place])},
            b"\1\0" + b"\x7c\x92\5\0" + (10**6).to_bytes(4, "little") + bytes(8),
            8,
        ),
        "tag 34665",
    ),
    "JPEG higher than its strip": (
        lambda: jpeg_in_tiff((6000, 16), bombs.encoded(Image.new("RGB", (6000, 6000)), "JPEG")),
        "larger than its tile",
    ),
    "progressive JPEG in a TIFF": (
        lambda: jpeg_in_tiff((8000, 8000), bombs.encoded(Image.new("RGB", (8000, 8000)), "JPEG", progressive=True)),
        "progressive tiles",
    ),
    "tiles that share a JPEG of many segments": (lambda: bombs.chained(200_000, 9000), "1,000,000 segments"),
    "progressive scans": (lambda: bombs.scans(SCANS, MANY), "5,010 scans"),
    "sequential scans": (lambda: bombs.scans(SCANS, MANY, progressive=False), "scans"),
    "scans behind filling": (lambda: bombs.scans(SCANS, MANY, filling=b"\xff\xff\0"), "not an image|scans"),
    "scans behind filled markers": (lambda: bombs.scans(SCANS, MANY, filling=b"\xff\xff"), "5,010 scans"),
    "scans of one row": (lambda: bombs.scans((65_500, 1), 80_000), "80,010 scans"),
    "scans of one column": (lambda: bombs.scans((1, 65_500), 80_000), "80,010 scans"),
    "EXIF in pieces": (lambda: bombs.segments(0xE1, EXIF, 1000), "1,000 pieces of EXIF"),
    "segments": (lambda: bombs.segments(0xFE, b"", 20_000), "10,000 segments"),
    "filling": (lambda: b"\xff\xd8" + b"\xff" * 10**5 + bombs.segments(0xFE, b"", 1)[2:], "filling"),
    "profiles": (lambda: bombs.png(bombs.chunk(b"iCCP", b"a\0\0" + bombs.zeros(10**6)) * 200), "200 texts"),
    "nameless texts at the end": (
        lambda: bombs.png(late=bombs.chunk(b"zTXt", b"\0\0" + zlib.compress(b"a")) * 200),
        "200 texts",
    ),
    "chunks": (lambda: bombs.png(bombs.chunk(b"zzZz", b"") * 300_000), "250,000 chunks"),
    "comments in a plain PGM": (lambda: b"P2\n8 8\n255\n" + b"#\n" * 20_000 + b"1 " * 64, "20,000 comments"),
    "a long comment": (lambda: b"P5\n#" + b"x" * 10**6 + b"\n8 8\n255\n" + bytes(64), "long header"),
    "run lengths": (lambda: bombs.bitmap(170_000_000, 1, b"\1\5\0\0"), "run-length"),
    "icon of a large PNG": (lambda: bombs.icon(bombs.large_png(5000, 5000)), "icon of 5,000 × 5,000"),
    "icon with a second header": (
        lambda: bombs.icon(bombs.png(bombs.large_png(5000, 5000)[8:33])),
        "unusual icon",
    ),
    "icon of many": (lambda: b"\0\0\1\0\xff\xff" + bytes(16 * 300), "65,535 icons"),
    "AVIF": (lambda: renamed(bombs.encoded(NOISE, "AVIF")), "100 million pixels"),
    "WebP": (lambda: bombs.encoded(Image.new("L", (9600, 9600)), "WEBP", method=0, quality=1), "90 million pixels"),
    "JPEG 2000 in one tile": (lambda: bombs.codestream((13_000, 13_000), (13_000, 13_000)), "one tile"),
    "JPEG 2000 in many tiles": (lambda: bombs.codestream((6000, 6000), (10, 10)), "360,000 tiles"),
    "JPEG 2000 in small blocks": (lambda: bombs.codestream((8000, 8000), (8000, 8000), block=0), "pieces"),
    "… in a tile's header": (lambda: bombs.codestream((8000, 8000), (8000, 8000), block=0, in_tile=True), "pieces"),
    "JPEG 2000 in small precincts": (lambda: bombs.codestream((8000, 8000), (8000, 8000), precinct=0x11), "pieces"),
    "JPEG 2000 in layers": (
        lambda: bombs.codestream((2000, 2000), (2000, 2000), layers=65_535, precinct=0x66),
        "layers",
    ),
    "JP2 of another size": (
        lambda: bombs.boxed((8, 8), bombs.codestream((60_000, 60_000), (60_000, 60_000))),
        "one tile",
    ),
    "JP2 behind an unknown marker": (
        lambda: bombs.boxed((8, 8), b"\xff\x4f\xff\x30" + bombs.codestream((60_000, 60_000), (60_000, 60_000))[2:]),
        "unusual JPEG 2000",
    ),
    "JPEG 2000 style behind an unknown marker": (
        lambda: styled(b"\xff\x30"),
        "unusual JPEG 2000",
    ),
    "JPEG 2000 style behind many markers": (lambda: styled(b"\xff\x64\0\4\0\0" * 110_000), "pieces"),
    "JPEG 2000 of more markers": (lambda: styled(b"\xff\x64\0\4\0\0" * 510_000), "unusual JPEG 2000"),
    "JP2 of many codestreams": (lambda: bombs.boxed((8, 8), b"jp2c" * 9), "10 codestreams"),
    "JP2 of many components": (
        lambda: bombs.boxed((9, 9), bombs.codestream((9, 9), (9, 9), components=16_384)),
        "16,384 components",
    ),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", BOMBS)
def test_a_costly_file_is_refused_before_a_pixel_is_decoded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, words = BOMBS[name]
    content = make()
    assert len(content) < 4_000_000
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.exit("it was decoded"))
    start = time.process_time()
    with pytest.raises(UnreadableImageError, match=words) as caught:
        read_image(io.BytesIO(content))
    assert time.process_time() - start < 2
    assert len(caught.value.reason) < 90
    assert "\n" not in caught.value.reason


def tiled(side: int, within: int) -> bytes:
    data, number = bombs.zeros(3 * within * within), (-(-side // within)) ** 2
    tags: dict[int, bombs.Value] = {259: (3, [8]), 322: (4, [within]), 323: (4, [within])}
    tags |= {324: (4, lambda place: [place] * number), 325: (4, [len(data)] * number)}
    return bombs.tiff((side, side), tags, data)


def film_behind(jpeg: bytes) -> bytes:
    """As phones append one, in which any bytes may occur."""
    return jpeg + b"\xff\xda" * 100_000


LARGE: dict[str, tuple[Callable[[], bytes], tuple[int, int]]] = {
    "TIFF in tiles": (lambda: tiled(12_000, 256), (12_000, 12_000)),
    "TIFF in one strip": (
        lambda: bombs.strips((10_000, 10_000), {}, bombs.zeros(300_000_000), rows=2**32 - 1),
        (10_000, 10_000),
    ),
    "progressive JPEG": (
        lambda: bombs.encoded(Image.new("RGB", (10_000, 10_000)), "JPEG", progressive=True),
        (1250, 1250),
    ),
    "JPEG 2000 in tiles": (
        lambda: bombs.encoded(Image.new("RGB", (12_000, 8000)), "JPEG2000", tile_size=(1024, 1024)),
        (12_000, 8000),
    ),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", LARGE)
def test_a_large_picture_is_read(name: str) -> None:
    make, size = LARGE[name]
    assert read_image(io.BytesIO(make()), 3, 224).size == size


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_picture_is_turned_without_a_third_copy(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    opened: list[weakref.ref[Image.Image]] = []
    loaded, turn = ImageFile.ImageFile.load, Image.Image.transpose

    def load(image: ImageFile.ImageFile) -> object:
        opened.append(weakref.ref(image))
        return loaded(image)

    def transpose(picture: Image.Image, method: Image.Transpose) -> Image.Image:
        assert mode == "RGB" or opened[0]() is None
        return turn(picture, method)

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    monkeypatch.setattr(Image.Image, "transpose", transpose)
    assert read_image(io.BytesIO(bombs.encoded(NOISE.convert(mode), "PNG", exif=exif))).size == (90, 120)


def exif_of(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[37_500] = b"m" * 50_000  # a maker's note
    return bombs.encoded(image, "TIFF", exif=exif, compression="tiff_lzw")


USUAL: dict[str, Callable[[], bytes]] = {
    "progressive JPEG": lambda: bombs.encoded(NOISE, "JPEG", progressive=True),
    "JPEG with a film behind": lambda: film_behind(bombs.encoded(NOISE, "JPEG")),
    "progressive JPEG with a film behind": lambda: film_behind(bombs.encoded(NOISE, "JPEG", progressive=True)),
    "JPEG with filled markers": lambda: bombs.encoded(NOISE, "JPEG").replace(b"\xff\xdb", b"\xff\xff\xff\xdb"),
    "JPEG with a large profile": lambda: bombs.encoded(NOISE, "JPEG", icc_profile=bytes(10**6)),
    "TIFF in small tiles": lambda: tiled(120, 16),
    "TIFF with one tile that is larger": lambda: bombs.tile(512, pixels=120),
    "TIFF with the planes apart": lambda: bombs.encoded(NOISE, "TIFF", compression="tiff_deflate", tiffinfo={284: 1}),
    "TIFF of JPEGs": lambda: bombs.encoded(NOISE, "TIFF", compression="jpeg"),
    "TIFF with a maker's note": lambda: exif_of(NOISE),
    "BigTIFF": lambda: bombs.encoded(NOISE, "TIFF", big_tiff=True),
    "TIFF of a scanned page": lambda: bombs.encoded(NOISE.convert("1"), "TIFF", compression="group4"),
    "plain PGM": lambda: b"P2 # made by hand\n2 2\n255\n1 2\n3 4\n",
    "icon": lambda: bombs.encoded(NOISE, "ICO", sizes=[(16, 16), (64, 64)]),
    "icon of bitmaps": lambda: bombs.encoded(NOISE, "ICO", sizes=[(16, 16), (64, 64)], bitmap_format="bmp"),
    "JPEG 2000 in layers": lambda: bombs.encoded(NOISE, "JPEG2000", quality_layers=[40, 20, 10], irreversible=True),
    "JPEG 2000 in precincts": lambda: bombs.encoded(NOISE, "JPEG2000", precinct_size=(64, 64), codeblock_size=(16, 16)),
    "AVIF": lambda: bombs.encoded(NOISE, "AVIF"),
}


@pytest.mark.parametrize("name", USUAL)
def test_a_usual_picture_is_read_as_pillow_reads_it(name: str) -> None:
    content = USUAL[name]()
    with Image.open(io.BytesIO(content)) as image:
        expected = image.convert("RGBA").convert("RGB") if image.mode != "RGBA" else None
    read = read_image(io.BytesIO(content))
    if expected is not None:
        assert np.array_equal(np.asarray(read), np.asarray(expected))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "L", "CMYK", "I;16", "I", "F"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_converted_in_bands_have_the_same_pixels(
    mode: str, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(2)
    image = Image.fromarray(random.integers(0, 256, (70, 50, 4), dtype=np.uint8), "RGBA")
    numbers = {"I;16": np.uint16, "I": np.int32, "F": np.float32}
    if mode in numbers:
        image = Image.fromarray(random.integers(0, 60_000, (70, 50)).astype(numbers[mode]))
    else:
        image = image.convert("RGB").quantize(9) if mode == "P" else image.convert(mode)
    content = bombs.encoded(image, "TIFF")
    whole = read_image(io.BytesIO(content), channels)
    monkeypatch.setattr("src.data.pixels.BLOCK", 333)
    monkeypatch.setattr("src.data.depth.PIXELS_AT_ONCE", 333)
    assert np.array_equal(np.asarray(read_image(io.BytesIO(content), channels)), np.asarray(whole))
