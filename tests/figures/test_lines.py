"""Line charts on a logarithmic axis: what stands in them, and that nothing is cut off."""

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure

from src.figures import Points, line_charts, to_image

SIZES = np.array([480.0, 1440, 4800, 14_400, 48_000])


def line(height: float, x: np.ndarray = SIZES) -> Points:
    return Points(x, height + 0.05 * np.arange(len(x)), np.full(len(x), 0.01))


@pytest.mark.parametrize("lines", [1, 4, 7])
def test_nothing_is_cut_off_or_covered(lines: int, legible: Callable[[Figure], list[str]]) -> None:
    labels = ["resnet18, weights=resnet18_tinyimagenet.pth, $lr$=0.01", *(f"network {i}" for i in range(lines - 1))]
    some = {label: line(0.3 + i / 100) for i, label in enumerate(labels)}
    texts = legible(line_charts({"Test accuracy": some, "Gap": some}, "training images", ["Test accuracy"]))
    assert {"Test accuracy", "Gap", "training images", "480", "48,000"} <= {*texts}
    assert sum(text.startswith("network") for text in texts) == 2 * (lines - 1)


def test_many_numbers_get_round_ones(legible: Callable[[Figure], list[str]]) -> None:
    texts = legible(line_charts({"a": {"b": line(0.1, np.linspace(10, 3000, 30))}}, "seconds of training", ["a"]))
    assert {"10", "100", "1,000"} <= {*texts}


def test_shares_end_at_one_and_other_charts_show_nought() -> None:
    near = Points(SIZES, np.full(5, 0.99), np.full(5, np.nan))
    share, gap = line_charts({"share": {"a": near}, "gap": {"a": near}}, "", ["share"]).axes
    assert share.get_ylim()[1] == pytest.approx(1)
    assert gap.get_ylim()[0] <= 0


def test_one_point_is_drawn() -> None:
    only = Points(np.array([5.0]), np.array([0.5]), np.array([np.nan]))
    assert to_image(line_charts({"a": {"b": only}}, "images", ["a"])).std() > 0
