"""The reliability diagram: how often a network is right, by how sure it is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from .style import BLUE, DPI, GREY, INK, VERMILLION, fit, plain_axes, printable

WIDTH, HEIGHT = 4.6, 6.2  # inches
BAR = 0.92  # of a bin's width


@dataclass(frozen=True, eq=False)
class ReliabilityBins:
    """One panel: B bins of equal width in [0, 1].

    Attributes:
        name: Stands above it.
        counts: (B,), of images.
        confidence: (B,), the mean; NaN where there are no images, as in `accuracy`.
        accuracy: (B,).
        error: The expected calibration error.
        chance: The ends of what honest networks show by chance, 95 % of them; None leaves it out.
    """

    name: str
    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    error: float
    chance: tuple[float, float] | None = None


def reliability_diagram(
    panels: Sequence[ReliabilityBins], title: str = "", axes: tuple[str, str] = ("accuracy", "images")
) -> Figure:
    """Draw accuracy over confidence, with the diagonal of an honest network, and below it the images of each bin.

    Panels, such as before and after calibration, stand side by side. The gap to the diagonal is drawn at the mean
    confidence of a bin's images, which need not be its middle.
    """
    figure = Figure(figsize=(max(WIDTH * len(panels), 5.6), HEIGHT), dpi=DPI, layout="constrained")
    if title:
        width = figure.get_figwidth() * DPI - 20
        figure.suptitle(
            fit(printable(title), width, 12, lines=2, weight="bold"),
            x=0.01, ha="left", size=12, weight="bold", color=INK, parse_math=False,
        )  # fmt: skip
    rows = figure.subplots(2, len(panels), squeeze=False, sharex=True, sharey="row", height_ratios=(3, 1))
    for panel, upper, lower in zip(panels, *rows, strict=True):
        _draw_accuracy(upper, panel)
        _draw_counts(lower, panel)
    rows[0][0].set_ylabel(axes[0], size=10, color=INK)
    rows[1][0].set_ylabel(axes[1], size=10, color=INK)
    handles, labels = rows[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=3, fontsize=9, frameon=False, labelcolor=INK)
    return figure


def _draw_accuracy(axes: Axes, panel: ReliabilityBins) -> None:
    bins = len(panel.counts)
    middles, some = (np.arange(bins) + 0.5) / bins, panel.counts > 0
    axes.set_title(panel.name, loc="left", size=11, weight="bold", color=INK, pad=20, parse_math=False)
    by_chance = "" if panel.chance is None else " · honest: {:.4f} to {:.4f}".format(*panel.chance)
    said = f"expected calibration error {panel.error:.4f}{by_chance}"
    axes.text(0, 1.02, said, size=9, color=GREY, transform=axes.transAxes)
    axes.bar(middles[some], panel.accuracy[some], BAR / bins, color=BLUE, alpha=0.85, label="accuracy of a bin")
    axes.plot([0, 1], [0, 1], "--", color=GREY, lw=1.2, label="honest")
    axes.vlines(
        panel.confidence[some], panel.accuracy[some], panel.confidence[some], color=VERMILLION, lw=2.2,
        label="gap to mean confidence",
    )  # fmt: skip
    axes.plot(panel.confidence[some], panel.confidence[some], "o", color=VERMILLION, ms=4)
    axes.set(xlim=(0, 1), ylim=(0, 1.03))
    plain_axes(axes)


def _draw_counts(axes: Axes, panel: ReliabilityBins) -> None:
    bins = len(panel.counts)
    middles, most = (np.arange(bins) + 0.5) / bins, int(panel.counts.max())
    axes.bar(middles, panel.counts, BAR / bins, color=GREY)
    for middle, count in zip(middles, panel.counts, strict=True):
        if count:
            axes.text(
                middle, count + 0.04 * most, f"{count:,}", size=9, color=INK, rotation=90, ha="center", va="bottom"
            )
    axes.set_ylim(0, max(axes.get_ylim()[1], 1.9 * most))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    axes.set_xlabel("confidence", size=10, color=INK)
    plain_axes(axes)
