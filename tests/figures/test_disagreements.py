"""The sheet of images on which models disagree."""

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure

from src import figures
from src.figures.disagreements import GAP

Legible = Callable[[Figure], list[str]]


def captions(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_only_images_with_one_right_and_one_wrong(legible: Legible) -> None:
    images = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.full((4, 3, 8, 8), 60, np.uint8)
    predicted = {"one": ["cat", "dog", "cat", "cat"], "two": ["cat", "cat", "cat", "dog"]}
    figure = figures.disagreements(images, ["cat", "cat", "dog", "cat"], predicted)
    assert captions(figure) == [
        *("A = one", "B = two", "✓ right  ✗ wrong"),
        *("true cat", "✓ A cat", "✗ B dog"),  # image 3: those that the first gets right come first
        *("true cat", "✗ A dog", "✓ B cat"),  # image 1
    ]
    legible(figure)
    pixels = figures.to_image(figure)[120]
    assert pixels[GAP + 5].tolist() == [180] * 3
    assert pixels[GAP + 168 + GAP + 5].tolist() == [60] * 3


def test_at_most_24_and_each_way_of_disagreeing_has_its_share(legible: Legible) -> None:
    one = ["cat"] * 50 + ["dog"] * 5
    two = ["dog"] * 50 + ["cat"] * 5
    figure = figures.disagreements(np.zeros((55, 1, 8, 8), np.uint8), ["cat"] * 55, {"one": one, "two": two})
    assert captions(figure).count("✓ A cat") == 19
    assert captions(figure).count("✓ B cat") == 5
    legible(figure)


def test_small_images_keep_their_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 200, (1, 1, 8, 8), np.uint8)
    pixels = figures.to_image(figures.disagreements(image, ["3"], {"a": ["3"], "b": ["4"]}))[..., 0]
    expected = np.kron(image[0, 0], np.ones((21, 21), np.uint8))
    tops = [y for y in range(100) if np.array_equal(pixels[y : y + 168, GAP : GAP + 168], expected)]
    assert len(tops) == 1


def test_no_disagreement_says_so(legible: Legible) -> None:
    figure = figures.disagreements(np.zeros((1, 1, 8, 8), np.uint8), ["3"], {"a": ["3"], "b": ["3"]})
    assert "Right and wrong on the same images." in legible(figure)


@pytest.mark.parametrize(
    ("shape", "name"),
    [((3, 96, 96), "a$b_^$"), ((1, 8, 8), "W" * 60), ((4, 30, 90), "two\nlines\x1b"), ((3, 90, 30), "W" * 60)],
)
def test_any_names_and_shapes(shape: tuple[int, ...], name: str, legible: Legible) -> None:
    images = np.zeros((5, *shape), np.uint8)
    texts = legible(figures.disagreements(images, [name] * 5, {name: [name] * 5, f"{name}2": ["b"] * 5}))
    assert texts.count("✗ B b") == 5
    assert sum(text.startswith("✓ ") for text in texts) == 1 + 5  # the key, and each image
