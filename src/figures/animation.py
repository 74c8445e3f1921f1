"""Grad-CAMs of the same images, epoch after epoch, as an animation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ..files import replacing
from .heat_maps import enlarge, overlay, panel_size, scale_maps
from .lettering import width_of, write
from .style import GREY, INK, VERMILLION, printable, shorten

SIDE, MOST_IMAGES, MOST_FRAMES = 112, 8, 24
GAP, HEADER, CAPTION = 8, 40, 22  # pixels
TITLE, LETTERS, LEAST_WIDTH = 20, 12, 460
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
    titles = [printable(frame.title) for frame in frames]
    sheet = (HEADER + 2 * (height + CAPTION) + 2 * GAP, max(shown * (width + GAP) + GAP, LEAST_WIDTH))
    room = sheet[1] - 3 * GAP - max(width_of(title, TITLE) for title in titles)
    blank = Image.new("RGB", (sheet[1], sheet[0]), "white")
    if (wide := width_of(subtitle := printable(subtitle), LETTERS)) <= room:
        write(ImageDraw.Draw(blank), sheet[1] - GAP - wide, HEADER - CAPTION / 2, subtitle, LETTERS, GREY)
    for left, picture, name in _places(pictures, true):
        write(ImageDraw.Draw(blank), left, HEADER + CAPTION - 5, _fitted(name, width), LETTERS, GREY)
        blank.paste(Image.fromarray(picture), (left, HEADER + CAPTION))
    return [_draw(blank.copy(), frame, title, pictures) for frame, title in zip(frames, titles, strict=True)]


def _draw(sheet: Image.Image, frame: Frame, title: str, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Complete a sheet that has all but what changes from epoch to epoch."""
    draw = ImageDraw.Draw(sheet)
    height, width = pictures[0].shape[:2]
    top = HEADER + 2 * CAPTION + height
    write(draw, GAP, HEADER - CAPTION / 2, title, TITLE, INK)
    heat = scale_maps(np.where(np.isfinite(frame.maps), frame.maps, 0)[: len(pictures)], (height, width))
    places = _places(pictures, frame.captions)
    for (left, picture, caption), map_, right in zip(places, heat, frame.right, strict=False):
        write(draw, left, top - 5, _fitted(caption, width), LETTERS, INK if right else VERMILLION)
        sheet.paste(Image.fromarray(overlay(picture, map_)), (left, top))
    return np.asarray(sheet)


def _places(
    pictures: Sequence[NDArray[np.uint8]], names: Sequence[str]
) -> Iterator[tuple[int, NDArray[np.uint8], str]]:
    """Yield how far from the left each picture is, itself, and its name."""
    for number, (picture, name) in enumerate(zip(pictures, names, strict=False)):
        yield GAP + number * (picture.shape[1] + GAP), picture, name


def _fitted(name: str, width: int) -> str:
    """Return a name without its middle where it is wider than its picture."""
    name, length = printable(name), len(name)
    while width_of(short := shorten(name, length), LETTERS) > width and length > 3:
        length -= 1
    return short


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
