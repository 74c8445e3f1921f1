"""Sheets of class images: legible with few and with many classes, the judge's errors marked."""

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from src import figures
from src.figures.class_image_sheets import GAP, HEADER, HEADING, NAMES, ROWS
from src.figures.style import VERMILLION

Legible = Callable[[Figure], list[str]]

LONG = ["a_very_long_class_name_of_a_rare_mushroom", "Ödipus (2)", "$x$"]


def judged(classes: int, each: int = 3, channels: int = 1, size: int = 8, wrong: int = 0) -> figures.JudgedImages:
    """`each` images of each class, of which the first `wrong` are taken for the next class."""
    targets = np.arange(classes).repeat(each)
    predicted = targets.copy()
    predicted[:wrong] = (predicted[:wrong] + 1) % classes
    values = np.linspace(0, 255, len(targets)).astype(np.uint8)
    images = np.broadcast_to(values[:, None, None, None], (len(targets), channels, size, size))
    return figures.JudgedImages(images, targets, predicted, np.full(len(targets), 0.875, np.float32))


def groups(classes: int, **more: int) -> dict[str, figures.JudgedImages]:
    names = ("class images", "pixel ascent", "random weights", "real images")
    return {name: judged(classes, wrong=2 * i, **more) for i, name in enumerate(names)}


@pytest.mark.parametrize(("classes", "pages"), [(2, 1), (10, 1), (40, 2), (200, 10)])
def test_few_and_many_classes(classes: int, pages: int, legible: Legible) -> None:
    names = [f"class {i}" for i in range(classes)]
    sheets = figures.class_image_pages(groups(classes), names, "What resnet18 sees in mnist")
    first = next(sheets)
    words = legible(first)
    assert [word for word in words if word in names] == names[:ROWS]
    assert figures.to_image(first).shape[0] < 2600
    assert any(word.startswith("100 % of ") for word in words)
    assert any(word.startswith(f"{100 - 200 / classes:.0f} % of ") for word in words)
    assert (f"page 1 of {pages}" in words[0]) == (pages > 1)
    if classes <= 40:
        assert 1 + sum(1 for _ in sheets) == pages


@pytest.mark.parametrize(("channels", "size", "each"), [(3, 128, 1), (1, 28, 6), (3, 224, 9)])
def test_images_of_all_sizes_with_long_names(channels: int, size: int, each: int, legible: Legible) -> None:
    (figure,) = figures.class_image_pages(groups(3, channels=channels, size=size, each=each), LONG, "x " * 200)
    assert sum(word.startswith("100 % of ") for word in legible(figure)) >= 1


def test_errors_are_marked_and_right_ones_are_not() -> None:
    (figure,) = figures.class_image_pages({"class images": judged(2, wrong=1)}, ["cat", "dog"], "")
    texts = {text.get_text(): to_hex(text.get_color()) for text in figure.axes[0].texts}
    assert texts["✗ dog 0.88"] == VERMILLION.lower()
    assert texts["✓ 0.88"] != VERMILLION.lower()
    assert "83 % of 6" in texts


def test_every_image_lies_in_its_classs_row() -> None:
    group = judged(3, each=2)
    shuffled = np.array([5, 0, 3, 1, 4, 2])
    mixed = figures.JudgedImages(*(values[shuffled] for values in vars(group).values()))
    (figure,) = figures.class_image_pages({"class images": mixed}, ["a", "b", "c"], "")
    canvas = figures.to_image(figure)
    rows = [HEADER + HEADING + row * (96 + 16 + GAP) + 50 for row in range(3)]
    shown = [[int(canvas[y, NAMES + place * (96 + GAP) + 50, 0]) for place in (0, 1)] for y in rows]
    assert [sorted(row) for row in shown] == [[0, 51], [102, 153], [204, 255]]


def test_only_as_many_side_by_side_as_there_is_room_for(legible: Legible) -> None:
    (figure,) = figures.class_image_pages(groups(2, each=12), ["cat", "dog"], "")
    words = legible(figure)
    assert sum(word.endswith("0.88") for word in words) == 2 * 7
    assert "75 % of 24" in words, "of all images, not of those shown"


@pytest.mark.parametrize(("steps", "shown"), [(1, 1), (3, 3), (30, 8)])
def test_steps_in_order_with_the_first_and_the_last(steps: int, shown: int, legible: Legible) -> None:
    snapshots = np.broadcast_to(
        np.linspace(0, 240, steps).astype(np.uint8)[:, None, None, None, None], (steps, 2, 1, 8, 8)
    )
    numbers = [0, *range(100, 100 + steps - 1)]
    figure = figures.class_image_steps(snapshots, numbers, ["7", LONG[0]], "How a digit comes about")
    words = [word for word in legible(figure) if word == "start" or word.startswith("step ")]
    assert len(words) == shown
    assert words[0] == "start"
    assert words[-1] == ("start" if steps == 1 else f"step {numbers[-1]}")
    canvas = figures.to_image(figure)
    row = [int(canvas[HEADER + 16 + GAP + 50, NAMES + column * (96 + GAP) + 50, 0]) for column in range(shown)]
    assert row == sorted(row)
    assert row[-1] == (0 if steps == 1 else 240)


def test_steps_of_many_images_say_how_many(legible: Legible) -> None:
    figure = figures.class_image_steps(np.zeros((2, 50, 3, 32, 32), np.uint8), [0, 9], ["x"] * 50, "")
    assert f"the first {ROWS} of 50 images" in legible(figure)
