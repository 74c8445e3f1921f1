"""The stem, a network's first layers: which one suits images of a size."""

from typing import Literal

from ..errors import InputError

Stem = Literal["auto", "imagenet", "small"]

SMALL_IMAGE = 64
"""Side in pixels up to which `stem=auto` takes the small stem: a ResNet's ImageNet stem leaves 2 px of 8."""


def choose_stem(image_size: int, stem: Stem) -> Literal["imagenet", "small"]:
    """Return `stem`, with `auto` resolved for this image size; raise `InputError` for an unknown one."""
    if stem not in ("auto", "imagenet", "small"):
        raise InputError(f"model.stem={stem} is unknown: take auto, imagenet or small")
    if stem == "auto":
        return "small" if image_size <= SMALL_IMAGE else "imagenet"
    return stem
