"""Grad-CAMs of the same images, epoch after epoch, as an animation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..files import replacing
from .heat_maps import enlarge, overlay, panel_size, scale_maps
from .style import GREY, INK, VERMILLION, blank_sheet, fit, printable, show_pixels, to_image

SIDE, MOST_IMAGES, MOST_FRAMES = 112, 8, 24
GAP, HEADER, CAPTION = 8, 40, 22  # pixels
FRAME, LAST = 700, 3000
"""Milliseconds that a frame is shown; with many frames each a little shorter."""
SHORTEST = 450

MOST_BYTES = 290_000
QUALITIES = (80, 55, 30)


@dataclass(frozen=True, eq=False)
class Frame:
    """One epoch: its `title`, raw maps (N, h, w), what is said under each and whether it is right."""

    title: str
    maps: NDArray[np.float32]
    captions: Sequence[str]
    right: Sequence[bool]


def chosen_frames(epochs: int, best: int | None = None) -> list[int]:
    """Return the places of `MOST_FRAMES` epochs and `best`: the first, the last, and evenly chosen ones between."""
    places = {int(place) for place in np.linspace(0, epochs - 1, min(epochs, MOST_FRAMES)).round()}
    return sorted(places | ({best} if best is not None else set()))


def draw_frames(
    images: NDArray[np.uint8], true: Sequence[str], frames: Sequence[Frame], subtitle: str
) -> list[NDArray[np.uint8]]:
    """Draw each frame: images (N, C, H, W), below them their maps, of at most `MOST_IMAGES`; all of the same size."""
    shown = min(len(images), MOST_IMAGES)
    height, width = panel_size(images.shape[2:], SIDE)
    pictures = [enlarge(image, (height, width)) for image in images[:shown]]
    sheet = (HEADER + 2 * (height + CAPTION) + 2 * GAP, max(shown * (width + GAP) + GAP, 460))
    return [_draw(frame, pictures, true, subtitle, sheet) for frame in frames]


def _draw(
    frame: Frame, pictures: Sequence[NDArray[np.uint8]], true: Sequence[str], subtitle: str, sheet: tuple[int, int]
) -> NDArray[np.uint8]:
    axes, canvas = blank_sheet(*sheet)
    height, width = pictures[0].shape[:2]
    tops = (HEADER + CAPTION, HEADER + 2 * CAPTION + height)
    maps = np.where(np.isfinite(frame.maps), frame.maps, 0)
    for number, picture in enumerate(pictures):
        left = GAP + number * (width + GAP)
        heat = scale_maps(maps[number][None], (height, width))[0]
        canvas[tops[0] : tops[0] + height, left : left + width] = picture
        canvas[tops[1] : tops[1] + height, left : left + width] = overlay(picture, heat)
        style: Mapping[str, Any] = {"size": 8.5, "va": "bottom", "parse_math": False}
        colour = INK if frame.right[number] else VERMILLION
        axes.text(left, tops[0] - 4, fit(true[number], width, 8.5), color=GREY, **style)
        axes.text(left, tops[1] - 4, fit(frame.captions[number], width, 8.5), color=colour, **style)
    title: Mapping[str, Any] = {"va": "center", "parse_math": False}
    axes.text(GAP, HEADER / 2, printable(frame.title), size=14, weight="bold", color=INK, **title)
    axes.text(sheet[1] - GAP, HEADER / 2, printable(subtitle), size=9, color=GREY, ha="right", **title)
    return to_image(show_pixels(axes, canvas))


def save_animation(pictures: Sequence[NDArray[np.uint8]], path: Path) -> None:
    """Write an endless animated WebP of at most `MOST_BYTES`, its last frame shown longer: whole or not at all.

    Where the best quality takes too much, a lower one is taken, then every second frame, never the first or last.
    """
    while True:
        content = next(
            (found for quality in QUALITIES if len(found := _encoded(pictures, quality)) <= MOST_BYTES), None
        )
        if content is not None or len(pictures) <= 2:
            break
        pictures = [*pictures[:-1:2], pictures[-1]]
    if content is None:
        content = _encoded(pictures, QUALITIES[-1])
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _encoded(pictures: Sequence[NDArray[np.uint8]], quality: int) -> bytes:
    each = max(SHORTEST, min(FRAME, 12_000 // len(pictures)))
    frames = [Image.fromarray(picture) for picture in pictures]
    buffer = BytesIO()
    frames[0].save(
        buffer, "WEBP", save_all=True, append_images=frames[1:], loop=0, quality=quality, method=3,
        duration=[*[each] * (len(frames) - 1), LAST],
    )  # fmt: skip
    return buffer.getvalue()
