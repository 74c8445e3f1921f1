"""What all figures share: colours, shortened names, axes in pixels, and writing to a file."""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from ..files import replacing
from ..logs import COMMANDS
from .fonts import OWN, boxes_allowed, fallbacks, give_fonts

INK, GREY = "#222222", "#767676"
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"  # Okabe & Ito 2008: colour-blind readers can tell them apart
GROUP_COLOURS = (BLUE, VERMILLION, GREEN, "#CC79A7", "#E69F00", "#000000")
# Besides the colours, for colour-blind readers and prints in black.
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
LONGEST = 10_000  # letters of which any are drawn; a name may have as many as somebody likes
HINTING = 1.05  # small letters are drawn up to so much wider than their outlines


def printable(text: str) -> str:
    """Return `text` on one line, as pictures and terminals can show it: of the same length, without control characters.

    White space becomes blanks. Other control characters (an escape sequence would clear the screen, another turn words
    round) and surrogates (bytes of a file name that are not UTF-8, which matplotlib refuses) become U+FFFD.
    """
    return "".join(
        " " if char.isspace() else "\ufffd" if COMMANDS.match(char) or unicodedata.category(char) == "Cs" else char
        for char in text
    )


def shorten(name: str, length: int = 24) -> str:
    """Return `name`, printable and on one line, without its middle where it is longer than `length` characters."""
    name = " ".join(printable(name).split())
    half = (length - 1) // 2
    return name if len(name) <= length else f"{name[: length - half - 1]}…{name[-half:]}"


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Return how many pixels one line of text takes at most, `size` in points."""
    return HINTING * sum(_advance(character, weight) for character in text) * size * DPI / 72


@lru_cache(maxsize=4096)
def _advance(character: str, weight: str) -> float:
    """Return how far a character moves the next, in font sizes; between bars, because a blank alone has no width."""
    font = FontProperties(family=[OWN, *fallbacks(character)], size=1, weight=weight)
    with boxes_allowed():
        with_it, without = (
            text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] for text in (f"|{character}|", "||")
        )
    return float(with_it - without)


def fit(text: str, width: float, size: float = 9, lines: int = 1, weight: str = "normal") -> str:
    """Fit `text` on at most `lines` lines of `width` pixels, leaving out its middle where it is longer.

    It is broken between words if that is enough, otherwise also after a sign such as `_`.
    """
    text = shorten(text, LONGEST)
    room = lines * (width + text_width(" ", size, weight))  # a blank at the end of a row takes none
    widest = max((text_width(character, size, weight) for character in set(text)), default=1.0) or 1.0
    length = len(text)
    while length > 0:
        short = shorten(text, length)
        for breaks in (" ", " _/=,-"):
            rows = _broken(short, width, size, weight, breaks) if text_width(short, size, weight) <= room else []
            if rows and len(rows) <= lines and max(text_width(row, size, weight) for row in rows) <= width:
                return "\n".join(rows)
        # As many letters as can't fit are passed over at once.
        length -= max(1, int((text_width(short, size, weight) - room) / widest) - 1)
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
    """Return labels that `fit`, numbered where two would become the same."""
    fitted = [fit(label, width, size, lines, weight) for label in labels]
    if len(set(fitted)) == len(set(labels)):
        return fitted
    return [fit(f"{i} {label}", width, size, lines, weight) for i, label in enumerate(labels, start=1)]


def epoch_axes(axes: Axes) -> None:
    """Set up a line chart over epochs: whole numbers below, a grid for the height."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    plain_axes(axes)


def plain_axes(axes: Axes) -> None:
    """Set up a chart with a light grid for the height, and no frame above and to the right."""
    axes.grid(axis="y", color="#e5e5e5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=9)


def end_at_one(axes: Axes, values: ArrayLike) -> None:
    """End an axis of values that are shares at 1, where its margin would go on; what lies there is drawn whole."""
    low, high = axes.get_ylim()
    if high > 1 and np.nanmax(np.asarray(values, float)) < 1 + 1e-6:  # float32 makes 1.0000001 of a macro average
        axes.set_ylim(low, 1)
        for line in axes.lines:
            line.set_clip_on(False)


def show_pixels(axes: Axes, canvas: NDArray[np.uint8]) -> Figure:
    """Put the canvas (H, W, 3) behind what is written on these `pixel_axes`; return their figure."""
    axes.imshow(canvas, interpolation="nearest", extent=(0, canvas.shape[1], canvas.shape[0], 0))
    return axes.figure  # type: ignore[return-value]  # a SubFigure only where one was asked for


def pixel_axes(height: int, width: int) -> Axes:
    """Return axes that fill a new figure, in pixels from the top left."""
    axes = Figure(figsize=(width / DPI, height / DPI), dpi=DPI).add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(height, 0))
    return axes


def blank_sheet(height: int, width: int) -> tuple[Axes, NDArray[np.uint8]]:
    """Return the `pixel_axes` of a sheet and its white canvas (H, W, 3), which `show_pixels` puts behind them."""
    return pixel_axes(height, width), np.full((height, width, 3), 255, np.uint8)


def add_legend(owner: Axes | Figure, *entries: Any, **options: Any) -> None:
    """Add a legend without a frame, its labels shown as they are."""
    legend = owner.legend(*entries, frameon=False, labelcolor=INK, **options)
    for text in legend.get_texts():
        text.set_parse_math(False)


def to_image(figure: Figure) -> NDArray[np.uint8]:
    """Draw the figure as RGB pixels (H, W, 3), as TensorBoard's `add_image(..., dataformats="HWC")` takes them."""
    canvas: Any = FigureCanvasAgg(figure)  # matplotlib leaves these methods untyped
    give_fonts(figure)
    with boxes_allowed():
        canvas.draw()
    pixels: NDArray[np.uint8] = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    return pixels


def save(figure: Figure, path: Path) -> None:
    """Write the figure as a PNG, whole or not at all, and make its folder."""
    save_image(to_image(figure), path)


def save_image(pixels: NDArray[np.uint8], path: Path) -> None:
    """Write pixels (H, W, 3) as `save` does."""
    with replacing(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG", compress_level=3)
