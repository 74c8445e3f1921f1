"""The chart of how much Grad-CAMs still move from epoch to epoch."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from src import figures


def lines(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(line.get_xydata(), dtype=float) for line in figure.axes[0].lines]


def words(figure: Figure) -> str:
    return " · ".join(text.get_text() for legend in figure.legends for text in legend.get_texts())


def test_every_image_has_its_line_and_the_mean_leaves_out_what_is_unknown() -> None:
    correlations = np.array([[-0.4, 0.2], [0.5, np.nan], [0.9, 0.7]])
    changed = np.array([[True, True], [False, True], [False, False]])
    figure = figures.map_movement([1, 2, 3], correlations, changed, "Grad-CAMs of a_$x$")
    one, two, mean = lines(figure)
    np.testing.assert_array_equal(one, [[1, -0.4], [2, 0.5], [3, 0.9]])
    np.testing.assert_array_equal(two, [[1, 0.2], [2, np.nan], [3, 0.7]])
    np.testing.assert_allclose(mean, [[1, -0.1], [2, 0.5], [3, 0.8]])
    (marks,) = figure.axes[0].collections
    np.testing.assert_allclose(marks.get_offsets(), [[1, -0.4], [1, 0.2]])  # what is unknown has no place
    assert words(figure) == "one image · its explained class has changed (2 of 2 images, last in epoch 1) · mean of 2"
    low, high = figure.axes[0].get_ylim()
    assert low < -0.4
    assert high > 1
    assert figures.to_image(figure).std() > 5


def test_an_epoch_without_maps_is_a_gap() -> None:
    figure = figures.map_movement([1, 4], np.array([[0.1], [0.9]]), np.zeros((2, 1), dtype=bool))
    for line in lines(figure):
        np.testing.assert_array_equal(line, [[1, 0.1], [2, np.nan], [3, np.nan], [4, 0.9]])
    assert "explained class" not in words(figure)


@pytest.mark.parametrize("images", [1, 256])
def test_nothing_measured_is_said(images: int) -> None:
    figure = figures.map_movement([7], np.full((1, images), np.nan), np.ones((1, images), dtype=bool))
    assert [text.get_text() for text in figure.axes[0].texts] == ["not measured"]
    figures.to_image(figure)
