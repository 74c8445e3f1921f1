"""Sheets of what excites a layer's channels: crops of images beside their projections back to the pixels."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .heat_maps import enlarge
from .style import GREY, INK, blank_sheet, fit, show_pixels

CELL, LARGE = 74, 140  # pixels of a crop's longer side: on a sheet, and in the picture of one channel
ACROSS = 2  # channels beside each other
GAP, BETWEEN, LINE, MARGIN = 2, 8, 16, 14  # pixels: between crops, between crops and projections, of text, around
NARROWEST = 330  # pixels of a column, so that its words have room
TOP = 99.5  # percentile of a channel's projections that is drawn black or white; single pixels would leave all grey
EMPTY, NOTHING = 238, 128  # grey: where there is no image, and zero


def deconvnet_sheet(
    images: NDArray[np.uint8],
    projections: NDArray[np.floating],
    fields: NDArray[np.integer],
    channels: Sequence[int] | NDArray[np.integer],
    activations: NDArray[np.floating],
    *,
    layer: str,
    network: str,
    rule: str = "deconvnet",
    control: bool = False,
) -> Figure:
    """Draw for each channel the crops that excite it most, left, and what it sees of them, right, in the same order.

    `images` (k, n, C, H, W); `projections` (k, n, C, H, W) raw and signed; `fields` (k, n, 4) top, left, bottom, right
    of the crops; `activations` (k, n), the strongest first. Zero is mid-grey, and one symmetric scale serves all
    projections of a channel. `control` says in the title that the weights are random. One channel is drawn larger.
    """
    side = CELL if len(images) > 1 else LARGE
    blocks = [_block(*values, side) for values in zip(images, projections, fields, strict=True)]
    height, width = np.max([block.shape[:2] for block in blocks], axis=0).tolist()
    width, across = max(width, NARROWEST), min(ACROSS, len(blocks))
    how = {"guided": "guided backpropagation"}.get(rule, rule)
    title = f"{layer} of {network}, {how}{', control: random weights' if control else ''}"
    legend = "left: images, cropped to what the channel can see; right: what of it excites the channel"
    scale = f"right: grey is zero, black and white are ± a channel's own {TOP:g}th percentile"
    full = max(2 * MARGIN + across * (width + MARGIN) - MARGIN, 2 * NARROWEST)
    head, cell = MARGIN + 4 * LINE, height + MARGIN + LINE
    axes, canvas = blank_sheet(head + -(-len(blocks) // across) * cell + LINE, full)
    _write(axes, MARGIN, MARGIN + LINE / 2, title, full - 2 * MARGIN, 11, "bold")
    _write(axes, MARGIN, MARGIN + 1.7 * LINE, legend, full - 2 * MARGIN)
    for i, block in enumerate(blocks):
        left, top = MARGIN + i % across * (width + MARGIN), head + i // across * cell
        canvas[top : top + block.shape[0], left : left + block.shape[1]] = block
        _write(axes, left, top - LINE / 2, _caption(int(channels[i]), activations[i]), width)
    _write(axes, MARGIN, canvas.shape[0] - LINE, scale, full - 2 * MARGIN, colour=GREY)
    return show_pixels(axes, canvas)


def _caption(channel: int, activations: NDArray[np.floating]) -> str:
    if not activations.max() > 0:
        return f"channel {channel}: dead, no image excites it"
    if len(activations) == 1:
        return f"channel {channel}, activation {activations[0]:.3g}"
    return f"channel {channel}, activations {activations[0]:.3g} to {activations[-1]:.3g}"


def _write(
    axes: Axes, x: float, y: float, text: str, width: float, size: float = 9, weight: str = "normal", colour: str = INK
) -> None:
    line = fit(text, width, size, weight=weight)
    axes.text(x, y, line, size=size, weight=weight, color=colour, va="center", parse_math=False)


def _block(
    images: NDArray[np.uint8], projections: NDArray[np.floating], fields: NDArray[np.integer], side: int
) -> NDArray[np.uint8]:
    """Draw one channel, (h, w, 3): n crops and n projections side by side, each in a square of about √n × √n."""
    size = images.shape[2:]
    window = tuple(np.max(fields[:, 2:] - fields[:, :2], axis=0, initial=1).tolist())
    height, width = (max(1, round(pixels * side / max(window))) for pixels in window)
    grids = []
    for pictures in (images, _grey(projections)):
        panels = np.full((len(images), height, width, 3), EMPTY, np.uint8)
        for panel, picture, (top, left, bottom, right) in zip(panels, pictures, fields.tolist(), strict=True):
            crop = picture[:, top:bottom, left:right]
            if not crop.size:
                continue
            (y0, y1), (x0, x1) = (
                _place(*ends, pixels, whole, drawn)
                for ends, pixels, whole, drawn in zip(
                    ((top, bottom), (left, right)), window, size, (height, width), strict=True
                )
            )
            panel[y0:y1, x0:x1] = enlarge(crop, (y1 - y0, x1 - x0))
        grids.append(_grid(panels))
    gap = np.full((grids[0].shape[0], BETWEEN, 3), 255, np.uint8)
    return np.concatenate([grids[0], gap, grids[1]], axis=1)


def _grey(projections: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Turn projections (n, C, H, W) of one channel into colours: zero mid-grey, ± the top of all black or white."""
    sizes = np.abs(projections)[np.abs(projections) > 0]  # most pixels may lie outside the fields
    top = np.percentile(sizes, TOP) if len(sizes) else 1.0
    return np.asarray(np.rint(NOTHING + 127 * np.clip(projections / top, -1, 1)), np.uint8)


def _place(start: int, end: int, pixels: int, whole: int, drawn: int) -> tuple[int, int]:
    """Return where the crop [start, end) lies on a panel of `drawn` screen pixels for `pixels` of the image.

    A crop that was cut short at an edge of the image, `whole` pixels long, lies at the far side of its panel.
    """
    missing = pixels - (end - start)
    before = missing if start == 0 and end < whole else 0 if end == whole and start > 0 else missing // 2
    first, last = (round((before + offset) * drawn / pixels) for offset in (0, end - start))
    return first, max(last, first + 1)


def _grid(panels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay panels (n, h, w, 3) out row by row in a square, white between them."""
    count, height, width, _ = panels.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    canvas = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for i, panel in enumerate(panels):
        top, left = i // columns * (height + GAP), i % columns * (width + GAP)
        canvas[top : top + height, left : left + width] = panel
    return canvas
