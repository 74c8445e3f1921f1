"""Grad-CAMs of several models on the same images, and of one model over the epochs, on scales that can be compared."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .heat_maps import colours, enlarge, overlay, panel_size, upsample
from .style import GREY, INK, VERMILLION, blank_sheet, fit, fit_labels, show_pixels

PANEL, SMALL = 136, 112  # pixels of a panel's longer side: beside other models, and in a row of epochs
ACROSS = 5  # models beside each other; more go below
IMAGES, PANELS = 8, 60  # shown at most, and maps in one figure, about: with more models fewer images are shown
EPOCHS = 7  # shown of each model
GAP, LINE, MARGIN = 8, 16, 12  # pixels
FOOT = 3 * LINE  # the colour bar and two lines of what it means
TOP = 99  # percentile of the pixels: a single hot cell would leave all others dark


def gradcam_comparison(
    images: NDArray[np.uint8],
    maps: Mapping[str, NDArray[np.float32]],
    predicted: Mapping[str, Sequence[str]],
    true: Sequence[str],
    explained: Mapping[str, Sequence[str]] | None = None,
) -> Figure:
    """Draw each image (row) under the map of each model (column), all on one colour scale.

    `images` (N, C, H, W); `maps` raw (N, h, w) by label, each model's on its own grid; `predicted`, `true` and
    `explained` (what a map is of, where it may not be the predicted class) are class names. Five models stand side by
    side, more below them; at most the first eight images are shown, with many models fewer.
    """
    count = min(len(images), IMAGES, max(2, PANELS // len(maps)))
    size = panel_size(images.shape[2:], PANEL)
    pictures = [enlarge(image, size) for image in images[:count]]
    heats = {label: _heat(raw[:count], size) for label, raw in maps.items()}
    top = _top(heats.values())
    names = dict(zip(maps, fit_labels(list(maps), size[1], 9, lines=3, weight="bold"), strict=True))
    head = LINE * (2 + max(name.count("\n") for name in names.values())) + 8
    cell, labels = size[0] + LINE + 8, list(maps)
    block_height = head + count * cell + MARGIN
    height = MARGIN + -(-len(labels) // ACROSS) * block_height + FOOT + MARGIN
    width = max(GAP + (1 + min(ACROSS, len(labels))) * (size[1] + GAP), 3 * (PANEL + GAP))
    axes, canvas = blank_sheet(height, width)
    for place, label in enumerate(labels):
        x, y = GAP + (1 + place % ACROSS) * (size[1] + GAP), MARGIN + place // ACROSS * block_height + head
        if place % ACROSS == 0:
            _images(axes, canvas, pictures, true, GAP, y, cell)
        axes.text(x, y - LINE - 4, names[label], size=9, weight="bold", color=INK, va="bottom", parse_math=False)
        _write(axes, x, y - LINE / 2 - 2, "{}×{} cells".format(*maps[label].shape[1:]), color=GREY)
        for i, picture in enumerate(pictures):
            said, of = predicted[label][i], (explained or predicted)[label][i]
            note = "" if of == said else f"map of {of}"
            _explained(axes, canvas, picture, heats[label][i], top, x, y + i * cell, note)
            _verdict(axes, x, y + i * cell + size[0] + 3 + LINE / 2, size[1], said, said == true[i])
    first = f"; first {count} of {len(images)} images" if count < len(images) else ""
    note = f"one scale for all, {TOP} % of pixels below the top{first}"
    _colour_bar(axes, canvas, height - MARGIN - FOOT + LINE, top, note)
    return show_pixels(axes, canvas)


def gradcam_epochs(
    images: NDArray[np.uint8],
    maps: Mapping[str, Sequence[tuple[int, NDArray[np.float32]]]],
    best_epochs: Mapping[str, int] | None = None,
) -> Figure:
    """Draw how the maps moved while the models learned: a row for each model, the image and up to seven epochs.

    `images` (N, C, H, W); `maps` (epoch, raw maps (N, h, w)) by label, in the order of the epochs, 0 for the untrained
    network. The colours of a row go from 0 to the top of that model. The first two images are shown, with more than
    three models the first one.
    """
    count, size = min(len(images), 2 if len(maps) <= 3 else 1), panel_size(images.shape[2:], SMALL)
    pictures = [enlarge(image, size) for image in images[:count]]
    chosen = {
        label: [series[i] for i in _evenly([epoch for epoch, _ in series], (best_epochs or {}).get(label))]
        for label, series in maps.items()
    }
    head, cell = LINE + 6, size[0] + LINE + 4
    block_height = head + count * cell + MARGIN
    width = max(2 * GAP + (1 + max(map(len, chosen.values()))) * (size[1] + GAP), 5 * (SMALL + GAP))
    height = MARGIN + len(maps) * block_height + FOOT + MARGIN
    axes, canvas = blank_sheet(height, width)
    headings = fit_labels(list(maps), width - 200, 10, weight="bold")
    for number, ((label, series), heading) in enumerate(zip(chosen.items(), headings, strict=True)):
        y = MARGIN + number * block_height
        heats = [_heat(raw[:count], size) for _, raw in series]
        top = _top(heats)
        axes.text(GAP, y + LINE / 2, heading, size=10, weight="bold", color=INK, va="center", parse_math=False)
        _write(axes, width - GAP, y + LINE / 2, f"top {_logits(top)}", color=GREY, ha="right")
        _images(axes, canvas, pictures, None, GAP, y + head, cell)
        for column, ((epoch, _), heat) in enumerate(zip(series, heats, strict=True), start=1):
            best = epoch == (best_epochs or {}).get(label)
            caption = f"{epoch}, best" if best else f"epoch {epoch}" if epoch else "untrained"
            for i, picture in enumerate(pictures):
                left, upper = 2 * GAP + column * (size[1] + GAP), y + head + i * cell
                _explained(axes, canvas, picture, heat[i], top, left, upper)
                _write(axes, left, upper + size[0] + 2 + LINE / 2, caption, weight="bold" if best else "normal")
    note = f"each model on its own scale, {TOP} % of pixels below the top"
    _colour_bar(axes, canvas, height - MARGIN - FOOT + LINE, None, note)
    return show_pixels(axes, canvas)


def _evenly(epochs: Sequence[int], best: int | None) -> list[int]:
    """Return the places of up to seven epochs: the first, the last, the best, and evenly chosen ones between."""
    places = np.unique(np.linspace(0, len(epochs) - 1, min(EPOCHS, len(epochs))).round().astype(int))
    if best in epochs and epochs.index(best) not in places:
        inner = 1 + np.abs(places[1:-1] - epochs.index(best)).argmin()
        places[inner] = epochs.index(best)
    return [int(place) for place in places]


def _heat(maps: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.floating]:
    """Return the positive evidence (N, H, W) at each pixel, in logits of an image that is like it all over.

    A cell of a finer grid holds less, so that cells themselves can't be compared.
    """
    cells = maps.shape[1] * maps.shape[2]
    return upsample(cells * np.maximum(np.where(np.isfinite(maps), maps, 0), 0), size)


def _top(heats: Iterable[NDArray[np.floating]]) -> float:
    """Return the value that gets the brightest colour; where nearly all is zero, the largest."""
    values = np.concatenate([heat.ravel() for heat in heats])
    return float(np.percentile(values, TOP) or values.max())


def _logits(value: float) -> str:
    return f"{value:.2g} logits an image" if value == 0 or 1e-3 <= value < 100 else f"{value:.1e} logits an image"


def _images(
    axes: Axes,
    canvas: NDArray[np.uint8],
    pictures: Sequence[NDArray[np.uint8]],
    true: Sequence[str] | None,
    x: int,
    y: int,
    cell: int,
) -> None:
    """Draw the first column, the images themselves."""
    for i, picture in enumerate(pictures):
        height, width = picture.shape[:2]
        canvas[y + i * cell : y + i * cell + height, x : x + width] = picture
        if true is not None:
            _write(axes, x, y + i * cell + height + 3 + LINE / 2, fit(f"true {true[i]}", width))


def _explained(
    axes: Axes,
    canvas: NDArray[np.uint8],
    picture: NDArray[np.uint8],
    heat: NDArray[np.floating],
    top: float,
    x: int,
    y: int,
    note: str = "",
) -> None:
    """Draw a picture under its heat, and write on it what would otherwise mislead a reader."""
    height, width = heat.shape
    canvas[y : y + height, x : x + width] = overlay(picture, np.minimum(heat / (top or 1), 1))
    lines = [fit(note, width - 10)] if note else []
    if not heat.max() > 0:
        lines.append(fit("no positive evidence", width - 10, lines=2))
    if lines:
        text = axes.text(x + 4, y + height - 4, "\n".join(lines), size=9, color="white", va="bottom", parse_math=False)
        text.set_bbox({"facecolor": "black", "alpha": 0.65, "pad": 1, "linewidth": 0})


def _verdict(axes: Axes, x: float, y: float, width: float, said: str, right: bool) -> None:
    colour, weight = (INK, "normal") if right else (VERMILLION, "bold")
    _write(axes, x, y, fit(f"{'✓' if right else '✗'} {said}", width, weight="bold"), color=colour, weight=weight)


def _write(
    axes: Axes, x: float, y: float, text: str, color: str = INK, weight: str = "normal", ha: str = "left"
) -> None:
    axes.text(x, y, text, size=9, color=color, weight=weight, ha=ha, va="center", parse_math=False)


def _colour_bar(axes: Axes, canvas: NDArray[np.uint8], y: int, top: float | None, note: str) -> None:
    canvas[y - 6 : y + 6, GAP + 14 : GAP + 104] = colours(np.linspace(0, 1, 90))
    _write(axes, GAP, y, "0")
    _write(axes, GAP + 110, y, "top" if top is None else _logits(top))
    lines = fit(note, canvas.shape[1] - 2 * GAP, lines=2)
    axes.text(GAP, y + LINE / 2 + 4, lines, size=9, color=GREY, va="top", parse_math=False)
