"""A photograph beside its map keeps its pixels, and the map lies where the network looked."""

import numpy as np
import pytest

from src.figures.photographs import GAP, draw_photograph, photograph_size

CORNER = np.array([[1, 0], [0, 0]], np.float32)


def photograph(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (3, height, width), np.uint8)


@pytest.mark.parametrize(("resize", "size"), [("crop", (300, 500)), ("pad", (500, 300)), ("squash", (300, 500))])
def test_the_pixels_are_the_photographs_and_the_heat_is_where_it_was_seen(resize: str, size: tuple[int, int]) -> None:
    pixels = photograph(*size)
    drawn = draw_photograph(pixels, CORNER, resize, "cat", 0.73)
    height, width = size
    assert drawn.shape[1] == 2 * width + GAP
    np.testing.assert_array_equal(drawn[-height:, :width], pixels.transpose(1, 2, 0))
    under = drawn[-height:, width + GAP :].astype(int)
    heat = (under[..., 0] - under[..., 2]).astype(float)  # inferno is red where it is hot; grey is neither
    rows, columns = np.nonzero(heat > 0.8 * heat.max())
    left = {"crop": 100, "pad": 0, "squash": 0}[resize]
    assert columns.min() == left
    assert columns.max() < left + {"crop": 150, "pad": 150, "squash": 250}[resize]
    assert rows.max() < size[0] / 2
    if resize == "crop":
        assert under[:, :90].mean() > under[:, 260:400].mean() + 50  # beside the square it is faded


def test_the_line_holds_class_and_confidence_and_a_long_name_is_cut() -> None:
    plain, blank = (draw_photograph(photograph(300, 300), CORNER, "crop", name, 0.5) for name in ("cat", " "))
    assert (plain[:40] < 100).any()
    assert (plain[:20] != blank[:20]).any()
    assert draw_photograph(photograph(300, 300), CORNER, "crop", "name " * 40, 0.5).shape == plain.shape
    dark = draw_photograph(photograph(300, 300), np.zeros_like(CORNER), "crop", "cat", 0.5)
    assert (dark[:20] < 100).sum() > (plain[:20] < 100).sum()  # it says that there is no positive evidence
    narrow = draw_photograph(photograph(300, 2), CORNER, "pad", "caterpillar", 0.5)
    assert narrow.shape[1] > 2 * 2 + GAP  # the line is wider than the pair


@pytest.mark.parametrize(
    ("size", "shown"),
    [((8, 8), (224, 224)), ((300, 400), (300, 400)), ((3000, 4000), (1200, 1600)), ((1, 30_000), (1, 1600))],
)
def test_sizes_on_screen(size: tuple[int, int], shown: tuple[int, int]) -> None:
    assert photograph_size(size) == shown
