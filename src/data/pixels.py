"""From a picture that Pillow has opened to grey or RGB of 8 bits, upright and on white.

NumPy and Pillow are all it needs, as in `src.data.depth`.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image

from .colour import Finish, plain

BLOCK = 2**20  # pixels that are converted at once

EXIF_ORIENTATION = 0x0112
# EXIF 2.32, tag 274: what undoes each orientation. 1 is upright.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def exif_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation 1…8; 1 (upright) where there is none or the EXIF block is broken."""
    try:
        orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # a broken EXIF block says nothing about the orientation and leaves the pixels alone
        return 1
    return orientation if isinstance(orientation, int) else 1


def to_channels(image: Image.Image, in_channels: int, finish: Finish = plain) -> Image.Image:
    """Convert any of Pillow's modes of 8 bits to L (1 channel) or RGB (3), with transparency on white.

    In bands: of the largest pictures each copy takes 0.7 GB, and transparency needs four. Modes of more bits, which
    `src.data.depth` reads, are converted as earlier versions did.
    """
    mode = "L" if in_channels == 1 else "RGB"
    if image.mode == mode and not image.has_transparency_data and finish is plain:
        return image

    def on_white(band: Image.Image, mode: str) -> Image.Image:
        return finish(_on_white(band), mode)

    convert = _grey_conversion(image) if image.mode.startswith(("I", "F")) else on_white
    rows = max(1, BLOCK // image.width)
    if image.height <= rows:
        return convert(image, mode)
    picture = Image.new(mode, image.size)
    for top in range(0, image.height, rows):
        picture.paste(convert(_cut(image, top, rows), mode), (0, top))
    return picture


def _cut(image: Image.Image, top: int, rows: int) -> Image.Image:
    return image.crop((0, top, image.width, min(top + rows, image.height)))


def _on_white(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        page = Image.new("RGBA", image.size, "white")
        page.alpha_composite(image.convert("RGBA"))
        return page.convert("RGB")
    # straight to L would take the luma of a palette that has been rounded already
    return image.convert("RGB") if image.mode == "P" else image


def _grey_conversion(image: Image.Image) -> Callable[[Image.Image, str], Image.Image]:
    """Return what converts bands of grey values of 16 bits (modes I;16 and I), 32 bits (I) or floats (F).

    16 bits: 0…65535 becomes 0…255, rounded. Floats within 0…1 are fractions, within 0…255 they stay as they are.
    Anything else is stretched from its own minimum to its own maximum.
    """
    rows = max(1, BLOCK // image.width)
    bands = (_finite(_cut(image, top, rows)) for top in range(0, image.height, rows))
    limits = [(grey.min(), grey.max()) for grey in bands]
    low, high = float(min(low for low, _ in limits)), float(max(high for _, high in limits))
    narrow, wide = (65535.0, 65535.0) if image.mode.startswith("I") else (1.0, 255.0)
    origin, top = 0.0, narrow if high <= narrow else wide
    if low < 0 or high > top:
        origin, top = low, (high - low) or 1.0

    def convert(band: Image.Image, mode: str) -> Image.Image:
        return Image.fromarray(np.rint((_finite(band) - origin) * (255.0 / top)).astype(np.uint8)).convert(mode)

    return convert


def _finite(image: Image.Image) -> np.ndarray:
    return np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0.0, neginf=0.0)
