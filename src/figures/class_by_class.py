"""Several groups of runs class by class: F1 as a heat map, and confusion matrices beside each other."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..frames import pd
from .confusion import SHARES
from .style import DPI, GREY, INK, fit_labels, text_width

EXTREMES = 20  # classes at each end of a longer list
NUMBERED = 25  # classes up to which the cells of the heat map hold numbers
MATRICES = 12
MISSING = "#eeeeee"
GAP = 10  # pixels


def class_heat_map(f1: pd.DataFrame, figure_name: str = "F1", classes: str = "classes") -> Figure:
    """Draw F1, or another figure, of each class (row) and group (column), the class with the lowest mean at the top.

    Values in [0, 1] or NaN. Of more than 40 classes the 20 worst and the 20 best are shown.
    """
    means = f1.mean(axis=1)
    ranked = f1.loc[means.sort_values(na_position="last").index]
    hidden = max(0, len(ranked) - 2 * EXTREMES)
    unknown = "; grey: unknown" if f1.isna().any(axis=None) else ""
    title = f"{figure_name} of {len(f1)} {classes}, worst first{unknown}"
    if hidden:
        known = ranked[means[ranked.index].notna().to_numpy()]
        gap = pd.DataFrame(np.nan, index=[""], columns=f1.columns)
        ranked = pd.concat([known.head(EXTREMES), gap, known.tail(EXTREMES)])
        title = f"{figure_name}, the {EXTREMES} worst and {EXTREMES} best of {len(f1)} {classes}{unknown}"
    rows, columns = ranked.shape
    cell = float(np.clip(6 / columns, 0.28, 1.1))
    upright = cell * DPI < 90
    names = fit_labels(list(map(str, f1.columns)), 240 if upright else cell * DPI - 8, lines=1 if upright else 3)
    above = max(text_width(name, 9) for name in names) / DPI if upright else 0.4
    height = (0.3 if rows <= NUMBERED else 0.21) * rows + above + 0.6
    figure = Figure(figsize=(max(4.5, cell * columns + 3.2), height), dpi=DPI, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", size=11, weight="bold", color=INK)
    axes = figure.add_subplot()
    axes.set_facecolor(MISSING)
    low, high = _limits(ranked.to_numpy(dtype=float))
    image = axes.imshow(ranked, cmap="cividis", vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    axes.set_yticks(range(rows), fit_labels(list(map(str, ranked.index)), 170), size=9, parse_math=False)
    axes.set_xticks(range(columns), names, size=9, rotation=90 if upright else 0, parse_math=False)
    axes.tick_params(length=0, top=False, labeltop=True, labelbottom=False, colors=INK)
    axes.spines[:].set_visible(False)
    if hidden:
        axes.axhspan(EXTREMES - 0.5, EXTREMES + 0.5, color="white", zorder=2)
        rest = f"⋮ {len(f1) - rows + 1} more"
        axes.text((columns - 1) / 2, EXTREMES, rest, size=9, color=GREY, ha="center", va="center")
    elif rows <= NUMBERED:
        _numbers(axes, ranked.to_numpy(dtype=float), (low + high) / 2, wide=cell > 0.42)
    figure.colorbar(image, ax=axes, aspect=30)
    return figure


def _limits(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return tenths that enclose all values, at least two apart, or good classifiers would all have one colour."""
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0, 1.0
    high = max(0.2, np.ceil(known.max() * 10 - 1e-9) / 10)
    return float(min(np.floor(known.min() * 10 + 1e-9) / 10, high - 0.2)), float(high)


def _numbers(axes: Axes, values: NDArray[np.float64], middle: float, wide: bool) -> None:
    for (row, column), value in np.ndenumerate(values):
        text = "–" if np.isnan(value) else f"{value:.2f}" if wide else f"{value:.2f}".removeprefix("0")
        colour = "white" if value < middle else INK
        axes.text(column, row, text, size=9, color=colour, ha="center", va="center")


def confusion_matrices(counts: Mapping[str, NDArray[np.integer]], class_names: Sequence[str]) -> Figure:
    """Draw the confusion matrices (K, K) of up to twelve groups on one colour scale: the share of the true class.

    Rows are true classes, columns predicted ones. Colours follow the square root, as in `confusion_matrix`.
    """
    shown = dict(list(counts.items())[:MATRICES])
    columns = {1: 1, 2: 2, 4: 2, 7: 4, 8: 4}.get(len(shown), 3 if len(shown) < 10 else 4)
    side = {1: 440, 2: 340, 3: 230, 4: 176}[columns]  # pixels
    names = fit_labels(list(class_names), 130)
    margin = max(text_width(name, 9) for name in names) + 18
    titles = fit_labels(list(shown), side - 4, 9, lines=3, weight="bold")
    head = 16 * (1 + max(title.count("\n") for title in titles)) + 6
    rows = -(-len(shown) // columns)
    width, height = margin + columns * (side + GAP) + 106, 30 + rows * (head + side + GAP) + margin
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    note = f"; the first {MATRICES} of {len(counts)} groups" if len(counts) > MATRICES else ""
    figure.text(8 / width, 1 - 15 / height, f"Rows: true; columns: predicted{note}", size=10, color=INK, va="center")
    for place, (title, matrix) in enumerate(zip(titles, shown.values(), strict=True)):
        left = margin + place % columns * (side + GAP)
        bottom = height - 30 - (place // columns + 1) * (head + side + GAP) + GAP
        axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
        axes.set_title(title, loc="left", size=9, weight="bold", color=INK, parse_math=False)
        shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1), interpolation="nearest")
        _name_classes(axes, names, side, place % columns == 0, place + columns >= len(shown))
        if len(names) <= 10 and text_width(f"{matrix.max():,}", 9) + 2 < side / len(names):
            _counts(axes, matrix, shares)
    bar = figure.add_axes((1 - 91 / width, bottom / height, 14 / width, min(300, side) / height))
    figure.colorbar(image, cax=bar).set_label(SHARES, size=9)
    return figure


def _name_classes(axes: Axes, names: Sequence[str], side: float, beside: bool, below: bool) -> None:
    """Name every n-th class, so that names of 9 points do not touch, at the edges of the figure only."""
    step = max(1, int(np.ceil(16 * len(names) / side)))
    ticks = range(0, len(names), step)
    axes.set_yticks(ticks, names[::step] if beside else [], size=9, parse_math=False)
    axes.set_xticks(ticks, names[::step] if below else [], size=9, rotation=90, parse_math=False)
    axes.tick_params(length=0 if step == 1 else 3, colors=INK)
    axes.spines[:].set_color("#cccccc")


def _counts(axes: Axes, matrix: NDArray[np.integer], shares: NDArray[np.float64]) -> None:
    for row, column in np.ndindex(matrix.shape):
        colour = "white" if shares[row, column] > 0.45 else INK if matrix[row, column] else "#b5b5b5"
        axes.text(column, row, f"{matrix[row, column]:,}", size=9, color=colour, ha="center", va="center")
