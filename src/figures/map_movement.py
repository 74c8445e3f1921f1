"""How much the Grad-CAMs of a few images still move while their network learns."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .style import BLUE, DPI, GREY, INK, VERMILLION, epoch_axes


def map_movement(
    epochs: Sequence[int], correlations: NDArray[np.floating], changed: NDArray[np.bool_], title: str = ""
) -> Figure:
    """Draw each image's rank correlation with the epoch before as a thin line, and their mean.

    `epochs` (E,), ascending; `correlations` (E, N) in [-1, 1], or NaN, which leaves a gap, as does a missing epoch;
    `changed` (E, N), marked: the image's map explains another class than an epoch before.
    """
    first, images = int(epochs[0]), correlations.shape[1]
    time = np.arange(first, epochs[-1] + 1)
    values = np.full((len(time), images), np.nan)
    marked = np.zeros((len(time), images), dtype=bool)
    values[np.asarray(epochs) - first], marked[np.asarray(epochs) - first] = correlations, changed
    known = np.isfinite(values)
    mean = np.where(known, values, 0).sum(axis=1) / np.where(known.any(axis=1), known.sum(axis=1), np.nan)

    figure = Figure(figsize=(9, 4), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    few = len(time) < 15
    for line in values.T:
        axes.plot(
            time, line, color=GREY, alpha=min(0.7, 0.2 + 4 / images), linewidth=0.8, marker="." if few else "",
            markersize=4, label="_",
        )  # fmt: skip
    axes.lines[0].set_label("one image")
    rows, columns = np.nonzero(marked & known)
    if len(rows):
        axes.scatter(
            time[rows], values[rows, columns], s=30, facecolors="none", edgecolors=VERMILLION, linewidths=1.1, zorder=3,
            label=f"its explained class has changed ({int(marked.any(axis=0).sum())} of {images} images, "
            f"last in epoch {time[rows].max()})",
        )  # fmt: skip
    axes.plot(
        time, mean, color=BLUE, linewidth=2.4, marker="o" if few else "", markersize=5, label=f"mean of {images}",
        zorder=4,
    )  # fmt: skip
    epoch_axes(axes)
    lowest = np.nanmin(values) if known.any() else 0.0
    axes.set(xlabel="epoch", ylim=(min(-0.05, lowest - 0.05), 1.03))
    axes.set_ylabel("rank correlation (1: no movement)", color=INK)
    axes.set_title(title, loc="left", size=11, weight="bold", color=INK, parse_math=False)
    if not known.any():
        axes.text(0.5, 0.5, "not measured", size=9, color=GREY, ha="center", transform=axes.transAxes)
    figure.legend(loc="outside lower left", ncols=3, fontsize=9, frameon=False, labelcolor=INK)
    return figure
