"""Trials of a search among settings: what each value gave, and the best so far."""

from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .style import BLUE, DPI, GREEN, GREY, INK, VERMILLION, add_legend, end_at_one, plain_axes

COLUMNS = 2


def tuning_panels(
    settings: Mapping[str, tuple[Sequence[float], bool]],
    scores: Sequence[float],
    whole: Sequence[bool],
    best: int,
    usual: int = 0,
) -> Figure:
    """Draw validation accuracy in [0, 1] over each setting, a panel each, and the best so far over the trials.

    Args:
        settings: By title, the value of each trial (N,), and whether its axis is logarithmic.
        scores: Of each trial (N,), where it was ended; NaN where nothing was measured.
        whole: Whether it was trained to its end (N,).
        best, usual: Places of the trials to be marked.
    """
    rows = -(-(len(settings) + 1) // COLUMNS)
    figure = Figure(figsize=(9, 2.9 * rows), dpi=DPI, layout="constrained")
    known, ended = np.asarray(scores, float), ~np.asarray(whole, bool)
    # Those that were ended early are far below the others, and say less: they don't set the height.
    low, high = (float(known[~ended].min()), float(known[~ended].max())) if (~ended).any() else (0.0, 1.0)
    room = max(0.01, 0.35 * (high - low))
    for place, (title, (values, log)) in enumerate(
        [("Best so far", (range(1, len(known) + 1), False)), *settings.items()]
    ):
        axes = figure.add_subplot(rows, COLUMNS, place + 1)
        axes.set_title(title, loc="left", size=11, weight="bold", color=INK)
        if place == 0:
            _draw_best_so_far(axes, known, ended)
        _draw_trials(axes, np.asarray(values, float), np.maximum(known, low - 0.8 * room), ended, best, usual)
        if log:
            axes.set_xscale("log")
        axes.set_ylim(low - room, high + 0.4 * room)
        end_at_one(axes, known[np.isfinite(known)])
        plain_axes(axes)
        if place % COLUMNS == 0:
            axes.set_ylabel("validation accuracy", color=INK, size=9)
        if place == 0:
            axes.set_xlabel("trial", color=INK, size=9)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    handles, labels = figure.axes[0].get_legend_handles_labels()
    add_legend(figure, handles, labels, loc="outside lower left", ncols=3, fontsize=9)
    return figure


def _draw_best_so_far(axes: Axes, scores: np.ndarray, ended: np.ndarray) -> None:
    best = list(accumulate(np.where(ended, -np.inf, scores), max))
    shown = np.where(np.isfinite(best), best, np.nan)
    axes.plot(range(1, len(best) + 1), shown, color=BLUE, drawstyle="steps-post", linewidth=1.4, label="best so far")


def _draw_trials(axes: Axes, values: np.ndarray, scores: np.ndarray, ended: np.ndarray, best: int, usual: int) -> None:
    axes.plot(values[~ended], scores[~ended], "o", color=BLUE, markersize=6, alpha=0.75, label="a trial")
    axes.plot(values[ended], scores[ended], "x", color=GREY, markersize=6, label="ended early; at the edge: below it")
    marks = ((usual, "D", GREEN, "the usual settings"), (best, "*", VERMILLION, "the pick"))
    for place, marker, colour, label in marks:
        axes.plot(
            values[[place]], scores[[place]], marker, color=colour, markersize=15 if marker == "*" else 8,
            markeredgecolor="white", label=label, zorder=4,
        )  # fmt: skip
