"""Learning curves."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..frames import pd
from .style import BLUE, DPI, GREEN, GREY, INK, VERMILLION, end_at_one, plain_axes


def curves(
    metrics: pd.DataFrame, best_epoch: int, charts: Mapping[str, str], rates: Sequence[tuple[int, float]] = ()
) -> Figure:
    """Draw the metrics of `charts` (name to title) and the learning rate over the epochs, the best one marked.

    `metrics` has one row an epoch: `epoch`, and whichever there are of `{train,val}/NAME` and `lr`. With `rates` (step
    from 1, learning rate) the learning rate is drawn by step; the end of an epoch is at its `step`.
    """
    charts = {**charts, "lr": "Learning rate"}
    present = [key for key in charts if {key, f"train/{key}", f"val/{key}"} & set(metrics.columns)]
    figure = Figure(figsize=(10, 3.4 * -(-len(present) // 2)), dpi=DPI, layout="constrained")
    for place, key in enumerate(present, start=1):
        axes = figure.add_subplot(-(-len(present) // 2), 2, place)
        axes.set_title(charts[key], loc="left", size=11, weight="bold", color=INK)
        at: float = best_epoch
        if key == "lr" and len(rates):
            _draw_rates(axes, rates)
            at = _step_of(metrics, best_epoch)
        else:
            _draw_curves(axes, metrics, key)
        if np.isfinite(at):
            axes.axvline(at, color=GREY, linewidth=1, linestyle=(0, (2, 3)), zorder=0)
        if place == 1:  # on the side where no title is
            axes.set_title(f"dotted: best epoch {best_epoch}", loc="right", size=8, color=GREY)
    return figure


def _draw_rates(axes: Axes, rates: Sequence[tuple[int, float]]) -> None:
    """Draw a flat piece for each step: that is how the rate changes."""
    steps, values = zip(*rates, strict=True)
    axes.plot(steps, values, color=GREEN, drawstyle="steps-post", marker="o" if len(steps) < 15 else "", markersize=4)
    axes.margins(x=0.04, y=0.12)
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("step", color=INK)
    plain_axes(axes)


def _step_of(metrics: pd.DataFrame, epoch: int) -> float:
    """Return the last step of an epoch; NaN, which is drawn nowhere, where the table doesn't say."""
    known = metrics.loc[metrics["epoch"] == epoch, "step"].tolist() if "step" in metrics else []
    return float(known[0]) if known else float("nan")


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
    if key != "loss":
        end_at_one(axes, values)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch", color=INK)
    plain_axes(axes)
