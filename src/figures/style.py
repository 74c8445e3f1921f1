"""What all figures share: colours, names shortened, axes in pixels, and the way into a file."""

import unicodedata
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from src.files import replacing

INK, GREY = "#222222", "#767676"
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"  # Okabe & Ito 2008: told apart by colour-blind readers
DPI = 100


def printable(text: str) -> str:
    """`text` on one line, as a picture or a terminal can show it: of the same length, without control characters.

    White space becomes blanks; other control characters (an escape sequence would clear the screen) and surrogates,
    which stand for bytes of a file name that are not UTF-8 and which matplotlib refuses, become U+FFFD.
    """
    return "".join(
        " " if char.isspace() else "\ufffd" if unicodedata.category(char) in ("Cc", "Cs") else char for char in text
    )


def shorten(name: str, length: int = 24) -> str:
    """`name`, printable and on one line, its middle left out where it is longer than `length` characters."""
    name = " ".join(printable(name).split())
    half = (length - 1) // 2
    return name if len(name) <= length else f"{name[: length - half - 1]}…{name[-half:]}"


def pixel_axes(height: int, width: int) -> Axes:
    """Axes that fill a new figure, whose unit is the pixel and whose origin is at the top left."""
    axes = Figure(figsize=(width / DPI, height / DPI), dpi=DPI).add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(height, 0))
    return axes


def to_image(figure: Figure) -> NDArray[np.uint8]:
    """The figure as pixels, (H, W, 3) RGB, as TensorBoard's `add_image(..., dataformats="HWC")` takes them."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def save(figure: Figure, path: Path) -> None:
    """Write the figure as PNG, whole or not at all, and make its folder."""
    save_image(to_image(figure), path)


def save_image(pixels: NDArray[np.uint8], path: Path) -> None:
    """As `save`, for pixels (H, W, 3) that have been drawn already."""
    with replacing(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG", compress_level=3)
