"""Is there a shortcut? What each cell of the images carries, and where the maps of each class lie on average."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .heat_maps import enlarge, overlay, scale_maps
from .style import DPI, GREY, INK, printable, shorten

SIDE = 2.6  # inches of a panel
CLASSES = 8


def shortcut_chart(
    covered: Mapping[int, NDArray[np.floating]],
    followed: NDArray[np.floating],
    pieces: NDArray[np.floating],
    maps: Mapping[str, NDArray[np.floating]],
    means: Mapping[str, NDArray[np.uint8]],
    *,
    guessing: float,
    title: str = "",
) -> Figure:
    """Draw grids of what cells carry and, below them, the mean map of each class over its mean image.

    Args:
        covered: By cells a side n, the accuracy (n, n) with that cell of all images greyed.
        followed: (4, 4), the share of answers that become the class of the image that the cell is taken from.
        pieces: (4, 4), the accuracy on that cell alone, repeated over the whole image.
        maps: Raw maps (h, w), the mean of each class; the first `CLASSES` are drawn.
        means: The mean image (C, S, S) of the same classes.
        guessing: An accuracy; scales of accuracies begin there.
        title: Stands above.
    """
    grids = [
        *(
            (f"Accuracy with a cell greyed, {n}×{n}", "a dark cell is needed", grid, guessing)
            for n, grid in covered.items()
        ),
        ("Answers that follow a cell", "taken from an image of another class", followed, 0.0),
        ("Accuracy on a cell alone", "repeated over the whole image", pieces, guessing),
    ]
    shown = dict(list(maps.items())[:CLASSES])
    columns = max(len(grids), min(4, len(shown)))
    below = -(-len(shown) // columns)
    rows = 1 + below
    figure = Figure(figsize=(SIDE * columns, 0.5 + (SIDE + 0.65) * rows), dpi=DPI, layout="constrained")
    if title:
        figure.suptitle(printable(title), x=0.01, ha="left", size=12, weight="bold", color=INK, parse_math=False)
    axes = figure.subplots(rows, columns, squeeze=False)
    for one in axes.flat:
        one.set_axis_off()
    for one, (name, meaning, grid, low) in zip(axes[0], grids, strict=False):
        _head(one, name, meaning)
        _numbers(one, grid, low)
    for one, (name, map_) in zip(axes[1:].flat, shown.items(), strict=False):
        _head(one, shorten(name), "mean map of the images taken for it")
        size = (168, 168)
        picture = enlarge(means[name], size)
        one.imshow(overlay(picture, scale_maps(np.asarray(map_)[None], size)[0]))
    return figure


def _head(axes: Axes, name: str, meaning: str) -> None:
    axes.set_title(name, loc="left", size=9.5, weight="bold", color=INK, pad=15, parse_math=False)
    axes.text(0, 1.02, meaning, size=8, color=GREY, transform=axes.transAxes)


def _numbers(axes: Axes, grid: NDArray[np.floating], low: float) -> None:
    """Draw a grid of shares, light where they are high, each with its number in per cent."""
    axes.imshow(grid, cmap="cividis", vmin=min(low, float(grid.min())), vmax=1.0)
    middle = (min(low, float(grid.min())) + 1) / 2
    size = 6.5 if len(grid) > 4 else 9
    for (row, column), value in np.ndenumerate(grid):
        colour = "white" if value < middle else "black"
        axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", color=colour, size=size)
