"""Are maps true? What the network says without the pixels that they name, and without its weights."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..frames import pd
from .style import (
    BLUE,
    DPI,
    GREY,
    GROUP_COLOURS,
    GROUP_LINES,
    GROUP_MARKERS,
    INK,
    VERMILLION,
    add_legend,
    plain_axes,
    printable,
    shorten,
)

CHART, HEIGHT = 4.0, 5.6  # inches
CURVES = {
    "deletion": ("Deletion", "the most relevant pixels go first · lower is better", "share of pixels removed"),
    "insertion": ("Insertion", "the most relevant pixels come first · higher is better", "share of pixels put in"),
}
APART = ("shuffled labels",)
"""Rows of the sanity check that are not steps of the cascade."""
REFERENCES = {"another image": ":", "centre blob": "-."}
"""Rows drawn as a level: what maps have in common anyway."""


def faithfulness_chart(
    fractions: NDArray[np.floating],
    curves: Mapping[str, Mapping[str, NDArray[np.floating]]],
    agreement: pd.DataFrame | None = None,
    title: str = "",
) -> Figure:
    """Draw deletion, insertion and, beside them, how the maps change while the weights are randomised.

    The mean is drawn with its 95 % interval by Student's t, and the area under it stands in the legend. Images with NaN
    are left out.

    Args:
        fractions: (S,) of the pixels.
        curves: By measure (`deletion`, `insertion`) and explanation, at most six, the map itself first: the explained
            class's probability (N, S).
        agreement: One row a stage, from the head down: `stage`, `correlation`, `low`, `high`, the same of `absolute`
            values, and `draws`, the correlations of single draws. Rows named in `APART` and `REFERENCES` are no stages.
        title: Stands above.
    """
    charts = 2 if agreement is None else 3
    figure = Figure(figsize=(CHART * charts, HEIGHT), dpi=DPI, layout="constrained")
    if title:
        figure.suptitle(printable(title), x=0.01, ha="left", size=12, weight="bold", color=INK, parse_math=False)
    row = figure.subplots(1, charts)
    row[1].sharey(row[0])
    for axes, (measure, (name, meaning, below)) in zip(row[:2], CURVES.items(), strict=True):
        _head(axes, name, meaning)
        _draw_curves(axes, fractions, curves[measure])
        axes.set_xlabel(below, size=9, color=INK)
    row[0].set_ylabel("probability of the explained class", size=9, color=INK)
    if agreement is not None:
        _head(row[2], "Sanity", "weights random from the head down · near 0 is better")
        _draw_agreement(row[2], agreement)
    return figure


def _head(axes: Axes, name: str, meaning: str) -> None:
    axes.set_title(name, loc="left", size=11, weight="bold", color=INK, pad=18)
    axes.text(0, 1.02, meaning, size=8.5, color=GREY, transform=axes.transAxes)
    plain_axes(axes)


def _draw_curves(axes: Axes, fractions: NDArray[np.floating], explanations: Mapping[str, NDArray[np.floating]]) -> None:
    styles = zip(GROUP_COLOURS, GROUP_LINES, GROUP_MARKERS, strict=True)
    for (name, values), (colour, line, marker) in zip(explanations.items(), styles, strict=False):
        known = values[np.isfinite(values).all(axis=1)]
        mean = known.mean(axis=0)
        error = _reach(known) if len(known) > 1 else np.zeros_like(mean)
        label = f"{shorten(name)} {np.trapezoid(mean, fractions):.3f}"
        every = max(1, len(fractions) // 7)
        axes.plot(
            fractions, mean, color=colour, linestyle=line, marker=marker, markevery=every, ms=4.5, lw=1.8, label=label
        )
        low, high = (np.clip(edge, 0, 1) for edge in (mean - error, mean + error))  # of a probability
        axes.fill_between(fractions, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set_xlim(0, 1)
    _legend(axes, "area under the curve (band: 95 % of the mean)", -0.17)


def _reach(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return how far the 95 % interval reaches to either side of the mean of each column."""
    from scipy import stats  # slow to import, and rarely needed

    number = len(values)
    reach: NDArray[np.floating] = stats.t.ppf(0.975, number - 1) * values.std(axis=0, ddof=1) / np.sqrt(number)
    return reach


def _draw_agreement(axes: Axes, agreement: pd.DataFrame) -> None:
    lines = agreement[agreement["stage"].isin(list(REFERENCES))]
    rows = agreement[~agreement["stage"].isin(list(REFERENCES))].reset_index(drop=True)
    steps = ~rows["stage"].isin(APART)
    kinds = (
        ("correlation", "low", "high", "signed", 0),
        ("absolute", "absolute_low", "absolute_high", "magnitudes", 1),
    )
    for value, low, high, label, kind in kinds:
        colour, marker = ((BLUE, "o"), (VERMILLION, "s"))[kind]
        places = rows.index.to_numpy(dtype=float) + (0.16 * kind - 0.08)
        reach = np.abs(rows[[low, high]].to_numpy(dtype=float).T - rows[value].to_numpy(dtype=float))
        axes.errorbar(places, rows[value], reach, fmt=marker, ms=5, color=colour, capsize=3, lw=1.4, label=label)
        axes.plot(places[steps], rows[value][steps], GROUP_LINES[kind], color=colour, lw=1.4)
    for place, draws in enumerate(rows["draws"]):
        if len(draws) > 1:
            label = "signed, one draw" if place == 0 else "_"
            axes.plot([place - 0.25] * len(draws), draws, "_", color=GREY, ms=7, mew=1.4, label=label)
    for stage, level in zip(lines["stage"], lines["correlation"], strict=True):
        axes.axhline(level, color=GREY, linestyle=REFERENCES[stage], lw=1.4, label=stage, zorder=0)
    axes.axhline(0, color=INK, lw=0.8, zorder=0)
    axes.set_ylim(min(-0.25, axes.get_ylim()[0]), 1.05)
    axes.set_xlim(-0.6, len(rows) - 0.4)
    axes.set_xticks(range(len(rows)), [shorten(stage, 18) for stage in rows["stage"]], rotation=30, ha="right")
    axes.set_ylabel("rank correlation with the trained network's map", size=9, color=INK)
    _legend(axes, "mean over images (bar: 95 %)", -0.23)


def _legend(axes: Axes, title: str, below: float) -> None:
    add_legend(
        axes, title=title, loc="upper left", bbox_to_anchor=(-0.02, below), ncols=2, fontsize=9, title_fontsize=8.5,
        alignment="left", handlelength=3, borderpad=0,
    )  # fmt: skip
