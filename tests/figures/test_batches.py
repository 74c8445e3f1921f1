"""A batch on a sheet: every image with its own label, and nothing cut off."""

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure

from src import figures
from src.figures import batches as sheet

Legible = Callable[[Figure], list[str]]


@pytest.mark.parametrize(("count", "channels", "side"), [(1, 1, 8), (5, 3, 300), (32, 4, 64)])
@pytest.mark.parametrize("name", ["cat", "staffordshire_bull_terrier", "red+green+blue", "a$b^$c"])
def test_each_label_can_be_read(legible: Legible, count: int, channels: int, side: int, name: str) -> None:
    images = np.full((count, channels, side, side), 90, np.uint8)
    words = legible(figures.batch_sheet(images, [name] * count, "Epoch 1"))
    assert words[0] == "Epoch 1"
    lines = (len(words) - 1) // count
    assert len(words) == 1 + lines * count
    assert lines == 1 + (len(name) > 20)
    assert "…" not in "".join(words)


def test_images_come_in_their_order_pixel_by_pixel() -> None:
    images = np.random.default_rng(0).integers(0, 256, (10, 1, 8, 8), np.uint8)
    pixels = figures.to_image(figures.batch_sheet(images, [str(i) for i in range(10)], "t"))
    step = 112 + sheet.GAP
    second = pixels[sheet.HEADER : sheet.HEADER + 112, sheet.GAP + step : sheet.GAP + step + 112, 0]
    np.testing.assert_array_equal(second, np.kron(images[1, 0], np.ones((14, 14), np.uint8)))
    below = sheet.HEADER + 112 + sheet.LINE + 4 + sheet.GAP
    ninth = pixels[below : below + 112, sheet.GAP : sheet.GAP + 112, 0]
    np.testing.assert_array_equal(ninth, np.kron(images[8, 0], np.ones((14, 14), np.uint8)))
