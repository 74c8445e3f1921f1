"""What a figure varies by: standard deviations by what they come from, with intervals."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import BLUE, DPI, GREY, INK, fit

ACROSS = 3
WIDTH, HEIGHT, NAMES = 2.9, 1.9, 1.2  # inches of a panel, and of the names beside a row of them
BESIDE = 0.04  # of the axis: a dot as near to its beginning has its figure beside the line
FURTHEST = 2.5
"""How far an axis goes, in multiples of the largest dot: intervals of few splits have no end worth drawing."""

Spreads = Mapping[str, tuple[float, float, float]]
"""By what it comes from: standard deviation, and the ends of its 95 % interval (NaN: there is none)."""


def variance_chart(panels: Mapping[str, Spreads]) -> Figure:
    """Draw a panel for each figure, by title, a row for each of its spreads, all in points on one scale.

    An interval that goes on beyond the axis ends in an arrow.
    """
    across = min(ACROSS, len(panels))
    down = -(-len(panels) // across)
    figure = Figure(figsize=(NAMES + across * WIDTH, 0.4 + down * HEIGHT), dpi=DPI, layout="constrained")
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    largest = max(sd for spreads in panels.values() for sd, *_ in spreads.values()) or 1.0
    ends = [high for spreads in panels.values() for *_, high in spreads.values() if np.isfinite(high)]
    right = min(FURTHEST * largest, 1.05 * max([largest, *ends]))
    for axes, (title, spreads) in zip(grid.flat, panels.items(), strict=False):
        axes.set_title(fit(title, WIDTH * DPI - 20, 10, 2, "bold"), loc="left", size=10, weight="bold", color=INK)
        axes.title.set_parse_math(False)
        _draw(axes, spreads, right)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for place, axes in enumerate(grid.flat[: len(panels)]):
        if place + across >= len(panels):
            axes.set_xlabel("standard deviation, in points", size=9, color=INK)
            axes.tick_params(labelbottom=True)
    return figure


def _draw(axes: Axes, spreads: Spreads, right: float) -> None:
    for row, (sd, low, high) in enumerate(spreads.values()):
        if low <= high:
            axes.plot([low, min(high, right)], [row, row], color=GREY, linewidth=1.6, solid_capstyle="butt", zorder=1)
            if high > right:
                axes.plot(right, row, ">", color=GREY, markersize=6, clip_on=False, zorder=1)
        axes.plot(sd, row, "o", color=BLUE, markersize=7, clip_on=False, zorder=2)
        shift, side = (4, "left") if sd < BESIDE * right else (0, "center")
        axes.annotate(f"{sd:.1f}", (sd, row), (shift, 5), textcoords="offset points", size=9, color=INK, ha=side)
    axes.set_yticks(range(len(spreads)), list(spreads))
    axes.set(ylim=(len(spreads) - 0.5, -0.7), xlim=(-0.03 * right, right))
    axes.grid(axis="x", color="#e5e5e5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=9)
