"""How much of Grad-CAMs lies on the objects, epoch by epoch, beside the accuracy."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .epochs import GROUP_STYLES, OVERLAID, WIDTH
from .style import BLUE, DPI, GREY, INK, VERMILLION, add_legend, end_at_one, epoch_axes, fit_labels

ENERGY = "Share of the positive evidence on the object"
LEAD = "On the object, beyond an even map"


class Line(NamedTuple):
    """Means (E,) at `epochs`, with what lies between `low` and `high` (E,), NaN where there is no interval."""

    epochs: Sequence[int]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def object_energy(energy: Line, accuracy: Line, covered: float, blob: float, title: str, best_epoch: int) -> Figure:
    """Draw one run's energy with its interval, and what a centre blob and an even map have; beside it `accuracy`.

    `title` is that of the figure on the right, such as `Validation accuracy`.
    """
    figure = Figure(figsize=(10, 3.6), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw(left, energy, BLUE, "")
    _references(left, {"centre blob": blob, "even map": covered})
    _draw(right, accuracy, VERMILLION, "")
    for axes, heading in ((left, ENERGY), (right, title)):
        axes.set_title(heading, loc="left", size=11, weight="bold", color=INK)
        axes.axvline(best_epoch, color=GREY, linewidth=1, linestyle=(0, (2, 3)), zorder=0)
        _finish(axes)
    right.sharex(left)
    right.set_title(f"dotted: best epoch {best_epoch}", loc="right", size=8, color=GREY)
    return figure


def object_energy_of_groups(groups: Mapping[str, tuple[Line, Line]], blob: float, title: str) -> Figure:
    """Draw how much more than of an even map lies on the objects, and the accuracy, of up to six groups.

    Each is a mean over seeds with a band; `blob` is what a centre blob has more than an even map.
    """
    shown = dict(list(groups.items())[:OVERLAID])
    labels = fit_labels(list(shown), 0.8 * WIDTH * DPI, 10)
    figure = Figure(figsize=(WIDTH, 3.4 + 0.25 * len(shown)), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    for label, lines, style in zip(labels, shown.values(), GROUP_STYLES, strict=False):
        for axes, line in zip((left, right), lines, strict=True):
            _draw(axes, line, style["color"], label if axes is left else "", **style)
    _references(left, {"centre blob": blob, "even map": 0.0})
    for axes, heading in ((left, LEAD), (right, title)):
        axes.set_title(heading, loc="left", size=11, weight="bold", color=INK)
        _finish(axes)
    right.sharex(left)
    add_legend(figure, *left.get_legend_handles_labels(), loc="outside upper left", ncols=2, fontsize=10)
    return figure


def _draw(axes: Axes, line: Line, colour: str, label: str, **style: Any) -> None:
    known = np.isfinite(line.mean)
    few = len(line.epochs) < 15
    drawn: dict[str, Any] = {
        "linewidth": 1.8,
        "markersize": 4,
        "color": colour,
        "label": label or "_",
        "marker": "o",
    } | style
    axes.plot(np.asarray(line.epochs)[known], line.mean[known], **(drawn if few else drawn | {"marker": ""}))
    between = known & np.isfinite(line.low) & np.isfinite(line.high)
    if between.any():
        axes.fill_between(
            line.epochs, line.low.clip(-1, 1), line.high.clip(-1, 1), where=list(between), color=colour, alpha=0.15,
            linewidth=0,
        )  # fmt: skip


def _references(axes: Axes, values: Mapping[str, float]) -> None:
    """Draw a line for each, its name at the left end above it."""
    for name, value in values.items():
        axes.axhline(value, color=GREY, linewidth=1, linestyle="--", zorder=1)
        axes.annotate(
            name, (0.01, value), xycoords=("axes fraction", "data"), xytext=(0, 2), textcoords="offset points",
            size=8, color=GREY, va="bottom", zorder=5, bbox={"facecolor": "white", "alpha": 0.75, "pad": 0.5, "lw": 0},
        )  # fmt: skip


def _finish(axes: Axes) -> None:
    epoch_axes(axes)
    axes.set_xlabel("epoch", size=9, color=INK)
    axes.margins(x=0.04, y=0.12)
    values = np.concatenate([np.full(1, np.nan), *(np.asarray(line.get_ydata(), float) for line in axes.lines)])
    if np.isfinite(values).any():
        end_at_one(axes, values[np.isfinite(values)])
    else:
        axes.text(0.5, 0.5, "not measured", size=9, color=GREY, ha="center", transform=axes.transAxes)
