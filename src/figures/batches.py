"""A batch of images with their labels, as the network gets them."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .heat_maps import enlarge, panel_size
from .style import INK, blank_sheet, fit, printable, show_pixels

PANEL, GAP, LINE, HEADER = 112, 10, 16, 34  # pixels
COLUMNS = 8
SIZE = 9  # points


def batch_sheet(images: NDArray[np.uint8], labels: Sequence[str], title: str) -> Figure:
    """Draw images (N, C, H, W), eight a row, each above its label on up to two lines; N > 0."""
    height, width = panel_size(images.shape[2:], PANEL)
    fitted = [fit(printable(label), width, SIZE, lines=2) for label in labels]
    below = LINE * (2 if any("\n" in label for label in fitted) else 1) + 4
    columns, cell = min(COLUMNS, len(images)), height + below + GAP
    total = max(columns * (width + GAP) + GAP, 3 * (PANEL + GAP))
    axes, canvas = blank_sheet(HEADER + -(-len(images) // columns) * cell, total)
    heading = fit(printable(title), total - 2 * GAP, 11, weight="bold")
    axes.text(GAP, HEADER / 2, heading, size=11, weight="bold", color=INK, va="center", parse_math=False)
    for place, (image, label) in enumerate(zip(images, fitted, strict=True)):
        left, top = GAP + place % columns * (width + GAP), HEADER + place // columns * cell
        canvas[top : top + height, left : left + width] = enlarge(image, (height, width))
        for number, line in enumerate(label.split("\n"), start=1):
            y = top + height + number * LINE - 3  # one base line for all, whatever letters they have
            axes.text(left, y, line, size=SIZE, color=INK, va="baseline", parse_math=False)
    return show_pixels(axes, canvas)
