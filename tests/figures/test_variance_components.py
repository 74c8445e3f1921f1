"""The chart of variance components: what stands in it, and that nothing is cut off."""

from collections.abc import Callable

import pytest
from matplotlib.figure import Figure

from src.figures import to_image, variance_chart

NAN = float("nan")
PARTS = {
    "test images": (0.8, 0.7, 0.9),
    "split": (0.0, 0.0, 9.0),
    "seed": (0.5, 0.2, 1.1),
    "seed × split": (1.2, 0.8, 2.0),
}


@pytest.mark.parametrize("panels", [1, 2, 3, 6])
def test_nothing_is_cut_off_or_covered(panels: int, legible: Callable[[Figure], list[str]]) -> None:
    titles = ["simple_cnn", "a $network$ with a long name − mini_resnet_bottleneck_post", *map(str, range(4))]
    figure = variance_chart(dict.fromkeys(titles[:panels], PARTS))
    assert {"simple_cnn", "seed × split", "1.2", "standard deviation, in points"} <= {*legible(figure)}


def test_an_interval_beyond_the_axis_ends_in_an_arrow() -> None:
    (axes,) = variance_chart({"a": PARTS}).axes
    assert [line.get_marker() for line in axes.lines].count(">") == 1
    assert axes.get_xlim()[1] == pytest.approx(3)


def test_nothing_that_varies_and_no_interval() -> None:
    assert to_image(variance_chart({"a": {"seed": (0.0, NAN, NAN), "split": (0.0, 0.0, NAN)}})).std() > 0


def test_a_figure_at_the_beginning_stands_beside_the_axis() -> None:
    figure = variance_chart({"a": {"seed": (0.0, 0.0, 1.0), "split": (1.0, 0.5, 2.0)}})
    to_image(figure)
    (axes,) = figure.axes
    assert min(text.get_window_extent().x0 for text in axes.texts) > axes.bbox.x0 + 5
