"""Grad-CAM pictures: images beside the heat of their maps."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from .style import INK, VERMILLION, blank_sheet, printable, shorten, show_pixels

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
    return _stretch(upsample(_stretch(np.maximum(maps, 0)), size)).astype(np.float32)


def upsample(maps: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.floating]:
    """Lay maps (N, h, w) over an image of `size` (H, W), bilinearly: (N, H, W), in the maps' own unit."""
    rows, columns = (_bilinear(cells, pixels) for cells, pixels in zip(maps.shape[1:], size, strict=True))
    return np.asarray(rows @ maps @ columns.T)


def _stretch(maps: NDArray[np.floating]) -> NDArray[np.floating]:
    shifted = maps - maps.min(axis=(1, 2), keepdims=True)
    return np.asarray(shifted / (EPSILON + shifted.max(axis=(1, 2), keepdims=True)))


def _bilinear(cells: int, pixels: int) -> NDArray[np.float32]:
    """Return the matrix (pixels, cells) of weights with which each pixel's centre lies between the cells' centres."""
    centres = (np.arange(pixels) + 0.5) * cells / pixels - 0.5
    distances = np.abs(centres.clip(0, cells - 1)[:, None] - np.arange(cells))
    return np.asarray(np.maximum(0, 1 - distances), np.float32)


def gradcam_grid(
    images: NDArray[np.uint8],
    maps: NDArray[np.float32],
    true: Sequence[str],
    predicted: Sequence[str],
    confidences: Sequence[float] | NDArray[np.float32],
    explained: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """Draw each image beside its Grad-CAM overlay, four pairs a row; wrong predictions have a ✗ and another colour.

    `images` (N, C, H, W), raw `maps` (N, h, w), the others one entry an image; `explained` names the class of each map
    where it may not be the predicted one.
    """
    maps = np.where(np.isfinite(maps), maps, 0)
    pairs = [
        _pair(image, scale_maps(raw[None], panel_size(image.shape[1:]))[0])
        for image, raw in zip(images, maps, strict=True)
    ]
    captions = [_caption(*words) for words in zip(true, predicted, confidences, strict=True)]
    one_line = all(len(caption) <= CAPTION_LENGTH for caption in captions)
    caption_height = LINE + 6 if one_line else 2 * LINE + 6
    height, width = pairs[0].shape[:2]
    columns = min(4, len(pairs))
    cell = height + caption_height + GAP
    rows = -(-len(pairs) // columns)
    axes, canvas = blank_sheet(HEADER + rows * cell + FOOTER, columns * (width + GAP) + GAP)
    for i, pair in enumerate(pairs):
        left, top = GAP + i % columns * (width + GAP), HEADER + caption_height + i // columns * cell
        canvas[top : top + height, left : left + width] = pair
        colour, weight = (INK, "normal") if true[i] == predicted[i] else (VERMILLION, "bold")
        caption = captions[i] if one_line else captions[i].replace(" · ", "\n")
        axes.text(left, top - 5, caption, size=8.5, color=colour, weight=weight, va="bottom", parse_math=False)
        _note(axes, left + width, top + height, maps[i], explained[i] if explained else predicted[i], predicted[i])
    bottom = canvas.shape[0] - FOOTER // 2
    canvas[bottom - 6 : bottom + 6, GAP + 12 : GAP + 72] = colours(np.linspace(0, 1, 60))
    axes.text(GAP, bottom, "0", size=8, color=INK, va="center")
    axes.text(GAP + 77, bottom, "1  each map scaled to its own maximum", size=8, color=INK, va="center")
    axes.text(GAP, HEADER / 2 + 2, printable(title), size=11, weight="bold", color=INK, va="center", parse_math=False)
    return show_pixels(axes, canvas)


def _caption(true: str, predicted: str, confidence: float) -> str:
    return f"{'' if true == predicted else '✗ '}true {shorten(true)} · predicted {shorten(predicted)} {confidence:.2f}"


def _note(axes: Axes, right: float, bottom: float, raw: NDArray[np.float32], explained: str, predicted: str) -> None:
    """Write on the overlay what would otherwise mislead: another class than the predicted one, or no evidence."""
    notes = [f"map of {shorten(explained)}"] if explained != predicted else []
    if not raw.max() > 0:
        notes.append("no positive evidence")
    if notes:
        note = axes.text(right - 5, bottom - 5, "\n".join(notes), size=8, color="white", ha="right", parse_math=False)
        note.set_bbox({"facecolor": "black", "alpha": 0.65, "pad": 2, "linewidth": 0})


def panel_size(size: tuple[int, ...], side: int = PANEL) -> tuple[int, int]:
    """Return height and width on screen of an image of `size`, its longer side about `side` pixels.

    Small images are enlarged by a whole factor.
    """
    scale = side / max(size)
    scale = max(1, round(scale)) if scale >= 2 else scale
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def first_three(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image (C, H, W) of any number of channels with three: its first three, or the first as grey."""
    return image[:3] if len(image) >= 3 else np.repeat(image[:1], 3, axis=0)


def enlarge(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return an image (C, H, W) of any number of channels as RGB (height, width, 3); small ones keep their pixels."""
    channels = first_three(image)
    height, width = size
    resampling = Image.Resampling.NEAREST if height >= 2 * image.shape[1] else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(channels.transpose(1, 2, 0)).resize((width, height), resampling))


def overlay(picture: NDArray[np.uint8], heat: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Lay heat (h, w) in [0, 1] over a picture (h, w, 3) in grey."""
    grey = picture.mean(axis=2, keepdims=True)
    opacity = 0.25 + 0.5 * heat[..., None]
    return np.asarray((1 - opacity) * 0.85 * grey + opacity * colours(heat)).astype(np.uint8)


def colours(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return the colours (…, 3) of values in [0, 1]."""
    return np.asarray(HEAT(values, bytes=True)[..., :3], np.uint8)


def _pair(image: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Draw an image (C, H, W) beside itself in grey under its heat (h, w) in [0, 1]: (h, 2 w + 2, 3)."""
    height, width = heat.shape
    picture = enlarge(image, (height, width))
    return np.concatenate([picture, np.full((height, 2, 3), 255, np.uint8), overlay(picture, heat)], axis=1)
