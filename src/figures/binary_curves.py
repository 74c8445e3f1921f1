"""ROC and precision-recall curves of two classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .style import DPI, GREY, GROUP_COLOURS, GROUP_LINES, INK, add_legend, fit, fit_labels, plain_axes, printable

WIDTH, SIDE, LEFTS = 9.6, 3.9, (0.7, 5.5)  # inches: of the figure, of a chart, where the charts begin
HEAD, FOOT, ROW = 0.85, 0.75, 0.22  # inches: above the charts, below them, an entry of the legend
MARKERS = ("o", "D")


@dataclass(frozen=True, eq=False)
class BinaryLine:
    """One network's curves, from the highest threshold down.

    Attributes:
        false_positive_rate, recall, precision: (M,).
        areas: the AUROC and the average precision.
        share: of the images that are positive, which is the precision of a guess.
    """

    false_positive_rate: NDArray[np.float64]
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    areas: tuple[float, float]
    share: float


def binary_curves(
    groups: Mapping[str, Sequence[BinaryLine]],
    positive: str,
    title: str,
    marks: Mapping[str, tuple[float, float, float]] | None = None,
) -> Figure:
    """Draw recall over false positive rate, and precision over recall.

    Args:
        groups: by name the lines that share a colour, such as those of a configuration's seeds.
        positive: the positive class.
        marks: by name the false positive rate, recall and precision of a decision.
    """
    rows = len(groups) + len(marks or {})
    height = HEAD + SIDE + FOOT + ROW * rows
    figure = Figure(figsize=(WIDTH, height), dpi=DPI)
    figure.suptitle(
        fit(printable(title), WIDTH * DPI - 20, 12, lines=2, weight="bold"),
        x=0.01, y=1 - 0.1 / height, ha="left", va="top", size=12, weight="bold", color=INK, parse_math=False,
    )  # fmt: skip
    roc, precision_recall = (
        figure.add_axes((left / WIDTH, 1 - (HEAD + SIDE) / height, SIDE / WIDTH, SIDE / height)) for left in LEFTS
    )
    name = fit(positive, 150, 10)
    _label(roc, "ROC", f"false positive rate (others, called {name})", f"recall ({name}, called {name})")
    _label(precision_recall, "Precision and recall", f"recall ({name}, called {name})", "precision")
    shares = {line.share for lines in groups.values() for line in lines}
    roc.plot([0, 1], [0, 1], color=GREY, lw=1, ls=(0, (2, 3)))
    for share in shares if len(shares) == 1 else ():
        precision_recall.axhline(share, color=GREY, lw=1, ls=(0, (2, 3)))
    labels = fit_labels(list(groups), SIDE * DPI - 200)
    for place, (label, lines) in enumerate(zip(labels, groups.values(), strict=True)):
        _draw(roc, precision_recall, label, lines, place)
    for marker, (mark, (alarms, recall, precision)) in zip(MARKERS, (marks or {}).items(), strict=False):
        point: dict[str, Any] = {"ls": "", "ms": 7, "mfc": "white", "mec": INK, "mew": 1.6, "label": mark}
        roc.plot(alarms, recall, marker, **point, zorder=5, clip_on=False)
        precision_recall.plot(recall, precision, marker, **point, zorder=5, clip_on=False)
    for axes in (roc, precision_recall):
        add_legend(axes, loc="upper left", bbox_to_anchor=(-0.02, -0.14), fontsize=9, borderaxespad=0)
    return figure


def _draw(roc: Axes, precision_recall: Axes, label: str, lines: Sequence[BinaryLine], place: int) -> None:
    """Draw the lines of one group in both charts."""
    style: dict[str, Any] = {
        "color": GROUP_COLOURS[place % len(GROUP_COLOURS)],
        "ls": GROUP_LINES[place % len(GROUP_LINES)],
        "lw": 1.8 if len(lines) == 1 else 1.1,
    }
    areas = zip(("AUROC", "AP"), zip(*(line.areas for line in lines), strict=True), strict=True)
    names = [f"{label}  {what} {_mean(values)}" for what, values in areas]
    for line in lines:
        recall, precision = _from(0, line.recall), _from(line.precision[0], line.precision)
        roc.plot(_from(0, line.false_positive_rate), recall, label=names[0], **style)
        precision_recall.plot(recall, precision, label=names[1], drawstyle="steps-pre", **style)
        names = ["_", "_"]  # one entry of the legend for all lines of a group


def _label(axes: Axes, title: str, across: str, up: str) -> None:
    axes.set_title(title, loc="left", size=11, weight="bold", color=INK, pad=10)
    axes.set_xlabel(across, size=10, color=INK, parse_math=False)
    axes.set_ylabel(up, size=10, color=INK, parse_math=False)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    plain_axes(axes)
    axes.grid(axis="x", color="#e5e5e5", linewidth=0.8)


def _from(start: float, values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate(([start], values))


def _mean(values: Sequence[float]) -> str:
    spread = f" ± {np.std(values, ddof=1):.3f} (n = {len(values)})" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"
