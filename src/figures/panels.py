"""Rows of panels of one size: an image beside what is said about it, several images a row."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .heat_maps import enlarge, overlay
from .style import INK, VERMILLION, blank_sheet, fit, printable, show_pixels

MARGIN, LINE, WIDTH = 12, 15, 1400  # pixels; the sheet is at most about so wide
SIGNED = colormaps["RdBu_r"]  # colour-blind readers can tell blue from red; white is nothing
PERCENTILE = 99.5
"""The share of a signed map's values within its scale: single pixels must not leave all others pale."""

Panel = NDArray[np.uint8]


def signed_panels(values: NDArray[np.floating], size: tuple[int, int]) -> list[Panel]:
    """Draw N signed maps (N, H, W) in red (positive) and blue, each scaled symmetrically about zero, as (h, w, 3)."""
    panels = []
    for map_ in values:
        largest = float(np.percentile(np.abs(map_), PERCENTILE)) or float(np.abs(map_).max()) or 1.0
        pixels = SIGNED(0.5 + 0.5 * np.clip(map_ / largest, -1, 1), bytes=True)[..., :3]
        panels.append(enlarge(pixels.transpose(2, 0, 1), size))
    return panels


def heat_panels(image: NDArray[np.uint8], heats: Sequence[NDArray[np.floating]], size: tuple[int, int]) -> list[Panel]:
    """Draw an image (C, H, W), and itself in grey under each heat (h, w) in [0, 1] of `size` (h, w)."""
    picture = enlarge(image, size)
    return [picture, *(overlay(picture, heat) for heat in heats)]


def panel_sheet(
    rows: Sequence[Sequence[Panel]],
    captions: Sequence[str],
    headings: Sequence[str],
    title: str,
    note: str = "",
    wrong: Sequence[bool] | None = None,
) -> Figure:
    """Draw each of the N images as a strip of its k panels (h, w, 3) below its caption.

    As many strips lie side by side as fit. `headings` stand above the panels, `note` at the bottom; captions of `wrong`
    images are bold and in another colour.
    """
    height, width = rows[0][0].shape[:2]
    strip = len(headings) * (width + 2) - 2
    columns = max(1, min(len(rows), (WIDTH - MARGIN) // (strip + MARGIN)))
    fitted = [fit(printable(caption), strip, 8.5, lines=2) for caption in captions]
    caption_height = LINE * (2 if any("\n" in caption for caption in fitted) else 1) + 6
    cell = caption_height + height + MARGIN
    total = columns * (strip + MARGIN) + MARGIN
    titles = fit(printable(title), total - 2 * MARGIN, 11, lines=2, weight="bold").split("\n")
    notes = fit(printable(note), total - 2 * MARGIN, 8, lines=4).split("\n") if note else []
    top = 20 * len(titles) + MARGIN + LINE + 6
    bottom = len(notes) * LINE + MARGIN
    axes, canvas = blank_sheet(top + -(-len(rows) // columns) * cell + bottom, total)
    axes.text(
        MARGIN, 8, "\n".join(titles), size=11, weight="bold", color=INK, va="top", parse_math=False, linespacing=1.2
    )
    for column in range(columns):
        for number, heading in enumerate(headings):
            place = MARGIN + column * (strip + MARGIN) + number * (width + 2)
            axes.text(place, top - 4, fit(heading, width, 8), size=8, color=INK, va="bottom", parse_math=False)
    for i, panels in enumerate(rows):
        left, y = MARGIN + i % columns * (strip + MARGIN), top + i // columns * cell
        bad = wrong is not None and wrong[i]
        colour, weight = (VERMILLION, "bold") if bad else (INK, "normal")
        axes.text(
            left, y + caption_height - 4, fitted[i], size=8.5, color=colour, weight=weight, va="bottom",
            parse_math=False, linespacing=1.1,
        )  # fmt: skip
        for number, panel in enumerate(panels):
            x = left + number * (width + 2)
            canvas[y + caption_height : y + caption_height + height, x : x + width] = panel
    axes.text(
        MARGIN, canvas.shape[0] - 6, "\n".join(notes), size=8, color=INK, va="bottom", parse_math=False, linespacing=1.2
    )
    return show_pixels(axes, canvas)
