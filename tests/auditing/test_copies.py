"""Copies of one set of pictures among another."""

import io

import numpy as np
from PIL import Image

from src.auditing.duplicates import find_copies
from src.auditing.signatures import Signature, sign


def pictures(count: int) -> list[Image.Image]:
    """Photograph-like: smooth colours, each its own."""
    random = np.random.default_rng(1)
    coarse = random.integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)
    return [Image.fromarray(pixels).resize((96, 96), Image.Resampling.BICUBIC) for pixels in coarse]


def compressed(picture: Image.Image) -> Image.Image:
    file = io.BytesIO()
    picture.resize((72, 72)).save(file, "JPEG", quality=70)
    return Image.open(file).convert("RGB")


def signed(some: list[Image.Image]) -> list[Signature]:
    return [sign(picture, "RGB", "PNG") for picture in some]


def test_exact_and_near_copies_name_their_original() -> None:
    all_of_them = pictures(12)
    ours = signed(all_of_them[:8])
    theirs = signed([all_of_them[9], all_of_them[3], compressed(all_of_them[5]), all_of_them[10], all_of_them[3]])
    originals, exact = find_copies(ours, theirs)
    assert originals.tolist() == [-1, 3, 5, -1, 3]
    assert exact.tolist() == [False, True, False, False, True]


def test_copies_among_the_others_alone_are_none() -> None:
    some = pictures(4)
    originals, _ = find_copies(signed(some[:2]), signed([some[2], compressed(some[2]), some[2]]))
    assert originals.tolist() == [-1, -1, -1]
