"""Sheets of class images trick by trick: legible with few and many classes, the judge's errors marked."""

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from src import figures
from src.figures.style import VERMILLION

Legible = Callable[[Figure], list[str]]

WAYS = ("pixel ascent", "+ Fourier", "+ transformations", "+ total variation", "MaCo + batch norms", "real images")


def judged(classes: int, each: int = 3, size: int = 64, wrong: int = 0) -> figures.JudgedImages:
    """`each` images of each class, of which the first `wrong` are taken for the next class."""
    targets = np.arange(classes).repeat(each)
    predicted = targets.copy()
    predicted[:wrong] = (predicted[:wrong] + 1) % classes
    values = np.linspace(0, 255, len(targets)).astype(np.uint8)
    images = np.broadcast_to(values[:, None, None, None], (len(targets), 3, size, size))
    return figures.JudgedImages(images, targets, predicted, np.full(len(targets), 0.875, np.float32))


@pytest.mark.parametrize(
    ("classes", "size", "pages"), [(2, 64, 1), (10, 64, 1), (10, 8, 1), (10, 28, 2), (10, 224, 1), (40, 64, 4)]
)
def test_few_and_many_classes(classes: int, size: int, pages: int, legible: Legible) -> None:
    ways = {name: judged(classes, size=size, wrong=2 * i) for i, name in enumerate(WAYS)}
    names = [f"king penguin {i}" for i in range(classes)]
    drawn = list(figures.trick_pages(ways, names, "What resnet18 wants to see " + "x " * 200, "resnet50 (0.812)"))
    assert len(drawn) == pages
    words = legible(drawn[0])
    assert (" · page 1 of " in words[0]) == (pages > 1)
    assert sum("right" in word for word in words) == len(WAYS)
    assert any(f"{classes * 3 - 2} of {classes * 3} right" in word for word in words)


def test_the_first_pictures_of_each_class_are_shown_and_errors_are_marked() -> None:
    (figure,) = figures.trick_pages({"pixel ascent": judged(10, wrong=1)}, [f"c{i}" for i in range(10)], "")
    texts = {text.get_text(): to_hex(text.get_color()) for text in figure.axes[0].texts}
    assert texts["✗ 0.88"] == VERMILLION.lower() == texts["c1"], "the first is taken for the next class"
    assert [text.get_text() for text in figure.axes[0].texts].count("✓ 0.88") == 9
    (few,) = figures.trick_pages({"pixel ascent": judged(2, wrong=1)}, ["cat", "dog"], "")
    assert [text.get_text() for text in few.axes[0].texts].count("✓ 0.88") == 5, "with room for all three of a class"


def test_a_class_that_a_way_has_no_picture_of() -> None:
    ways = {"pixel ascent": judged(3), "real images": judged(2)}
    (figure,) = figures.trick_pages(ways, ["a", "b", "c"], "")
    assert [text.get_text() for text in figure.axes[0].texts].count("✓ 0.88") == 9 + 6
