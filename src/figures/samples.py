"""Pictures of a data set: samples of each class, and duplicates."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from .heat_maps import first_three
from .style import GREY, INK, blank_sheet, printable, shorten, show_pixels

PANEL = 96  # pixels of a sample's side
BOX = 176  # pixels of the square that a duplicate is fitted into
GAP, HEADER, NAMES = 8, 36, 190  # pixels: between panels, above all, beside the rows
HEADING, CAPTION = 18, 48  # above and below the duplicates of a group


def samples(rows: Sequence[Sequence[NDArray[np.uint8]]], names: Sequence[str], title: str, note: str = "") -> Figure:
    """Draw a row for each class after its name; samples are square, uint8 (C, S, S), and `note` is at the bottom."""
    columns = max(map(len, rows))
    width, height = NAMES + columns * (PANEL + GAP) + GAP, HEADER + len(rows) * (PANEL + GAP) + (28 if note else GAP)
    axes, canvas = _empty(height, width, title)
    for i, (row, name) in enumerate(zip(rows, names, strict=True)):
        top = HEADER + i * (PANEL + GAP)
        axes.text(
            NAMES - GAP, top + PANEL / 2, shorten(name), size=9, color=INK, ha="right", va="center", parse_math=False
        )
        for j, image in enumerate(row):
            picture = Image.fromarray(first_three(image).transpose(1, 2, 0).copy())
            _paste(canvas, picture, NAMES + j * (PANEL + GAP), top, PANEL)
    if note:
        axes.text(NAMES, height - 14, note, size=9, color=GREY, va="center", parse_math=False)
    return show_pixels(axes, canvas)


def duplicates(
    groups: Sequence[Sequence[Image.Image]],
    captions: Sequence[Sequence[str]],
    titles: Sequence[str],
    title: str,
    note: str = "",
) -> Figure:
    """Draw a row for each group: pictures (RGB, any size) side by side, each above a caption of up to three lines."""
    columns = max(3, *map(len, groups))
    heights = [max(_fitted(picture, BOX)[1] for picture in group) for group in groups]
    ends = HEADER + np.cumsum([HEADING + height + CAPTION + 2 * GAP for height in heights])
    width, height = GAP + columns * (BOX + 2 * GAP), int(ends[-1]) + (24 if note else 0)
    axes, canvas = _empty(height, width, title)
    for group, lines, heading, top in zip(groups, captions, titles, [HEADER, *ends[:-1]], strict=True):
        axes.text(GAP, top + HEADING / 2, heading, size=9, weight="bold", color=INK, va="center", parse_math=False)
        below = max(_paste(canvas, picture, _left(j), top + HEADING, BOX) for j, picture in enumerate(group))
        for j, line in enumerate(lines):
            axes.text(_left(j), below + 4, line, size=8, color=INK, va="top", linespacing=1.3, parse_math=False)
    if note:
        axes.text(GAP, height - 12, note, size=9, color=GREY, va="center", parse_math=False)
    return show_pixels(axes, canvas)


def _empty(height: int, width: int, title: str) -> tuple[Axes, NDArray[np.uint8]]:
    axes, canvas = blank_sheet(height, width)
    axes.text(GAP, HEADER / 2, printable(title), size=11, weight="bold", color=INK, va="center", parse_math=False)
    return axes, canvas


def _left(column: int) -> int:
    return GAP + column * (BOX + 2 * GAP)


def _fitted(picture: Image.Image, side: int) -> tuple[int, int]:
    """Return the width and height of the picture when its longer side is `side`."""
    width, height = (max(1, round(pixels * side / max(picture.size))) for pixels in picture.size)
    return width, height


def _paste(canvas: NDArray[np.uint8], picture: Image.Image, left: int, top: int, side: int) -> int:
    """Fit the picture into the square at (left, top), return where it ends; small ones keep their pixels."""
    width, height = _fitted(picture, side)
    resampling = Image.Resampling.NEAREST if side >= 2 * max(picture.size) else Image.Resampling.BILINEAR
    canvas[top : top + height, left : left + width] = np.asarray(picture.resize((width, height), resampling))
    return top + height
