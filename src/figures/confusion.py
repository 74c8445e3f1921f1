"""The confusion matrix."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .style import DPI, INK, shorten

SHARES = "share of the true class\n(colour: its square root)"


def confusion_matrix(counts: NDArray[np.integer], class_names: Sequence[str], of: int = 0) -> Figure:
    """Draw `counts` (K, K): rows are true classes, columns predicted ones, colour the share of the row.

    Colours follow the square root, or rare confusions would be as white as none; the colour bar says so. Up to 20
    classes have the counts in the cells, up to 40 are all named, and of more every n-th. `of` is the number of classes,
    where more are left out.
    """
    classes = len(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = square(classes)
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1), interpolation="nearest")
    size = name_cells(axes, class_names)
    left_out = f" ({classes:,} of {of:,} classes: those with most mistakes)" if of > classes else ""
    axes.set_xlabel(f"predicted{left_out}", size=11, color=INK)
    axes.set_ylabel("true", size=11, color=INK)
    if classes <= 20:
        for row, column in np.ndindex(classes, classes):
            colour = "white" if shares[row, column] > 0.45 else INK if counts[row, column] else "#b5b5b5"
            axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", size=size, color=colour)
    figure.colorbar(image, ax=axes, label=SHARES, shrink=0.8, aspect=30)
    return figure


def square(classes: int) -> tuple[Figure, Axes]:
    """Return a figure for a matrix of so many classes, with a colour bar beside it."""
    side = float(np.clip(0.5 * classes if classes <= 20 else 0.24 * classes, 2.4, 10))
    figure = Figure(figsize=(side + 2.6, side + 1.6), dpi=DPI, layout="constrained")
    return figure, figure.add_subplot()


def name_cells(axes: Axes, class_names: Sequence[str]) -> float:
    """Name rows and columns, up to 40 of them; return the size of letters in points."""
    classes = len(class_names)
    step = -(-classes // 40)
    ticks = np.arange(0, classes, step)
    names = [shorten(name, 20) for name in class_names[::step]]
    size = 9 if classes <= 20 else 7.5
    axes.set_yticks(ticks, names, size=size, parse_math=False)
    axes.set_xticks(ticks, names, size=size, parse_math=False)
    if max(map(len, names)) * classes > 40:
        axes.tick_params("x", rotation=90)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0 if step == 1 else 3)
    return size
