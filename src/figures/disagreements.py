"""Where models disagree: images that one gets right and another wrong."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .heat_maps import GAP, PANEL, enlarge, panel_size
from .style import GREEN, INK, VERMILLION, blank_sheet, fit, fit_labels, show_pixels

IMAGES = 24
COLUMNS = 4
LINE = 17  # pixels
SIZE = 9.5  # points


def disagreements(images: NDArray[np.uint8], true: Sequence[str], predicted: Mapping[str, Sequence[str]]) -> Figure:
    """Draw up to 24 images that one model gets right and another wrong, with what each of them says.

    `images` (N, C, H, W), `true` and each model's `predicted` one class name an image; images that all get right or all
    get wrong are left out. Where there are too many, each way of disagreeing gets its share.
    """
    right = np.array([[said == truth for said, truth in zip(names, true, strict=True)] for names in predicted.values()])
    chosen = _shares(right.reshape(len(predicted), len(true)))
    letters = [chr(ord("A") + i) for i in range(len(predicted))]
    height, width = panel_size(images.shape[2:])
    cell = height + LINE * (1 + len(letters)) + 2 * GAP
    columns = max(1, min(COLUMNS, len(chosen)))
    sheet = max(columns * (width + GAP) + GAP, 2 * (PANEL + GAP) + GAP)
    headings = fit_labels(
        [f"{letter} = {label}" for letter, label in zip(letters, predicted, strict=True)], sheet - 2 * GAP, 10
    )
    headings.append("✓ right  ✗ wrong" if chosen else "Right and wrong on the same images.")
    top = LINE * len(headings) + GAP + 8
    axes, canvas = blank_sheet(top + -(-len(chosen) // columns) * cell, sheet)
    for i, heading in enumerate(headings):
        axes.text(GAP, 8 + LINE * (i + 0.5), heading, size=10, color=INK, va="center", parse_math=False)
    for place, i in enumerate(chosen):
        x, y = GAP + place % columns * (width + GAP), top + place // columns * cell
        canvas[y : y + height, x : x + width] = enlarge(images[i], (height, width))
        room = max(width, PANEL if columns == 1 else 0)
        lines = [(f"true {true[i]}", INK, "normal")]
        for letter, names, hits in zip(letters, predicted.values(), right, strict=True):
            lines.append((f"{'✓' if hits[i] else '✗'} {letter} {names[i]}", GREEN if hits[i] else VERMILLION, "bold"))
        for line, (text, colour, weight) in enumerate(lines):
            text = fit(text, room, SIZE, weight=weight)
            axes.text(
                x, y + height + 4 + LINE * (line + 0.5), text, size=SIZE, color=colour, weight=weight, va="center",
                parse_math=False,
            )  # fmt: skip
    return show_pixels(axes, canvas)


def _shares(right: NDArray[np.bool_]) -> list[int]:
    """Return up to `IMAGES` columns of `right` (models, N) that hold both values, from each pattern in turn."""
    groups: dict[tuple[bool, ...], list[int]] = {}
    for i, pattern in enumerate(right.T):
        if pattern.any() and not pattern.all():
            groups.setdefault(tuple(pattern), []).append(i)
    in_turn = [i for some in zip_longest(*groups.values()) for i in some if i is not None][:IMAGES]
    return sorted(in_turn, key=lambda i: (*~right[:, i], i))
