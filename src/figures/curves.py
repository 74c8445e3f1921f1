"""Learning curves."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..frames import pd
from .style import BLUE, DPI, GREEN, GREY, INK, VERMILLION, plain_axes


def curves(metrics: pd.DataFrame, best_epoch: int, charts: Mapping[str, str]) -> Figure:
    """Draw the metrics of `charts` (name to title) and the learning rate over the epochs, the best one marked.

    `metrics` has one row an epoch: `epoch`, and whichever there are of `{train,val}/NAME` and `lr`.
    """
    charts = {**charts, "lr": "Learning rate"}
    present = [key for key in charts if {key, f"train/{key}", f"val/{key}"} & set(metrics.columns)]
    figure = Figure(figsize=(10, 3.4 * -(-len(present) // 2)), dpi=DPI, layout="constrained")
    for place, key in enumerate(present, start=1):
        axes = figure.add_subplot(-(-len(present) // 2), 2, place)
        axes.set_title(charts[key], loc="left", size=11, weight="bold", color=INK)
        _draw_curves(axes, metrics, key)
        axes.axvline(best_epoch, color=GREY, linewidth=1, linestyle=(0, (2, 3)), zorder=0)
        if place == 1:
            axes.annotate(
                f"best epoch {best_epoch}", (best_epoch, 1), xycoords=("data", "axes fraction"),
                xytext=(0, 3), textcoords="offset points", ha="center", size=8, color=GREY,
            )  # fmt: skip
    return figure


def _draw_curves(axes: Axes, metrics: pd.DataFrame, key: str) -> None:
    styles = {f"train/{key}": ("train", BLUE, "--"), f"val/{key}": ("val", VERMILLION, "-"), key: ("", GREEN, "-")}
    ends = []
    for column, (label, colour, line) in styles.items():
        if column in metrics:
            rows = metrics[["epoch", column]].dropna()
            axes.plot(
                rows["epoch"], rows[column], line, color=colour, marker="o" if len(rows) < 15 else "", markersize=4
            )
            ends += [(float(rows[column].iloc[-1]), float(rows["epoch"].iloc[-1]), label, colour)] if len(rows) else []
    axes.margins(x=0.04, y=0.12)
    values = metrics[[column for column in styles if column in metrics]].to_numpy(dtype=float)
    # A first epoch of loss 30 would press the rest of the curve flat.
    log = key == "loss" and np.nanmin(values) > 0 and np.nanmax(values) > 30 * np.nanmin(values)
    if log:
        axes.set_yscale("log")
    low, high = np.log10(axes.get_ylim()) if log else axes.get_ylim()
    apart = 0.07 * (high - low)  # or the labels of two lines that end alike would cover each other
    place = -np.inf
    for value, epoch, label, colour in sorted(ends):
        place = max(np.log10(value) if log else value, place + apart)
        axes.annotate(
            label, (epoch, 10**place if log else place), xytext=(8, 0), textcoords="offset points",
            va="center", color=colour, size=9, annotation_clip=False,
        )  # fmt: skip
    if not log:
        axes.ticklabel_format(axis="y", useOffset=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch", color=INK)
    plain_axes(axes)
