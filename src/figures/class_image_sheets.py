"""Class images on a sheet: a row for each class, beside what they must improve on, with what a judge says of each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .heat_maps import enlarge, panel_size
from .style import GREY, INK, VERMILLION, blank_sheet, fit, printable, show_pixels, text_width

PANEL = 96  # pixels of an image's longer side, about: 12 × 8, 3 × 28
GAP, APART, LINE, HEADER, HEADING, NAMES = 8, 20, 16, 36, 54, 100  # pixels
ROWS = 20
"""How many classes a page has: 200 are ten pages, none too long to look at."""

MOST_IMAGES = 7
"""How many images of all groups lie side by side."""

MOST_STEPS = 8


@dataclass(frozen=True, eq=False)
class JudgedImages:
    """n images (n, C, S, S) uint8 of the classes `targets` (n,); a judge took them for `predicted` (n,).

    `confidences` (n,), in [0, 1], are the judge's, of what it predicted.
    """

    images: NDArray[np.uint8]
    targets: NDArray[np.int64]
    predicted: NDArray[np.int64]
    confidences: NDArray[np.float32]

    def of(self, target: int) -> NDArray[np.int64]:
        """Which of the images are of this class."""
        return np.flatnonzero(self.targets == target)


def class_image_pages(
    groups: Mapping[str, JudgedImages], class_names: Sequence[str], title: str, judge: str = "the judge"
) -> Iterator[Figure]:
    """Yield sheets of at most `ROWS` classes each.

    `groups` are columns by their heading, the class images first, with a row for each class that they have images of.
    Above each group stands how many of all its images the judge names right, including those without room here (as many
    as fit are shown, at least one of each other group). Below each image stands how sure the judge is and, where it is
    wrong, what it says, in vermillion with a ✗. `judge` is its name.
    """
    classes = np.unique(next(iter(groups.values())).targets).tolist()
    pages = [classes[start : start + ROWS] for start in range(0, len(classes), ROWS)]
    for number, page in enumerate(pages, start=1):
        more = f" · page {number} of {len(pages)}" if len(pages) > 1 else ""
        yield _page(groups, class_names, page, printable(title) + more, judge)


def _page(
    groups: Mapping[str, JudgedImages], class_names: Sequence[str], classes: Sequence[int], title: str, judge: str
) -> Figure:
    height, width = panel_size(next(iter(groups.values())).images.shape[2:], PANEL)
    columns = _columns({name: max(len(group.of(target)) for target in classes) for name, group in groups.items()})
    lefts, right = {}, NAMES
    for name, count in columns.items():
        lefts[name] = right
        right += _group_width(count, width) + APART
    cell, top = height + LINE + GAP, HEADER + HEADING
    note = (
        f"Above: how many of all {judge} names right. "
        "Below each image: how sure it is of the class; ✗: it takes it for another one."
    )
    axes, canvas = blank_sheet(top + len(classes) * cell + 2 * LINE + 10, max(right, 560))
    _title(axes, title, canvas.shape[1])
    for name, group in groups.items():
        _heading(axes, lefts[name], _group_width(columns[name], width), name, group)
    for row, target in enumerate(classes):
        y = top + row * cell
        label = fit(class_names[target], NAMES - 2 * GAP, 9, lines=3)
        axes.text(GAP, y + height / 2, label, size=9, color=INK, va="center", parse_math=False)
        for name, group in groups.items():
            for place, index in enumerate(group.of(target)[: columns[name]]):
                x = lefts[name] + place * (width + GAP)
                canvas[y : y + height, x : x + width] = enlarge(group.images[index], (height, width))
                _verdict(axes, x, y + height, width, group, int(index), class_names)
    note = fit(note, canvas.shape[1] - 2 * GAP, 9, lines=2)
    axes.text(GAP, canvas.shape[0] - LINE - 4, note, size=9, color=GREY, va="center", parse_math=False)
    return show_pixels(axes, canvas)


def _title(axes: Axes, title: str, width: int) -> None:
    words: dict[str, Any] = {"size": 11, "weight": "bold"}
    text = fit(printable(title), width - 2 * GAP, **words)
    axes.text(GAP, HEADER / 2, text, color=INK, va="center", parse_math=False, **words)


def _columns(images: Mapping[str, int]) -> dict[str, int]:
    """Return how many images of a class each group may show: one, and the first groups more while there is room."""
    columns = dict.fromkeys(images, 1)
    for name, count in images.items():
        columns[name] += max(0, min(count - 1, MOST_IMAGES - sum(columns.values())))
    return columns


def _group_width(count: int, width: int) -> int:
    return count * (width + GAP) - GAP


def _heading(axes: Axes, left: int, width: int, name: str, group: JudgedImages) -> None:
    """Write the group's name, and below it how many of its images are named right, out of how many."""
    share = (group.predicted == group.targets).mean()
    words: dict[str, Any] = {"size": 9, "color": INK, "va": "bottom", "parse_math": False}
    name = fit(name, width + APART - 4, 9, lines=2, weight="bold")
    axes.text(left, HEADER + HEADING - LINE - 7, name, weight="bold", linespacing=1.1, **words)
    axes.text(left, HEADER + HEADING - 6, f"{100 * share:.0f} % of {len(group.targets)}", **words)


def _verdict(
    axes: Axes, left: int, top: int, width: int, group: JudgedImages, index: int, class_names: Sequence[str]
) -> None:
    """Write the judge's confidence and, where it is wrong, what it says; otherwise the row's name has the class."""
    right, sure = group.predicted[index] == group.targets[index], f"{group.confidences[index]:.2f}"
    colour, weight = (INK, "normal") if right else (VERMILLION, "bold")
    text = f"✓ {sure}"
    if not right:
        room = width + GAP - 4 - text_width(f"✗  {sure}", 9, weight)
        text = " ".join(("✗", fit(class_names[group.predicted[index]], room, 9, weight=weight), sure))
    axes.text(left, top + LINE / 2 + 1, text, size=9, color=colour, weight=weight, va="center", parse_math=False)


def class_image_steps(snapshots: NDArray[np.uint8], steps: Sequence[int], labels: Sequence[str], title: str) -> Figure:
    """Draw how images came about: a row for each image with its label, a column for each step.

    `snapshots` (m, n, C, S, S) uint8 after each of `steps` (m,). Of more than `ROWS` images the first are shown, of
    more than `MOST_STEPS` steps evenly chosen ones with the first and the last.
    """
    shown = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), MOST_STEPS)).round().astype(int))
    rows = min(len(labels), ROWS)
    height, width = panel_size(snapshots.shape[3:], PANEL)
    cell, top = height + GAP, HEADER + LINE + GAP
    right = max(NAMES + len(shown) * (width + GAP), 400)
    axes, canvas = blank_sheet(top + rows * cell + (LINE + GAP if rows < len(labels) else 0), right)
    words: dict[str, Any] = {"color": INK, "va": "center", "parse_math": False}
    axes.text(
        GAP, HEADER / 2, fit(printable(title), right - 2 * GAP, 11, weight="bold"), size=11, weight="bold", **words
    )
    for column, place in enumerate(shown):
        x = NAMES + column * (width + GAP)
        axes.text(x, HEADER + LINE / 2, f"step {steps[place]}" if steps[place] else "start", size=9, **words)
        for row in range(rows):
            y = top + row * cell
            canvas[y : y + height, x : x + width] = enlarge(snapshots[place, row], (height, width))
    for row in range(rows):
        axes.text(GAP, top + row * cell + height / 2, fit(labels[row], NAMES - 2 * GAP, 9, lines=3), size=9, **words)
    if rows < len(labels):
        axes.text(GAP, canvas.shape[0] - LINE, f"the first {rows} of {len(labels)} images", size=9, **words)
    return show_pixels(axes, canvas)
