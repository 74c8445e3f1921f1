"""Colours as their profile means them, in sRGB. NumPy and Pillow are all it needs, as in `src.data.depth`."""

import io
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

Finish = Callable[[Image.Image, str], Image.Image]
"""From a picture of 8 bits, 1, L, RGB or CMYK, to mode L or RGB."""

SPACES = {
    "RGB ": ("RGB", ("P", "PA", "RGB", "RGBA", "RGBX", "RGBa")),
    "GRAY": ("L", ("1", "L", "LA", "La", "I", "F")),
    "CMYK": ("CMYK", ("CMYK",)),
}
"""The spaces of profiles that are followed: the mode that they are for, and the modes of pictures that may have one."""

SAME = 1
"""Levels of 255 that a transform may change and still be none: of profiles of sRGB each program has its own."""


def finish_with(profile: Any, mode: str) -> Finish:
    """Return what brings a picture whose file has this profile (bytes, or None) to L or RGB in sRGB."""
    transform = _transform(profile) if isinstance(profile, bytes) and profile else None
    if transform is None or mode.partition(";")[0] not in transform[1]:
        return plain
    into, _, made = transform

    def finish(picture: Image.Image, wanted: str) -> Image.Image:
        converted: Image.Image = made.apply(picture if picture.mode == into else picture.convert(into))
        return plain(converted, wanted)

    return finish


def plain(picture: Image.Image, mode: str) -> Image.Image:
    return picture if picture.mode == mode else picture.convert(mode)


@lru_cache(maxsize=32)
def _transform(profile: bytes) -> tuple[str, tuple[str, ...], Any] | None:
    """Return the mode that a profile is for, those of pictures that may have it, and the transform to sRGB.

    None for a profile that is sRGB itself, is for none of these modes, or is broken.
    """
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        into, modes = SPACES[opened.profile.xcolor_space]
        made = ImageCms.buildTransform(
            opened, ImageCms.createProfile("sRGB"), into, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC
        )
        if into != "CMYK" and _changes_nothing(made, into):
            return None
    except (ImageCms.PyCMSError, KeyError, OSError, ValueError, TypeError):
        return None
    return into, modes, made


def _changes_nothing(transform: Any, mode: str) -> bool:
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(1, -1, 3)
    before = Image.fromarray(cube) if mode == "RGB" else Image.fromarray(levels[None])
    after = np.asarray(transform.apply(before)).astype(int)
    return bool(np.abs(after - np.asarray(before.convert("RGB"))).max() <= SAME)
