"""Pictures of more than 8 bits a sample: their values, and how a range of them becomes 0…255.

Files say how wide a sample is stored, not how much of it is used: cameras, microscopes and X-ray detectors put 10, 12
or 14 bits into 16. So the range is asked of the values themselves, if possible of a whole data set.

NumPy and Pillow are all it needs: `src.exporting` puts it into the example beside each network.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageFile

from .colour import Finish, plain

DEPTHS = (8, 10, 12, 14, 16)
"""Bits that sensors and scanners use of a sample of 16."""

Limits = tuple[float, float]
"""The values that become 0 and 255. What lies outside becomes the nearer of the two."""

PIXELS_AT_ONCE = 2**20

# Pillow keeps the upper byte of each sample of several. Told that the bytes come in the other order it keeps the lower
# one, so that two readings make a whole.
OTHER_BYTE = {";16B": ";16L", ";16L": ";16B", ";16N": ";16B" if sys.byteorder == "little" else ";16L"}
# What libtiff has unpacked is in this machine's order, whatever the file's; Pillow knows that of whole 16 bits alone.
NATIVE = {"F;32BF": "F;32NF", "F;64BF": "F;64NF", "I;16BS": "I;16NS", "I;32B": "I;32N", "I;32BS": "I;32NS"}
PHOTOMETRIC = 262  # a tag of TIFF


class Extent(NamedTuple):
    """The least and the largest value of a picture, and whether its values are whole numbers."""

    low: float
    high: float
    whole: bool

    def is_outside(self, limits: Limits) -> bool:
        return self.low < limits[0] or self.high > limits[1]


@dataclass(frozen=True, eq=False)
class Deep:
    """A picture whose samples have more than 8 bits.

    Attributes:
        size: width and height.
        rows: from the first row and that after the last to their samples (rows, width, samples), any type of numbers.
        colours: how many of the samples are colours: 1 (grey), 3 (RGB), 4 (CMYK); an alpha or one of no meaning may
            follow.
        alpha: whether the sample after the colours is transparency.
        premultiplied: whether the colours are multiplied by it already.
        inverted: whether 0 is white.
        key: the colour that stands for nothing.
        own: the range that the file itself says.
        of_bands: whether the colours are bands of no colour.
    """

    size: tuple[int, int]
    rows: Callable[[int, int], np.ndarray]
    colours: int
    alpha: bool = False
    premultiplied: bool = False
    inverted: bool = False
    key: tuple[int, ...] | None = None
    own: Limits | None = None
    of_bands: bool = False

    @property
    def samples(self) -> int:
        return int(self.rows(0, 1).shape[2])

    @property
    def of_bytes(self) -> bool:
        """Whether it has 8 bits a sample after all, and is here because of its bands."""
        return self.rows(0, 1).dtype == np.uint8

    def bands(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the first row of each band of rows, and its samples."""
        height = max(1, PIXELS_AT_ONCE // self.size[0])
        for top in range(0, self.size[1], height):
            yield top, self.rows(top, min(top + height, self.size[1]))


# From a file ----------------------------------------------------------------------------------------------------------


def find_deep(image: ImageFile.ImageFile, file: BinaryIO) -> Deep | None:
    """Return the samples of a picture that Pillow has opened, and not loaded, from `file`; None for one of 8 bits."""
    if image.mode.startswith(("I", "F")):
        key = image.info.get("transparency")
        if image.tile and image.tile[0].codec_name == "libtiff" and (raw := _raw(image)) in NATIVE:
            _reread(image, image.mode, NATIVE[raw])
        image.load()
        inverted = _tag(image, PHOTOMETRIC) == 0
        return Deep(image.size, _rows_of(image), 1, inverted=inverted, key=(key,) if isinstance(key, int) else None)
    if not image.tile:
        return None
    codec, _, _, args = image.tile[0]
    raw = _raw(image)
    if codec in ("ppm", "ppm_plain") and image.mode == "RGB" and isinstance(args, tuple) and args[-1] > 255:
        return _of_netpbm(image)
    if raw[-4:] not in OTHER_BYTE:
        return None
    return _of_grey_and_alpha(image) if raw.startswith("LA") else _of_two_readings(image, file, raw)


def _raw(image: ImageFile.ImageFile) -> str:
    """Return how Pillow calls the way in which the samples are stored."""
    args = image.tile[0].args
    return args if isinstance(args, str) else str(args[0]) if args else ""


def _of_netpbm(image: ImageFile.ImageFile) -> Deep:
    """Let Pillow read the three samples of a pixel as three pixels of grey, which it keeps whole."""
    width, height = image.size
    codec, _, offset, args = image.tile[0]
    image._mode, image._size = "I", (3 * width, height)
    image.tile = [ImageFile._Tile(codec, (0, 0, *image.size), offset, args)]
    image.load()
    read = _rows_of(image)
    return Deep((width, height), lambda top, bottom: read(top, bottom).reshape(bottom - top, width, 3), 3)


def _of_grey_and_alpha(image: ImageFile.ImageFile) -> Deep:
    """Take the four bytes of a PNG's grey and alpha as they are."""
    _reread(image, "RGBA", "RGBA")
    read = _rows_of(image)
    return Deep(image.size, lambda top, bottom: read(top, bottom).view(">u2").astype(np.uint16), 1, alpha=True)


def _of_two_readings(image: ImageFile.ImageFile, file: BinaryIO, raw: str) -> Deep:
    kind, order = raw[:-4], raw[-4:]
    mode = "RGBA" if kind in ("RGBX", "RGBa") else kind  # of RGBa Pillow would divide each byte by the alpha's
    key = image.info.get("transparency")
    other = Image.open(file, formats=[image.format or ""])
    _reread(other, mode, mode + OTHER_BYTE[order])
    _reread(image, mode, mode + order)
    high, low = _rows_of(image), _rows_of(other)

    def rows(top: int, bottom: int) -> np.ndarray:
        samples: np.ndarray = (high(top, bottom).astype(np.uint16) << 8) | low(top, bottom)
        return samples

    return Deep(
        image.size,
        rows,
        colours=4 if kind == "CMYK" else 3,
        alpha=kind in ("RGBA", "RGBa"),
        premultiplied=kind == "RGBa",
        key=key if isinstance(key, tuple) else None,
    )


def _reread(image: ImageFile.ImageFile, mode: str, raw: str) -> None:
    """Load the picture as if its samples were stored in another way."""
    image._mode = mode
    image.tile = [
        tile._replace(args=raw if isinstance(tile.args, str) else (raw, *(tile.args or ())[1:])) for tile in image.tile
    ]
    image.info.pop("transparency", None)
    image.load()


def _rows_of(image: Image.Image) -> Callable[[int, int], np.ndarray]:
    def rows(top: int, bottom: int) -> np.ndarray:
        band = np.asarray(image.crop((0, top, image.width, bottom)))
        return band[..., None] if band.ndim == 2 else band

    return rows


def _tag(image: Image.Image, tag: int) -> int | None:
    value = getattr(image, "tag_v2", {}).get(tag)
    return value if isinstance(value, int) else None


# Ranges ---------------------------------------------------------------------------------------------------------------


def measure(deep: Deep, *, every: bool = False) -> Extent | None:
    """Return the least and the largest value of its colours, or of every sample, leaving out what is no number.

    None where the range is known: of 8 bits, and where the file says it.
    """
    if deep.of_bytes or deep.own is not None:
        return None
    lows, highs, whole = [], [], True
    for _, samples in deep.bands():
        values = samples if every else samples[..., : deep.colours]
        if not np.issubdtype(values.dtype, np.integer):
            whole, values = False, values[np.isfinite(values)]
        if values.size:
            lows.append(float(values.min()))
            highs.append(float(values.max()))
    return Extent(min(lows, default=0.0), max(highs, default=0.0), whole)


def choose_limits(extents: Iterable[Extent]) -> Limits | None:
    """Return the range of pictures together; None of none.

    Whole numbers have the least of `DEPTHS` that holds them all; fractions go from 0 to 1, floats up to 255 from 0 to
    255. Anything else, such as numbers below 0, has no agreed range and goes from the least to the largest.
    """
    found = list(extents)
    if not found:
        return None
    low, high = min(extent.low for extent in found), max(extent.high for extent in found)
    steps = [2.0**bits - 1 for bits in DEPTHS] if any(extent.whole for extent in found) else [1.0, 255.0]
    if low >= 0 and high <= steps[-1]:
        return 0.0, next(step for step in steps if high <= step)
    return low, high if high > low else low + 1


def tell(limits: Limits) -> str:
    """Return such as "0…4095 (12 bits)"."""
    low, high = (f"{value:.10g}" for value in limits)
    bits = {(0.0, 2.0**depth - 1): f" ({depth} bits)" for depth in range(1, 33)}.get((float(limits[0]), limits[1]), "")
    return f"{low}…{high}{bits}"


# To 8 bits ------------------------------------------------------------------------------------------------------------


def to_picture(deep: Deep, mode: str, limits: Limits | None = None, finish: Finish = plain) -> Image.Image:
    """Return a picture of 8 bits, L or RGB, transparency on white. Without limits those of this picture."""
    limits = _limits(deep, limits)
    opaque = _opaque(deep, limits[1])
    picture = Image.new(mode, deep.size)
    for top, samples in deep.bands():
        picture.paste(finish(_band(deep, samples, limits, opaque), mode), (0, top))
    return picture


def to_bands(deep: Deep, limits: Limits | None = None) -> list[Image.Image]:
    """Return every sample as a picture of its own, L."""
    limits = _limits(deep, limits, every=True)
    pictures = [Image.new("L", deep.size) for _ in range(deep.samples)]
    for top, samples in deep.bands():
        for number, picture in enumerate(pictures):
            picture.paste(Image.fromarray(scale(np.ascontiguousarray(samples[..., number]), limits)), (0, top))
    return pictures


def _limits(deep: Deep, given: Limits | None, *, every: bool = False) -> Limits:
    """Return the range that was given; otherwise the file's own, or that of its values."""
    if deep.of_bytes:
        return 0.0, 255.0
    if given or deep.own:
        return given or deep.own or (0.0, 1.0)
    measured = measure(deep, every=every)
    return choose_limits([] if measured is None else [measured]) or (0.0, 1.0)


def _band(deep: Deep, samples: np.ndarray, limits: Limits, opaque: float) -> Image.Image:
    colours = scale(samples[..., : deep.colours], limits)
    if deep.inverted:
        colours = 255 - colours
    if deep.alpha:
        share = np.clip(samples[..., deep.colours, None] / opaque, 0, 1)
        colours = np.rint((colours if deep.premultiplied else colours * share) + 255 * (1 - share)).clip(0, 255)
    if deep.key is not None:
        colours = np.where((samples[..., : deep.colours] == deep.key).all(-1, keepdims=True), 255, colours)
    colours = np.ascontiguousarray(colours.astype(np.uint8))
    if deep.colours == 4 and not deep.of_bands:
        return Image.frombytes("CMYK", colours.shape[1::-1], colours.tobytes())
    return Image.fromarray(colours[..., 0] if deep.colours == 1 else colours)


def _opaque(deep: Deep, high: float) -> float:
    """Return the largest alpha: that of 16 bits, unless it is stored like the colours, in fewer."""
    if not deep.alpha:
        return 1.0
    if deep.of_bytes:
        return 255.0
    largest = max(float(samples[..., deep.colours].max()) for _, samples in deep.bands())
    return high if largest <= high else 65535.0


def scale(values: np.ndarray, limits: Limits) -> np.ndarray:
    """Return 0…255, rounded, as uint8."""
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.uint16:
        looked_up: np.ndarray = _table(*limits)[values]
        return looked_up
    with np.errstate(invalid="ignore"):  # some values may be no numbers
        return _scaled(values.astype(np.float64), *limits)


def _scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    known = np.clip(np.nan_to_num(values, nan=low, posinf=high, neginf=low), low, high)
    levels: np.ndarray = np.rint((known - low) * (255.0 / (high - low)))
    return levels.astype(np.uint8)


@lru_cache(maxsize=8)
def _table(low: float, high: float) -> np.ndarray:
    """Return what each value of 16 bits becomes: looking it up takes a tenth of the time."""
    return _scaled(np.arange(2**16, dtype=np.float64), low, high)
