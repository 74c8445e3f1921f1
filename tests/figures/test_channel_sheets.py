"""The sheet of the deconvnet: crops where they belong, grey where nothing is, words that can be read."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

from src import figures
from src.figures.channel_sheets import BETWEEN, EMPTY, GAP, NOTHING, _block, _grey, _place

Legible = Callable[[Figure], list[str]]


def sheet(k: int, n: int, shape: tuple[int, int, int], field: tuple[int, int, int, int], **options: Any) -> Figure:
    """Of `k` channels with `n` images of `shape` each, all cropped to `field`."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (k, n, *shape), np.uint8)
    projections = random.normal(size=(k, n, *shape)).astype(np.float32)
    activations = options.pop("activations", np.linspace(9.25, 1.5, n) + np.zeros((k, 1)))
    fields = np.broadcast_to(field, (k, n, 4))
    options = {"layer": "layer2", "network": "ResNet-18, mnist"} | options
    return figures.deconvnet_sheet(images, projections, fields, np.arange(k) + 100, activations, **options)


@pytest.mark.parametrize(
    ("k", "n", "shape", "field"),
    [
        (9, 9, (1, 28, 28), (2, 3, 13, 14)),
        (2, 9, (3, 224, 224), (0, 0, 218, 224)),
        (9, 4, (3, 30, 224), (3, 17, 6, 220)),
        (2, 1, (1, 8, 8), (1, 1, 2, 2)),
        (1, 9, (1, 28, 28), (0, 0, 28, 28)),
        (1, 1, (4, 64, 20), (0, 0, 64, 20)),
    ],
)
def test_all_words_can_be_read(k: int, n: int, shape: Any, field: Any, legible: Legible) -> None:
    texts = legible(sheet(k, n, shape, field, control=True))
    assert "layer2 of ResNet-18, mnist, deconvnet, control: random weights" in texts
    named = [text for text in texts if text.startswith("channel ")]
    assert len(named) == k
    assert named[0] == ("channel 100, activation 9.25" if n == 1 else "channel 100, activations 9.25 to 1.5")


def test_titles_and_dead_channels(legible: Legible) -> None:
    activations = np.array([[5.0, 0.0], [0.0, -1.0]])
    texts = legible(
        sheet(2, 2, (1, 28, 28), (0, 0, 28, 28), activations=activations, rule="guided", network="a$b$" * 30)
    )
    assert "channel 100, activations 5 to 0" in texts
    assert "channel 101: dead, no image excites it" in texts
    assert not any("random weights" in text for text in texts)
    assert any(text.startswith("layer2 of a$b$") and text.endswith("guided backpropagation") for text in texts)


def test_zero_is_grey_and_the_scale_symmetric() -> None:
    projections = np.random.default_rng(0).normal(size=(9, 3, 20, 20))
    projections[:, :, :10] = 0
    drawn = _grey(projections).astype(int)
    assert (drawn[:, :, :10] == NOTHING).all()
    np.testing.assert_array_equal(drawn - NOTHING, NOTHING - _grey(-projections).astype(int))
    assert (drawn.min(), drawn.max()) == (NOTHING - 127, NOTHING + 127)
    np.testing.assert_array_equal(_grey(1e-9 * projections), drawn)
    assert (_grey(np.zeros((2, 1, 4, 4))) == NOTHING).all(), "a dead channel"


def test_crops_stand_beside_their_projections() -> None:
    """Four images of 10×10, each of one tone but for its field; the projections are zero but for one pixel."""
    images, projections = np.zeros((4, 1, 10, 10), np.uint8), np.zeros((4, 1, 10, 10))
    fields = np.array([[2, 2, 6, 6], [0, 4, 2, 8], [6, 6, 10, 10], [4, 8, 8, 10]])  # the 2nd and 4th cut by an edge
    for i, (top, left, bottom, right) in enumerate(fields):
        images[i, :, top:bottom, left:right] = 50 * (i + 1)
        projections[i, 0, bottom - 1, left] = 1
    side = 40
    block = _block(images, projections, fields, side)
    assert block.shape == (2 * side + GAP, 4 * side + 2 * GAP + BETWEEN, 3)
    right = 2 * side + GAP + BETWEEN
    for i, (y, x) in enumerate([(0, 0), (0, side + GAP), (side + GAP, 0), (side + GAP, side + GAP)]):
        crop, projection = (block[y : y + side, start : start + side, 0] for start in (x, right + x))
        expected = np.full((side, side), 50 * (i + 1))
        if i == 1:
            expected[: side // 2] = EMPTY  # above the image
        if i == 3:
            expected[:, side // 2 :] = EMPTY  # to the right of it
        np.testing.assert_array_equal(crop, expected)
        assert ((projection == EMPTY) == (expected == EMPTY)).all()
        white = np.argwhere(projection == NOTHING + 127)
        assert white.min(axis=0).tolist() == [30, 0]
        assert len(white) == 100


def test_a_crop_cut_by_an_edge_lies_at_the_far_side() -> None:
    assert _place(3, 7, 4, 10, 40) == (0, 40)
    assert _place(0, 3, 4, 10, 40) == (10, 40), "what is missing lies above the image"
    assert _place(7, 10, 4, 10, 40) == (0, 30)
    assert _place(0, 2, 4, 2, 40) == (10, 30), "an image smaller than the field lies in the middle"


def test_a_cell_that_sees_padding_alone_leaves_its_panel_empty() -> None:
    empty = np.zeros((1, 4), np.int64)
    block: NDArray[np.uint8] = _block(np.zeros((1, 1, 5, 5), np.uint8), np.ones((1, 1, 5, 5)), empty, 20)
    assert (block[:, :20] == EMPTY).all()
