"""What all figures share: colours, names shortened, axes in pixels, and the way into a file."""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from ..files import replacing

INK, GREY = "#222222", "#767676"
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"  # Okabe & Ito 2008: told apart by colour-blind readers
GROUP_COLOURS = (BLUE, VERMILLION, GREEN, "#CC79A7", "#E69F00", "#000000")
# Besides the colours: for colour-blind readers, and for prints in black.
GROUP_LINES: tuple[str | tuple[int, tuple[int, ...]], ...] = (
    "-",
    "--",
    "-.",
    ":",
    (0, (7, 1)),
    (0, (4, 1, 1, 1, 1, 1)),
)
GROUP_MARKERS = ("o", "s", "^", "D", "v", "X")
DPI = 100
HINTING = 1.05  # small letters are drawn up to so much wider than their outlines


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


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Pixels that one line of text takes, at most, `size` in points."""
    return HINTING * sum(_advance(character, weight) for character in text) * size * DPI / 72


@lru_cache(maxsize=4096)
def _advance(character: str, weight: str) -> float:
    """How far a character moves the next one, in font sizes; between bars, for a blank alone has no width."""
    font = FontProperties(family="DejaVu Sans", size=1, weight=weight)
    with_it, without = (
        text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] for text in (f"|{character}|", "||")
    )
    return float(with_it - without)


def fit(text: str, width: float, size: float = 9, lines: int = 1, weight: str = "normal") -> str:
    """`text` on at most `lines` lines of `width` pixels, its middle left out where it is longer.

    Broken between words if that is enough, otherwise also behind a sign such as `_`.
    """
    for length in range(len(text), 0, -1):
        for breaks in (" ", " _/=,-"):
            rows = _broken(shorten(text, length), width, size, weight, breaks)
            if len(rows) <= lines and max(text_width(row, size, weight) for row in rows) <= width:
                return "\n".join(rows)
    return ""


def _broken(text: str, width: float, size: float, weight: str, breaks: str) -> list[str]:
    rows = [""]
    for word in re.split(f"(?<=[{re.escape(breaks)}])", text):
        if rows[-1] and text_width((rows[-1] + word).rstrip(), size, weight) > width:
            rows.append(word)
        else:
            rows[-1] += word
    return [row.rstrip() for row in rows]


def fit_labels(
    labels: Sequence[str], width: float, size: float = 9, lines: int = 1, weight: str = "normal"
) -> list[str]:
    """Labels that `fit`, numbered where two would become the same."""
    fitted = [fit(label, width, size, lines, weight) for label in labels]
    if len(set(fitted)) == len(set(labels)):
        return fitted
    return [fit(f"{i} {label}", width, size, lines, weight) for i, label in enumerate(labels, start=1)]


def epoch_axes(axes: Axes) -> None:
    """A line chart over epochs: whole numbers below, a grid for the height."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axes.grid(axis="y", color="#e5e5e5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=9)


def show_pixels(axes: Axes, canvas: NDArray[np.uint8]) -> Figure:
    """Put the canvas (H, W, 3) behind what is written on these `pixel_axes`; gives back their figure."""
    axes.imshow(canvas, interpolation="nearest", extent=(0, canvas.shape[1], canvas.shape[0], 0))
    return axes.figure  # type: ignore[return-value]  # a SubFigure only where one was asked for


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
