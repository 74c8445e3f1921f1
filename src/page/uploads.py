"""What a visitor uploads: checked before it is decoded, then read as training and prediction read a file."""

import math
from collections.abc import Callable
from io import BytesIO

import torch
from PIL import Image

from ..data.apart import decoded_apart
from ..data.decoding_cost import reason_against
from ..data.refusal import UnreadableImageError, refuse
from ..data.transforms import Geometry, load_image
from ..errors import InputError

MAX_BYTES = 10 * 10**6
"""The browser has the same limit (`server.settings`); on Windows it counts 10 × 2²⁰ and leaves the rest to us."""

MAX_PIXELS = 50_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
"""By content, not by file name. `read_image` takes all of them."""

SECONDS = 10
"""For one picture. 50 megapixels take two or three, and a process that other programs keep waiting may take longer."""

MEMORY = 3 << 29
"""Bytes for one picture: 50 megapixels take up to 0.8 GB."""


def to_input(content: bytes, geometry: Geometry) -> torch.Tensor:
    """Return the picture as the network sees it, uint8 (C, S, S), just as `load_image` reads the same file.

    Raise `InputError` with a sentence for the visitor.
    """
    check_size(content)

    def work() -> torch.Tensor:
        check_upload(content)
        return load_image(BytesIO(content), geometry)

    return apart(work)


def apart(work: Callable[[], torch.Tensor]) -> torch.Tensor:
    """Return what `work` makes of a picture in a process of its own.

    Raise `InputError` with a sentence for the visitor.
    """
    try:
        return torch.from_numpy(decoded_apart(lambda: work().numpy(), SECONDS, MEMORY))
    except UnreadableImageError as error:
        raise InputError(_sentence(error)) from error


def check_size(content: bytes) -> None:
    if not content:
        raise InputError("This file is empty: choose another picture.")
    if len(content) > MAX_BYTES:
        size = math.ceil(len(content) / 10**5) / 10
        raise InputError(
            f"This file has {size:.1f} MB, more than the {MAX_BYTES // 10**6} MB allowed: make it smaller."
        )


def check_upload(content: bytes) -> tuple[int, int]:
    """Return width and height from the header: a refused file is never decoded and takes no memory.

    The header may be the costly part, so this is for the picture's own process. `UnreadableImageError` has the sentence
    for the visitor.
    """
    file = BytesIO(content)
    refuse(reason_against(file))
    file.seek(0)
    try:
        with Image.open(file, formats=FORMATS) as image:
            width, height = image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # Pillow's own limits are higher
        raise UnreadableImageError(_too_large("")) from error
    except Exception as error:  # a broken header, for which each format has its own
        raise UnreadableImageError(
            "This file is no JPEG, PNG, WebP, BMP, GIF or TIFF picture, or its beginning is damaged: choose another."
        ) from error
    if width * height > MAX_PIXELS:
        raise UnreadableImageError(_too_large(f"{width:,} × {height:,} pixels, "))
    return width, height


def _too_large(size: str) -> str:
    return f"This picture has {size}more than the {MAX_PIXELS // 10**6} million pixels allowed: make it smaller."


def _sentence(error: UnreadableImageError) -> str:
    if error.reason.startswith("This "):
        return error.reason
    if error.reason == "truncated":
        return "This picture ends in the middle: the file was cut off; upload the whole of it."
    if error.reason.startswith("too large"):
        return "This picture is too large for the memory here: make it smaller."
    if error.reason.startswith(("too costly", "takes over")):
        return "This picture takes too long to decode: save it again as JPEG or PNG, or choose another."
    return "This picture is damaged and can't be decoded: save it again as JPEG or PNG, or choose another."
