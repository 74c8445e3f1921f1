"""The stem, a network's first layers: which one suits images of a size."""

from collections.abc import Mapping
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


def check_image(name: str, image_size: int, stem: str, least: Mapping[str, int]) -> None:
    """Raise `InputError` if the image is smaller than the `least` side in pixels for this stem."""
    if image_size < least[stem]:
        smaller = "" if stem == "small" else f", or model.stem=small (from {least['small']} pixels)"
        raise InputError(
            f"data.image_size={image_size} is too small for {name} with stem={stem}: "
            f"take at least {least[stem]} pixels{smaller}"
        )
