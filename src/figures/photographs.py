"""A photograph as large as it is, beside itself under a map, with a line of text above both."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .heat_maps import enlarge, overlay, panel_size, scale_maps
from .lettering import width_of, write
from .style import INK, printable, shorten

LEAST, MOST = 224, 1600
"""Pixels of a picture's longer side: a smaller one is enlarged, a larger one made smaller."""

GAP, MARGIN = 4, 6
LETTERS = (14, 40)
"""The least and the most height of letters, in pixels; between them a 30th of the width."""

LONGEST = 60
FADED = 0.6
"""How far what the network doesn't see is faded to white."""


def photograph_size(size: tuple[int, ...]) -> tuple[int, int]:
    """Return height and width on screen of a picture of `size` (H, W): its own, within `LEAST` and `MOST`."""
    longer = max(size)
    return panel_size(size[:2], LEAST if longer < LEAST else min(longer, MOST))


def draw_photograph(
    pixels: NDArray[np.uint8], map_: NDArray[np.float32], resize: str, name: str, share: float
) -> NDArray[np.uint8]:
    """Draw a picture (C, H, W) beside itself in grey under its map, below the class's name and confidence.

    Args:
        map_: raw and finite (h, w), of the square that the network saw.
        resize: how the square was made of the picture: "crop", "pad" or "squash".
    """
    size = photograph_size(pixels.shape[1:])
    picture = enlarge(pixels, size)
    under = _lay_over(picture, map_, resize)
    pair = np.concatenate([picture, np.full((size[0], GAP, 3), 255, np.uint8), under], axis=1)
    tail = f" {share:.2f}" if map_.max() > 0 else f" {share:.2f}, no positive evidence"
    line = _line(name, tail, pair.shape[1])
    wanted = max(pair.shape[1], line.shape[1])
    return np.concatenate([_widened(line, wanted), _widened(pair, wanted)])


def _lay_over(picture: NDArray[np.uint8], map_: NDArray[np.float32], resize: str) -> NDArray[np.uint8]:
    """Return a picture (h, w, 3) under a map of the square of it; what lies beside the square is faded."""
    height, width = picture.shape[:2]
    if resize == "squash":
        return overlay(picture, scale_maps(map_[None], (height, width))[0])
    side = max(height, width) if resize == "pad" else min(height, width)
    square = scale_maps(map_[None], (side, side))[0]
    top, left = abs(height - side) // 2, abs(width - side) // 2
    if resize == "pad":  # the square is larger than the picture
        return overlay(picture, square[top : top + height, left : left + width])
    faded = overlay(picture, np.zeros((height, width), np.float32))
    faded = (faded + FADED * (255 - faded.astype(np.float32))).astype(np.uint8)
    seen = picture[top : top + side, left : left + side]
    faded[top : top + side, left : left + side] = overlay(seen, square)
    return faded


def _line(name: str, tail: str, width: int) -> NDArray[np.uint8]:
    """Write a name and what follows it, on white; the name is cut where both are wider than `width`."""
    size = max(LETTERS[0], min(LETTERS[1], width // 30))
    name, length = printable(name), LONGEST
    while True:
        text = shorten(name, length) + tail
        needed = 2 * MARGIN + round(width_of(text, size))
        if needed <= width or length <= 4:
            break
        length -= 1
    canvas = Image.new("RGB", (needed, size + 2 * MARGIN), "white")
    write(ImageDraw.Draw(canvas), MARGIN, MARGIN + size, text, size, INK)
    return np.asarray(canvas)


def _widened(pixels: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    white = np.full((len(pixels), width - pixels.shape[1], 3), 255, np.uint8)
    return np.concatenate([pixels, white], axis=1)
