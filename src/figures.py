"""Pictures: arrays and tables in, matplotlib Figures out.

Pure: no pyplot, so that no backend, no global list of figures and no open window is involved. Class names are shown as
they are, without matplotlib's mathematics between dollar signs.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from src.files import replacing

INK, GREY = "#222222", "#767676"
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"  # Okabe & Ito 2008: told apart by colour-blind readers
DPI = 100

PANEL = 168  # pixels of an image's longer side: 21 × 8, 6 × 28, 3 × 56
GAP, LINE, HEADER, FOOTER = 12, 16, 32, 34  # pixels around the panels
CAPTION_LENGTH = 44  # characters that fit over a pair of panels
HEAT = colormaps["inferno"]
EPSILON = 1e-7  # the package's own, `pytorch_grad_cam.utils.image.scale_cam_image`


def scale_maps(maps: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Scale raw maps (N, h, w) as the `grad-cam` package does: (N, H, W) in [0, 1], for `size` (H, W).

    ReLU, each map stretched between its own minimum and maximum, bilinear, stretched again. A map without positive
    evidence becomes all zeros. The scale is lost: compare raw maps, not these.
    """
    rows, columns = (_bilinear(cells, pixels) for cells, pixels in zip(maps.shape[1:], size, strict=True))
    return _stretch(rows @ _stretch(np.maximum(maps, 0)) @ columns.T).astype(np.float32)


def _stretch(maps: NDArray[np.floating]) -> NDArray[np.floating]:
    shifted = maps - maps.min(axis=(1, 2), keepdims=True)
    return shifted / (EPSILON + shifted.max(axis=(1, 2), keepdims=True))


def _bilinear(cells: int, pixels: int) -> NDArray[np.float32]:
    """Matrix (pixels, cells) of the weights with which each pixel's centre lies between the cells' centres."""
    centres = (np.arange(pixels) + 0.5) * cells / pixels - 0.5
    distances = np.abs(centres.clip(0, cells - 1)[:, None] - np.arange(cells))
    return np.maximum(0, 1 - distances).astype(np.float32)


def gradcam_grid(
    images: NDArray[np.uint8],
    maps: NDArray[np.float32],
    true: Sequence[str],
    predicted: Sequence[str],
    confidences: Sequence[float] | NDArray[np.float32],
    explained: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """Each image beside its Grad-CAM overlay, four pairs a row; wrong predictions carry a ✗ and another colour.

    `images` (N, C, H, W), `maps` raw (N, h, w), the others one entry an image; `explained` names the class of each map
    where it may not be the predicted one.
    """
    maps = np.where(np.isfinite(maps), maps, 0)
    pairs = [
        _pair(image, scale_maps(raw[None], _panel(image.shape[1:]))[0]) for image, raw in zip(images, maps, strict=True)
    ]
    captions = [_caption(*words) for words in zip(true, predicted, confidences, strict=True)]
    one_line = all(len(caption) <= CAPTION_LENGTH for caption in captions)
    caption_height = LINE + 6 if one_line else 2 * LINE + 6
    height, width = pairs[0].shape[:2]
    columns = min(4, len(pairs))
    cell = height + caption_height + GAP
    canvas = np.full(
        (HEADER + -(-len(pairs) // columns) * cell + FOOTER, columns * (width + GAP) + GAP, 3), 255, np.uint8
    )
    axes = _pixel_axes(canvas.shape[0], canvas.shape[1])
    for i, pair in enumerate(pairs):
        left, top = GAP + i % columns * (width + GAP), HEADER + caption_height + i // columns * cell
        canvas[top : top + height, left : left + width] = pair
        colour, weight = (INK, "normal") if true[i] == predicted[i] else (VERMILLION, "bold")
        caption = captions[i] if one_line else captions[i].replace(" · ", "\n")
        axes.text(left, top - 5, caption, size=8.5, color=colour, weight=weight, va="bottom", parse_math=False)
        _note(axes, left + width, top + height, maps[i], explained[i] if explained else predicted[i], predicted[i])
    bottom = canvas.shape[0] - FOOTER // 2
    canvas[bottom - 6 : bottom + 6, GAP + 12 : GAP + 72] = _colours(np.linspace(0, 1, 60))
    axes.text(GAP, bottom, "0", size=8, color=INK, va="center")
    axes.text(GAP + 77, bottom, "1  each map scaled to its own maximum", size=8, color=INK, va="center")
    axes.text(GAP, HEADER / 2 + 2, title, size=11, weight="bold", color=INK, va="center", parse_math=False)
    axes.imshow(canvas, interpolation="nearest", extent=(0, canvas.shape[1], canvas.shape[0], 0))
    return axes.figure  # type: ignore[return-value]  # a SubFigure only where one was asked for


def shorten(name: str, length: int = 24) -> str:
    """`name` on one line, its middle left out where it is longer than `length` characters."""
    name = " ".join(name.split())
    half = (length - 1) // 2
    return name if len(name) <= length else f"{name[: length - half - 1]}…{name[-half:]}"


def _caption(true: str, predicted: str, confidence: float) -> str:
    return f"{'' if true == predicted else '✗ '}true {shorten(true)} · predicted {shorten(predicted)} {confidence:.2f}"


def _note(axes: Axes, right: float, bottom: float, raw: NDArray[np.float32], explained: str, predicted: str) -> None:
    """Written on the overlay where a reader would else be misled: another class than the predicted, or no evidence."""
    notes = [f"map of {shorten(explained)}"] if explained != predicted else []
    if not raw.max() > 0:
        notes.append("no positive evidence")
    if notes:
        note = axes.text(right - 5, bottom - 5, "\n".join(notes), size=8, color="white", ha="right", parse_math=False)
        note.set_bbox({"facecolor": "black", "alpha": 0.65, "pad": 2, "linewidth": 0})


def _panel(size: tuple[int, ...]) -> tuple[int, int]:
    """Height and width on screen of an image of `size`; small images are enlarged by a whole factor."""
    scale = PANEL / max(size)
    scale = max(1, round(scale)) if scale >= 2 else scale
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _pair(image: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """An image (C, H, W) beside itself in grey under its heat (h, w) in [0, 1]: (h, 2 w + 2, 3)."""
    channels = image[:3] if len(image) >= 3 else np.repeat(image[:1], 3, axis=0)
    height, width = heat.shape
    resampling = Image.Resampling.NEAREST if height >= 2 * image.shape[1] else Image.Resampling.BILINEAR
    picture = np.asarray(Image.fromarray(channels.transpose(1, 2, 0)).resize((width, height), resampling))
    grey = picture.mean(axis=2, keepdims=True)
    opacity = 0.25 + 0.5 * heat[..., None]
    overlay = ((1 - opacity) * 0.85 * grey + opacity * _colours(heat)).astype(np.uint8)
    return np.concatenate([picture, np.full((height, 2, 3), 255, np.uint8), overlay], axis=1)


def _colours(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    return HEAT(values, bytes=True)[..., :3]


def _pixel_axes(height: int, width: int) -> Axes:
    """Axes that fill a new figure, whose unit is the pixel and whose origin is at the top left."""
    axes = Figure(figsize=(width / DPI, height / DPI), dpi=DPI).add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(height, 0))
    return axes


def curves(metrics: pd.DataFrame, best_epoch: int) -> Figure:
    """Loss, accuracy, macro F1 and learning rate over the epochs, the best one marked.

    `metrics` has one row an epoch: `epoch`, and whichever there are of `{train,val}/{loss,accuracy,f1}` and `lr`.
    """
    charts = {"loss": "Loss", "accuracy": "Accuracy", "f1": "Macro F1", "lr": "Learning rate"}
    present = [key for key in charts if {key, f"train/{key}", f"val/{key}"} & set(metrics.columns)]
    figure = Figure(figsize=(10, 3.4 * -(-len(present) // 2)), dpi=DPI, layout="constrained")
    for place, key in enumerate(present, start=1):
        axes = figure.add_subplot(-(-len(present) // 2), 2, place)
        axes.set_title(charts[key], loc="left", size=11, weight="bold", color=INK)
        _draw_curves(axes, metrics, key)
        axes.axvline(best_epoch, color=GREY, linewidth=1, linestyle=(0, (2, 3)), zorder=0)
        if place == 1:
            axes.annotate(
                f"best epoch {best_epoch}",
                (best_epoch, 1),
                xycoords=("data", "axes fraction"),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                size=8,
                color=GREY,
            )
    return figure


def _draw_curves(axes: Axes, metrics: pd.DataFrame, key: str) -> None:
    styles = {f"train/{key}": ("train", BLUE, "--"), f"val/{key}": ("val", VERMILLION, "-"), key: ("", GREEN, "-")}
    ends = []
    for column, (label, colour, line) in styles.items():
        if column in metrics:
            rows = metrics[["epoch", column]].dropna()
            axes.plot(
                rows["epoch"], rows[column], line, color=colour, marker="o" if len(rows) < 15 else "", markersize=4
            )
            ends += [(float(rows[column].iloc[-1]), float(rows["epoch"].iloc[-1]), label, colour)] if len(rows) else []
    axes.margins(x=0.04, y=0.12)
    values = metrics[[column for column in styles if column in metrics]].to_numpy(dtype=float)
    # A first epoch of loss 30 would press the rest of the curve flat.
    log = key == "loss" and np.nanmin(values) > 0 and np.nanmax(values) > 30 * np.nanmin(values)
    if log:
        axes.set_yscale("log")
    low, high = np.log10(axes.get_ylim()) if log else axes.get_ylim()
    apart = 0.07 * (high - low)  # or the labels of two lines that end alike would cover each other
    place = -np.inf
    for value, epoch, label, colour in sorted(ends):
        place = max(np.log10(value) if log else value, place + apart)
        axes.annotate(
            label,
            (epoch, 10**place if log else place),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            size=9,
            annotation_clip=False,
        )
    if not log:
        axes.ticklabel_format(axis="y", useOffset=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch", color=INK)
    axes.grid(axis="y", color="#e5e5e5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=9)


def confusion_matrix(counts: NDArray[np.integer], class_names: Sequence[str]) -> Figure:
    """Rows are true classes, columns predicted ones; colour is the share of the row, the number the count.

    `counts` (K, K). Colours follow the square root, or rare confusions would be as white as none. Up to 20 classes have
    numbers in the cells, up to 40 are all named; above that every n-th is.
    """
    classes = len(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(0.5 * classes if classes <= 20 else 0.24 * classes, 2.4, 10))
    figure = Figure(figsize=(side + 2.6, side + 1.6), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1), interpolation="nearest")
    step = -(-classes // 40)
    ticks = np.arange(0, classes, step)
    names = [shorten(name, 20) for name in class_names[::step]]
    size = 9 if classes <= 20 else 7.5
    axes.set_yticks(ticks, names, size=size, parse_math=False)
    axes.set_xticks(ticks, names, size=size, parse_math=False)
    if max(map(len, names)) * classes > 40:
        axes.tick_params("x", rotation=90)
    axes.set_xlabel("predicted", size=11, color=INK)
    axes.set_ylabel("true", size=11, color=INK)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0 if step == 1 else 3)
    if classes <= 20:
        for row, column in np.ndindex(classes, classes):
            colour = "white" if shares[row, column] > 0.45 else INK if counts[row, column] else "#b5b5b5"
            axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", size=size, color=colour)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8, aspect=30)
    return figure


def to_image(figure: Figure) -> NDArray[np.uint8]:
    """The figure as pixels, (H, W, 3) RGB, as TensorBoard's `add_image(..., dataformats="HWC")` takes them."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def save(figure: Figure, path: Path) -> None:
    """Write the figure as PNG, whole or not at all, and make its folder."""
    save_image(to_image(figure), path)


def save_image(pixels: NDArray[np.uint8], path: Path) -> None:
    """As `save`, for pixels (H, W, 3) that have been drawn already."""
    with replacing(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG", compress_level=3)
