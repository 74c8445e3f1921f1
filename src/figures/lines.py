"""How figures change with what is on a logarithmic axis below: images to train on, seconds of training."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from .epochs import GROUP_STYLES, OVERLAID, WIDTH
from .style import DPI, GREY, INK, add_legend, end_at_one, fit_labels, plain_axes, text_width

HEIGHT = 2.9  # inches of a chart
SIZE = 9.5  # points, of the legend
NAMED = 0.36  # of the width, the longest label
MOST_TICKS = 8  # values that all stand below their points
SHIFT = 0.006  # of the axis, from one line to the next, so that their bars lie beside each other


class Points(NamedTuple):
    """Means (P,) at `x` (P,), above 0, with their standard deviations (P,), NaN where there is none."""

    x: NDArray[np.float64]
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]


def line_charts(charts: Mapping[str, Mapping[str, Points]], below: str, share: Iterable[str] = ()) -> Figure:
    """Draw a chart for each title, one below the other, a line for each label with bars of ± sd.

    Up to six lines share a chart; more get further ones of the same scale. `below` is written below the lowest; the
    axes of the titles in `share` end at 1.
    """
    parts = [
        (title, dict(list(lines.items())[first : first + OVERLAID]))
        for title, lines in charts.items()
        for first in range(0, len(lines), OVERLAID)
    ]
    figure = Figure(figsize=(WIDTH, HEIGHT * len(parts) + 0.3), dpi=DPI, layout="constrained")
    grid = figure.subplots(len(parts), 1, sharex=True, squeeze=False)[:, 0]
    firsts: dict[str, Axes] = {}
    for axes, (title, lines) in zip(grid, parts, strict=True):
        axes.set_title(title, loc="left", size=11, weight="bold", color=INK)
        axes.title.set_parse_math(False)
        if title in firsts:
            axes.sharey(firsts[title])
        firsts.setdefault(title, axes)
        _draw(axes, lines)
    places = np.unique(np.concatenate([line.x for _, lines in parts for line in lines.values()]))
    _scale_below(grid[0], places)
    for title, axes in firsts.items():
        means = np.concatenate([line.mean for line in charts[title].values()])
        if title in set(share) and np.isfinite(means).any():
            end_at_one(axes, means[np.isfinite(means)])
        elif title not in set(share):
            axes.axhline(0, color=GREY, linewidth=1, linestyle="--", zorder=1)
    grid[-1].set_xlabel(below, size=10, color=INK)
    return figure


def _draw(axes: Axes, lines: Mapping[str, Points]) -> None:
    axes.set_xscale("log")
    labels = fit_labels(list(lines), NAMED * WIDTH * DPI, SIZE)
    every = np.concatenate([line.x for line in lines.values()])
    span = np.log(every.max() / every.min()) or 1.0
    for place, (label, line, style) in enumerate(zip(labels, lines.values(), GROUP_STYLES, strict=False)):
        shifted = line.x * np.exp(SHIFT * span * (place - (len(lines) - 1) / 2))
        bars = np.where(np.isfinite(line.sd), line.sd, 0)
        axes.errorbar(
            shifted, line.mean, bars, label=label, linewidth=1.8, markersize=5, elinewidth=1.1, capsize=2.5, **style
        )
    plain_axes(axes)
    axes.margins(x=0.06, y=0.1)
    add_legend(axes, loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=SIZE, handlelength=3.4)


def _scale_below(axes: Axes, places: NDArray[np.float64]) -> None:
    """Write the places themselves where they are few and apart, else round numbers; the other charts share the axis."""
    room = (1 - NAMED) * WIDTH * DPI * np.diff(np.log(places)) / (np.log(places[-1] / places[0]) or 1.0)
    own = len(places) <= MOST_TICKS and bool(np.all(room > _widest(places)))
    axes.xaxis.set_major_locator(FixedLocator(list(places)) if own else LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def _widest(places: Sequence[float] | NDArray[np.float64]) -> float:
    return max(text_width(f"{place:,.10g}", 9) for place in places) + 8
