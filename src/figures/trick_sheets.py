"""Class images trick by trick: a row for each way to make them, a column for each class, a judge's word below each."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .class_image_sheets import JudgedImages
from .heat_maps import enlarge, panel_size
from .style import GREY, INK, VERMILLION, blank_sheet, fit, printable, show_pixels

PANEL = 72  # pixels of an image's longer side, about: ten of them side by side, with room for a class's name
GAP, LINE, HEADER, HEADING, NAMES, WIDEST = 8, 15, 36, 34, 140, 1000  # pixels

NOTE = "Below each image: how sure {judge} is of what it names; ✗: it takes it for another class. None was chosen."


def trick_pages(
    ways: Mapping[str, JudgedImages], class_names: Sequence[str], title: str, judge: str = "the judge"
) -> Iterator[Figure]:
    """Yield sheets of as many classes as fit side by side, about as many on each.

    `ways` are rows by their names, with images of the same classes. Beside a name stands how many of all its images the
    judge names right; of each class the first image is shown, or the first ones where there are few classes.
    """
    classes = np.unique(next(iter(ways.values())).targets)
    _, width = panel_size(next(iter(ways.values())).images.shape[2:], PANEL)
    room = max(1, (WIDEST - NAMES) // (width + GAP))
    pages = np.array_split(classes, -(-len(classes) // room))
    for number, page in enumerate(pages, start=1):
        more = f" · page {number} of {len(pages)}" if len(pages) > 1 else ""
        yield _page(ways, class_names, page.tolist(), printable(title) + more, judge, room // len(page))


def _page(
    ways: Mapping[str, JudgedImages], class_names: Sequence[str], classes: Sequence[int], title: str, judge: str,
    most: int,
) -> Figure:  # fmt: skip
    height, width = panel_size(next(iter(ways.values())).images.shape[2:], PANEL)
    each = min(most, max(len(group.of(target)) for group in ways.values() for target in classes))
    cell, across, top = height + 2 * LINE + GAP, each * (width + GAP), HEADER + HEADING
    axes, canvas = blank_sheet(top + len(ways) * cell + 2 * LINE + 10, max(NAMES + len(classes) * across, 560))
    words: dict[str, Any] = {"size": 9, "color": INK, "parse_math": False}
    heading = fit(title, canvas.shape[1] - 2 * GAP, 11, weight="bold")
    axes.text(GAP, HEADER / 2, heading, va="center", weight="bold", **(words | {"size": 11}))
    for column, target in enumerate(classes):
        name = fit(class_names[target], across - 3, 9, lines=2, weight="bold")
        axes.text(NAMES + column * across, top - 5, name, va="bottom", weight="bold", linespacing=1.1, **words)
    for row, (name, group) in enumerate(ways.items()):
        y = top + row * cell
        right = int((group.predicted == group.targets).sum())
        label = f"{fit(name, NAMES - GAP - 3, 9, lines=2)}\n{right} of {len(group.targets)} right"
        axes.text(GAP, y + height / 2, label, va="center", linespacing=1.3, **words)
        for column, target in enumerate(classes):
            for place, index in enumerate(group.of(target)[:each]):
                x = NAMES + column * across + place * (width + GAP)
                canvas[y : y + height, x : x + width] = enlarge(group.images[index], (height, width))
                _verdict(axes, x, y + height, width, group, int(index), class_names)
    note = fit(NOTE.format(judge=judge), canvas.shape[1] - 2 * GAP, 9, lines=2)
    axes.text(GAP, canvas.shape[0] - LINE - 4, note, va="center", **(words | {"color": GREY}))
    return show_pixels(axes, canvas)


def _verdict(
    axes: Axes, left: int, top: int, width: int, group: JudgedImages, index: int, class_names: Sequence[str]
) -> None:
    """Write how sure the judge is and, where it is wrong, on a second line what it says."""
    right, sure = group.predicted[index] == group.targets[index], f"{group.confidences[index]:.2f}"
    words: dict[str, Any] = {"size": 9, "va": "center", "parse_math": False}
    words |= {"color": INK} if right else {"color": VERMILLION, "weight": "bold"}
    axes.text(left, top + LINE / 2 + 1, f"{'✓' if right else '✗'} {sure}", **words)
    if not right:
        said = fit(class_names[group.predicted[index]], width + GAP - 3, 9, weight="bold")
        axes.text(left, top + 3 * LINE / 2, said, **words)
