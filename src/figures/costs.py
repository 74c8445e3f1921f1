"""Accuracy against what it costs, with the Pareto front."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullLocator
from matplotlib.transforms import Bbox
from numpy.typing import ArrayLike, NDArray

from ..frames import pd
from .fonts import boxes_allowed, give_fonts
from .style import BLUE, DPI, GREY, INK, add_legend, end_at_one, fit_labels, text_width

WIDTH = 8  # inches
COSTS = {"parameters": "parameters", "macs": "MACs an image", "latency_ms": "latency in ms"}
SIZE = 9.5  # points, of labels
NAMED = 0.3  # of the width, the longest label beside a point
# Where a label is tried, in turn.
DIRECTIONS: list[tuple[float, float]] = [(1, 0), (-1, 0), (1, -1), (1, 1), (-1, 1), (-1, -1), (0, 1), (0, -1)]
DIRECTIONS += [(1, 0.5), (-1, 0.5), (1, -0.5), (-1, -0.5), (0.5, 1), (-0.5, 1), (0.5, -1), (-0.5, -1)]


def pareto_front(cost: ArrayLike, accuracy: ArrayLike) -> NDArray[np.bool_]:
    """Return (N,), whether no other is at most as expensive and at least as good, and better in one of the two.

    Equals are on the front together; a point with a NaN is not on it and beats nobody.
    """
    cost, accuracy = np.asarray(cost, float), np.asarray(accuracy, float)
    as_good = (cost[None] <= cost[:, None]) & (accuracy[None] >= accuracy[:, None])
    better = (cost[None] < cost[:, None]) | (accuracy[None] > accuracy[:, None])
    return np.asarray(~(as_good & better).any(axis=1) & ~np.isnan(cost) & ~np.isnan(accuracy))


def cost_charts(points: pd.DataFrame, score: str = "accuracy", split: str = "Test") -> Figure | None:
    """Draw scores against parameters, MACs and latency, a chart each on a logarithmic axis; None where none is known.

    `points` has one row a group: `label`, `score`, and any of `score_sd`, `parameters`, `macs`, `latency_ms`;
    values may be NaN. Points that no other beats (`pareto_front`) are filled and joined by a line. Points carry their
    label, or a number where labels would overlap.
    """
    panels = {cost: _known(points, cost) for cost in COSTS if cost in points}
    panels = {cost: rows for cost, rows in panels.items() if len(rows)}
    if not panels:
        return None
    title = f"{split} {score}"
    return _drawn(points, panels, title, numbered=False) or _drawn(points, panels, title, numbered=True)


def _known(points: pd.DataFrame, cost: str) -> pd.DataFrame:
    rows = pd.DataFrame({"cost": points[cost], "score": points["score"]}).astype(float)
    rows["sd"] = points["score_sd"].astype(float) if "score_sd" in points else np.nan
    known = np.isfinite(rows["cost"]) & np.isfinite(rows["score"]) & (rows["cost"] > 0)
    return pd.DataFrame(rows[known])


def _drawn(points: pd.DataFrame, panels: dict[str, pd.DataFrame], score: str, numbered: bool) -> Figure | None:
    """Draw the charts one below the other; return None where the labels find no place."""
    below = -(-len(points) // 2) if numbered else 0
    figure = Figure(figsize=(WIDTH, 3 * len(panels) + 0.3 + 0.22 * below), dpi=DPI)
    figure.set_layout_engine(ConstrainedLayoutEngine(h_pad=0.08))
    labels = pd.Series(fit_labels(list(points["label"]), NAMED * WIDTH * DPI, SIZE), points.index)
    if numbered:
        labels = pd.Series([f"{i}" for i in range(1, len(points) + 1)], points.index)
        _key(figure, points["label"])
    figure.suptitle(
        f"{score} against cost; filled: no other is both cheaper and better", x=0.01, ha="left", size=10, color=INK
    )
    charts = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axes, (cost, rows) in zip(charts, panels.items(), strict=True):
        _chart(axes, rows, cost, score)
    FigureCanvasAgg(figure)
    give_fonts(figure)
    with boxes_allowed():
        figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the labels are placed in pixels: nothing may move any more
    placed = [_label(axes, rows, labels, numbered) for axes, rows in zip(charts, panels.values(), strict=True)]
    return figure if all(placed) else None


def _key(figure: Figure, labels: Iterable[str]) -> None:
    names = fit_labels([f"{i}  {label}" for i, label in enumerate(labels, start=1)], WIDTH * DPI / 2 - 30, SIZE)
    patches = [figure.patch] * len(names)
    add_legend(
        figure, patches, names, loc="outside lower left", ncols=2, fontsize=SIZE, handlelength=0, handletextpad=0
    )


def _chart(axes: Axes, rows: pd.DataFrame, cost: str, score: str) -> None:
    axes.set_xscale("log")
    room = max((rows["cost"].max() / rows["cost"].min()) ** 0.15, 2.2)  # at least one tick, and a place for labels
    axes.set_xlim(rows["cost"].min() / room, rows["cost"].max() * room)
    front = pareto_front(rows["cost"], rows["score"])
    axes.errorbar(rows["cost"], rows["score"], rows["sd"].fillna(0), fmt="none", ecolor="#9a9a9a", elinewidth=1.2)
    steps = rows[front].sort_values("cost")
    axes.step(
        [*steps["cost"], rows["cost"].max() * room],
        [*steps["score"], steps["score"].iloc[-1]],
        where="post", color=BLUE, linewidth=1.2, linestyle=(0, (4, 2)), zorder=1,
    )  # fmt: skip
    for on_front, face in ((True, BLUE), (False, "white")):
        some = rows[front == on_front]
        axes.scatter(some["cost"], some["score"], s=42, facecolor=face, edgecolor=BLUE, linewidth=1.4, zorder=3)
    axes.margins(y=0.2)
    end_at_one(axes, rows["score"])
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_major_formatter(plain if cost == "latency_ms" else EngFormatter(sep=""))
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.set_xlabel(COSTS[cost], size=11, color=INK)
    axes.set_ylabel(score, size=10, color=INK)
    axes.grid(color="#ececec", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=9)


def _label(axes: Axes, rows: pd.DataFrame, labels: pd.Series, numbered: bool) -> bool:
    """Write each point's label where it covers nothing; return False where one of them has no such place."""
    taken = _drawn_boxes(axes, rows)
    points = axes.transData.transform(rows[["cost", "score"]].to_numpy())
    for point, cost, score, label in zip(points, rows["cost"], rows["score"], labels[rows.index], strict=True):
        size = np.array([text_width(label, SIZE) + 4, SIZE * DPI / 72 * 1.25])
        middle = _free_place(point, size, taken, axes.bbox, range(9, 300, 9) if numbered else (9, 18, 30))
        if middle is None and not numbered:
            return False
        offset = np.array([9 + size[0] / 2, 0]) if middle is None else middle - point
        taken.append(Bbox.from_bounds(*(point + offset - size / 2), *size))
        far = np.hypot(*np.maximum(np.abs(offset) - size / 2, 0)) > 16
        away = np.hypot(*(points - (point + offset)).T)
        far |= bool(away.min() < np.hypot(*offset) - 1)  # a reader would take it for the nearest point's
        leader = {"arrowstyle": "-", "color": GREY, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 4}
        axes.annotate(
            label, (cost, score), xytext=tuple(offset * 72 / DPI), textcoords="offset points", ha="center",
            va="center", size=SIZE, color=INK, parse_math=False, arrowprops=leader if far else None,
        )  # fmt: skip
    return True


def _drawn_boxes(axes: Axes, rows: pd.DataFrame) -> list[Bbox]:
    """Return what a label may not cover, in pixels: points, their error bars, and the line of the front."""
    boxes = []
    for cost, score, sd in rows[["cost", "score", "sd"]].fillna({"sd": 0}).to_numpy():
        (x, y), (_, top) = axes.transData.transform([(cost, score), (cost, score + sd)])
        boxes += [Bbox.from_extents(x - 7, y - 7, x + 7, y + 7), Bbox.from_extents(x - 2, 2 * y - top, x + 2, top)]
    front = axes.transData.transform(axes.lines[-1].get_xydata())
    for (x, y), (right, up) in pairwise(front):
        boxes += [Bbox.from_extents(x, y - 2, right, y + 2), Bbox.from_extents(right - 2, y, right + 2, up)]
    return boxes


def _free_place(
    point: NDArray[np.float64], size: NDArray[np.float64], taken: Sequence[Bbox], inside: Bbox, radii: Iterable[int]
) -> NDArray[np.float64] | None:
    """Return the middle, in pixels, of the nearest box of `size` beside the point that covers no taken one."""
    for radius in radii:
        for direction in DIRECTIONS:
            middle = point + np.array(direction) * (radius + size / 2) / max(1, 0.7 * np.hypot(*direction))
            box = Bbox.from_bounds(*(middle - size / 2), *size)
            within = box.x0 >= inside.x0 and box.x1 <= inside.x1 and box.y0 >= inside.y0 and box.y1 <= inside.y1
            if within and not any(box.overlaps(other) for other in taken):
                return np.asarray(middle)
    return None
