"""Several groups of runs over the epochs: learning curves, and how their Grad-CAMs moved."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

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
    end_at_one,
    epoch_axes,
    fit_labels,
    text_width,
)

WIDTH = 9  # inches
OVERLAID = len(GROUP_COLOURS)  # groups that one chart can hold; more get a chart each
SPLITS = {"train": "Train", "val": "Validation"}
HEAD, CHART, AXIS = 0.6, 1.15, 0.45  # inches: the legend, a small chart, what stands below the lowest
MOVEMENT = "Similarity of the Grad-CAMs to those of the last epoch (mean correlation; 1: the same)"
QUANTITIES = {"accuracy": "accuracy", "loss": "loss"}
Style = dict[str, Any]
GROUP_STYLES: list[Style] = [
    {"color": colour, "linestyle": line, "marker": marker}
    for colour, line, marker in zip(GROUP_COLOURS, GROUP_LINES, GROUP_MARKERS, strict=True)
]


def learning_curves(
    histories: Mapping[str, Sequence[pd.DataFrame]], quantities: Mapping[str, str] = QUANTITIES
) -> Figure:
    """Draw the mean over the seeds of each group, and a band from the lowest to the highest seed.

    `histories` maps a label to a table for each seed: one row an epoch, `epoch` and `{train,val}/{quantity}`; seeds may
    have stopped at different epochs. `quantities` maps names to titles. Up to six groups share a chart for training and
    one for validation; more groups get a chart each, training dashed.
    """
    if len(histories) <= OVERLAID:
        return _overlaid(histories, quantities)
    return _one_each(histories, quantities)


def _overlaid(histories: Mapping[str, Sequence[pd.DataFrame]], quantities: Mapping[str, str]) -> Figure:
    figure = Figure(figsize=(WIDTH, 3.2 * len(quantities) + 0.3 * len(histories)), dpi=DPI, layout="constrained")
    grid = figure.subplots(len(quantities), 2, sharex=True, sharey="row", squeeze=False)
    for row, (quantity, title) in zip(grid, quantities.items(), strict=True):
        for axes, (split, name) in zip(row, SPLITS.items(), strict=True):
            axes.set_title(f"{name} {title}", loc="left", size=11, weight="bold", color=INK)
            for seeds, style in zip(histories.values(), GROUP_STYLES, strict=False):
                _draw(axes, by_epoch(seeds, f"{split}/{quantity}"), style)
        _scale(list(row), quantity)
    _finish_grid(grid, grid.size)
    _legend(figure, _group_styles(histories), _how_drawn(list(histories.values())))
    return figure


def _one_each(histories: Mapping[str, Sequence[pd.DataFrame]], quantities: Mapping[str, str]) -> Figure:
    titles = _titles(histories)
    block = 0.2 + _height(titles)
    figure = Figure(figsize=(WIDTH, HEAD + len(quantities) * block), dpi=DPI)
    styles: dict[str, Style] = {
        "train": {"color": BLUE, "linestyle": "--", "marker": "o"},
        "validation": {"color": VERMILLION, "linestyle": "-", "marker": "s"},
    }
    for number, (quantity, title) in enumerate(quantities.items()):
        top = HEAD + number * block
        heading = title.capitalize() if title.islower() else title
        figure.text(0.01, 1 - (top + 0.15) / figure.get_figheight(), heading, size=12, weight="bold", color=INK)
        grid = _small_charts(figure, titles, top + 0.2)
        for axes, seeds in zip(grid.flat, histories.values(), strict=False):
            for split, style in zip(SPLITS, styles.values(), strict=True):
                _draw(axes, by_epoch(seeds, f"{split}/{quantity}"), style)
        _scale(list(grid.flat[: len(titles)]), quantity)
        _finish_grid(grid, len(titles))
    _legend(figure, styles, _how_drawn(list(histories.values())))
    return figure


def gradcam_movement(similarity: Mapping[str, Sequence[tuple[int, float]]]) -> Figure:
    """Draw how similar each epoch's maps are to the last epoch's: (epoch, similarity in [-1, 1] or NaN) by label.

    Up to six groups share a chart; more groups get a chart each.
    """
    if len(similarity) <= OVERLAID:
        figure = Figure(figsize=(WIDTH, 3.4 + 0.25 * len(similarity)), dpi=DPI, layout="constrained")
        grid = figure.subplots(1, 1, squeeze=False)
        charts, styles = [grid[0, 0]] * len(similarity), GROUP_STYLES
        _legend(figure, _group_styles(similarity), MOVEMENT)
    else:
        titles = _titles(similarity)
        figure = Figure(figsize=(WIDTH, 0.25 + _height(titles)), dpi=DPI)
        figure.text(0.01, 1 - 0.22 / figure.get_figheight(), MOVEMENT, size=10, color=INK)
        grid = _small_charts(figure, titles, 0.25)
        charts, styles = list(grid.flat), GROUP_STYLES[:1] * len(similarity)
    for axes, pairs, style in zip(charts, similarity.values(), styles, strict=False):
        points = np.array(pairs, dtype=float).reshape(-1, 2)
        marked = style | {"marker": style["marker"] if len(points) < 15 else "", "markersize": 4}
        axes.plot(*points.T, linewidth=1.8, **marked)
    _finish_grid(grid, min(grid.size, len(similarity)))
    return figure


def by_epoch(seeds: Sequence[pd.DataFrame], column: str) -> pd.DataFrame:
    """Return `mean`, `min`, `max` and `count` over the seeds with a finite value, one row an epoch."""
    measured = [history[["epoch", column]].astype(float) for history in seeds if column in history]
    rows = pd.concat(measured, ignore_index=True) if measured else pd.DataFrame({"epoch": [], column: []}, dtype=float)
    known = rows[np.isfinite(rows[column])].groupby("epoch")[column]
    return pd.DataFrame(known.agg(["mean", "min", "max", "count"]))


def _draw(axes: Axes, table: pd.DataFrame, style: Style) -> None:
    """Draw a thick line where all seeds were measured, a thin one where some had stopped."""
    if table.empty:
        return
    seeds = table["count"].max()
    marked = style | {"marker": style["marker"] if len(table) < 15 else "", "markersize": 4}
    axes.plot(table.index, table["mean"].where(table["count"] == seeds), linewidth=1.8, **marked)
    if table["count"].min() < seeds:
        axes.plot(table.index, table["mean"], linewidth=0.7, color=style["color"])
    if seeds > 1:
        axes.fill_between(table.index, table["min"], table["max"], color=style["color"], alpha=0.18, linewidth=0)


def _titles(labels: Iterable[str]) -> list[str]:
    """Return the titles of small charts, shortened to their width."""
    labels = list(labels)
    return fit_labels(labels, WIDTH * DPI / _columns(len(labels)) - 40, 9, lines=3, weight="bold")


def _columns(charts: int) -> int:
    return 4 if charts > 9 or charts % 4 == 0 else 3


def _height(titles: Sequence[str]) -> float:
    """Return how many inches the small charts with these titles take."""
    rows = -(-len(titles) // _columns(len(titles)))
    return rows * (CHART + _gap(titles)) + AXIS


def _gap(titles: Sequence[str]) -> float:
    return 0.2 + 0.16 * (1 + max(title.count("\n") for title in titles))


def _small_charts(figure: Figure, titles: Sequence[str], top: float) -> Any:
    """Make a grid (rows, columns) of charts with shared axes, `top` inches below the upper edge.

    It is placed by hand, because the constrained layout would draw all charts once more.
    """
    columns, height = _columns(len(titles)), figure.get_figheight()
    place = {
        "left": 0.06,
        "right": 0.99,
        "top": 1 - (top + _gap(titles)) / height,
        "bottom": 1 - (top + _height(titles) - AXIS) / height,
        "hspace": _gap(titles) / CHART,
        "wspace": 0.08,
    }
    rows = -(-len(titles) // columns)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False, gridspec_kw=place)
    for axes, title in zip(grid.flat, titles, strict=False):
        axes.set_title(title, loc="left", size=9, weight="bold", color=INK, parse_math=False)
    return grid


def _finish_grid(grid: Any, used: int) -> None:
    for i, axes in enumerate(grid.flat):
        axes.set_visible(i < used)
        epoch_axes(axes)
        if not any(np.isfinite(np.asarray(line.get_ydata(), float)).any() for line in axes.lines):
            axes.text(0.5, 0.5, "not measured", size=9, color=GREY, ha="center", transform=axes.transAxes)
    for axes in grid[-1]:
        axes.set_xlabel("epoch", size=9, color=INK)


def _scale(row: Sequence[Axes], quantity: str) -> None:
    """End shares at 1; use a logarithmic scale where one seed's loss of 30, say, would flatten all curves."""
    values = np.concatenate(
        [np.full(1, np.nan)] + [np.asarray(line.get_ydata(), float) for axes in row for line in axes.lines]
    )
    values = values[np.isfinite(values)]
    if not len(values):
        return
    if quantity != "loss":
        for axes in row:
            end_at_one(axes, values)
    elif 0 < values.min() < max(axes.dataLim.y1 for axes in row) / 30:  # the limits are of lines and bands
        row[0].set_yscale("log")  # the others share it


def _group_styles(labels: Iterable[str]) -> dict[str, Style]:
    return dict(zip(fit_labels(list(labels), 0.8 * WIDTH * DPI, 10), GROUP_STYLES, strict=False))


def _legend(figure: Figure, styles: Mapping[str, Style], title: str) -> None:
    widest = 90 + max(text_width(label, 10) for label in styles)
    lines = [Line2D([], [], linewidth=1.8, markersize=5, **style) for style in styles.values()]
    place = "outside upper left" if figure.get_layout_engine() else "upper left"
    add_legend(
        figure, lines, list(styles), title=title, loc=place, ncols=max(1, int(WIDTH * DPI / widest)), fontsize=10,
        title_fontsize=10, alignment="left", handlelength=3.4,
    )  # fmt: skip


def _how_drawn(groups: Sequence[Sequence[pd.DataFrame]]) -> str:
    fewest, most = (limit(map(len, groups)) for limit in (min, max))
    if most == 1:
        return "one run each"
    stopped = any(len({history["epoch"].max() for history in seeds}) > 1 for seeds in groups)
    runs = f"{most}" if fewest == most else f"{fewest} to {most}"
    return f"mean of {runs} runs, band: lowest to highest" + (", thin: some had stopped" if stopped else "")
