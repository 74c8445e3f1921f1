"""Grad-CAMs of several models and epochs: scales that can be compared, and words where a picture would mislead."""

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure

from src import figures
from src.figures import heat_maps
from src.figures.map_comparison import GAP, LINE, MARGIN, PANEL

Legible = Callable[[Figure], list[str]]
LONG = "resnet18_of_the_north, train_fraction=0.05, optimizer=$sgd$_with_momentum_{}"


def maps(value: float, count: int = 2, cells: int = 4) -> np.ndarray:
    """Evidence `value` in the left half, none in the right one."""
    raw = np.full((count, cells, cells), -1.0, np.float32)
    raw[:, :, : cells // 2] = value
    return raw


def overlays(figure: Figure) -> np.ndarray:
    """The canvas behind the texts, in order of brightness of inferno: its sum over the channels."""
    return np.asarray(figure.axes[0].images[0].get_array()).astype(int).sum(axis=2)


def brightness(share: float) -> int:
    """Of an overlay on black."""
    return int(((0.25 + 0.5 * share) * heat_maps.colours(np.array([float(share)]))[0]).astype(int).sum())


class TestComparison:
    images = np.zeros((2, 3, 32, 32), np.uint8)

    def draw(self, raw: dict[str, np.ndarray], **changes) -> Figure:
        names = {label: ["cat"] * len(self.images) for label in raw}
        return figures.gradcam_comparison(
            **{"images": self.images, "maps": raw, "predicted": names, "true": ["cat", "dog"]} | changes
        )

    def test_one_scale_for_all_models_and_grids(self, legible: Legible) -> None:
        """The weaker model is darker, its map isn't stretched, and the cell of a finer grid counts for less."""
        figure = self.draw({"strong": maps(0.4), "weak": maps(0.1 * 16 / 36, cells=6)})
        canvas = overlays(figure)
        side = heat_maps.panel_size((32, 32), PANEL)[0]
        row = canvas[100]
        first, second = (row[GAP + k * (side + GAP) + 10] for k in (1, 2))
        expected = [brightness(share) for share in (1, 0.25)]
        assert (first, second) == (pytest.approx(expected[0], abs=2), pytest.approx(expected[1], abs=2))
        words = legible(figure)
        assert {"6.4 logits an image", "4×4 cells", "6×6 cells"} <= set(words)
        assert any("99 %" in word for word in words)

    def test_values_above_the_top_are_as_bright_as_the_top(self) -> None:
        raw = maps(0.1, cells=16)
        raw[0, 8, 4] = 50  # less than a hundredth of the pixels
        canvas = overlays(self.draw({"a": raw}))
        corner = MARGIN + 2 * LINE + 8, GAP + 128 + GAP  # of the first map, 128 pixels wide
        assert canvas[corner[0] + 68, corner[1] + 36] == pytest.approx(brightness(1), abs=2)

    def test_words_where_a_map_could_mislead(self, legible: Legible) -> None:
        raw = {"a": maps(1), "b": np.stack([np.full((4, 4), -1, np.float32), np.full((4, 4), np.nan, np.float32)])}
        explained = {"a": ["cat", "dog"], "b": ["cat", "cat"]}
        words = legible(self.draw(raw, explained=explained))
        assert words.count("no positive\nevidence") == 2
        assert [word for word in words if word.startswith("map of")] == ["map of dog"]
        assert words.count("✓ cat") == words.count("✗ cat") == 2

    def test_nothing_at_all(self, legible: Legible) -> None:
        assert "0 logits an image" in legible(self.draw({"a": -maps(1) * 0 - 1}))

    @pytest.mark.parametrize("models", [1, 6, 24])
    def test_many_models_with_long_names(self, models: int, legible: Legible) -> None:
        words = legible(self.draw({LONG.format(i): maps(1) for i in range(models)}))
        assert sum("4×4 cells" in word for word in words) == models

    @pytest.mark.parametrize(("models", "shown"), [(1, 8), (2, 8), (24, 2)])
    def test_with_many_models_fewer_images_and_it_says_so(self, models: int, shown: int, legible: Legible) -> None:
        images, raw = np.zeros((9, 1, 8, 8), np.uint8), {f"model {i}": maps(1, 9) for i in range(models)}
        figure = figures.gradcam_comparison(images, raw, {label: ["3"] * 9 for label in raw}, ["3"] * 9)
        said = " ".join(" ".join(legible(figure)).split())
        assert f"one scale for all, 99 % of pixels below the top; first {shown} of 9 images" in said


class TestEpochs:
    images = np.zeros((3, 1, 8, 8), np.uint8)

    def series(self, epochs: int, first: int = 0) -> list[tuple[int, np.ndarray]]:
        return [(epoch, maps(0.01 * epoch, 3)) for epoch in range(first, epochs)]

    def test_seven_epochs_evenly_with_the_first_the_last_and_the_best(self, legible: Legible) -> None:
        words = legible(figures.gradcam_epochs(self.images, {"a": self.series(31)}, {"a": 17}))
        shown = [word for word in words if word.startswith("epoch") or word.endswith("best") or word == "untrained"]
        assert shown == [
            word
            for one in ("untrained", "epoch 5", "epoch 10", "17, best", "epoch 20", "epoch 25", "epoch 30")
            for word in (one, one)
        ]

    def test_a_scale_for_each_model(self, legible: Legible) -> None:
        series = {"a": self.series(4, 1), "b": [(epoch, 100 * raw) for epoch, raw in self.series(4, 1)]}
        figure = figures.gradcam_epochs(self.images, series)
        assert {"top 0.48 logits an image", "top 48 logits an image"} <= set(legible(figure))
        canvas = overlays(figure)
        side, cell = 112, 112 + LINE + 4
        block = LINE + 6 + 2 * cell + MARGIN
        top = MARGIN + LINE + 6
        np.testing.assert_allclose(canvas[top : top + side], canvas[top + block : top + block + side], atol=4)
        columns = [canvas[top + 50, 2 * GAP + k * (side + GAP) + 10] for k in (1, 2, 3)]
        assert columns == sorted(columns), "the later, the stronger"

    @pytest.mark.parametrize("epochs", [1, 2, 7])
    def test_few_epochs(self, epochs: int, legible: Legible) -> None:
        words = legible(figures.gradcam_epochs(self.images[:1], {LONG: self.series(epochs)}, {LONG: 99}))
        assert sum(word.startswith("epoch") or word == "untrained" for word in words) == epochs

    def test_all_models_are_there(self, legible: Legible) -> None:
        words = legible(figures.gradcam_epochs(self.images, {f"model {i}": self.series(2) for i in range(24)}))
        assert sum(word.startswith("model") for word in words) == 24


class TestMovement:
    def test_lines_are_the_data(self, legible: Legible) -> None:
        figure = figures.gradcam_movement({"a_$x$": [(0, -0.2), (1, np.nan), (2, 1.0)], "b": [(1, 0.5), (2, 1)]})
        one, two = figure.axes[0].lines
        np.testing.assert_array_equal(one.get_xydata(), [[0, -0.2], [1, np.nan], [2, 1]])
        np.testing.assert_array_equal(two.get_xydata(), [[1, 0.5], [2, 1]])
        assert {"a_$x$", "b"} <= set(legible(figure))

    def test_more_than_six_have_a_chart_each(self, legible: Legible) -> None:
        figure = figures.gradcam_movement({LONG.format(i): [(0, 0.1 * i), (1, 1.0)] for i in range(8)})
        assert [axes.lines[0].get_ydata()[0] for axes in figure.axes] == pytest.approx([0.1 * i for i in range(8)])
        legible(figure)

    def test_one_epoch_or_none(self, legible: Legible) -> None:
        assert "not measured" in legible(figures.gradcam_movement({"a": []}))
        assert "not measured" in legible(figures.gradcam_movement({"a": [(0, np.nan)]}))
        legible(figures.gradcam_movement({"a": [(3, 1.0)]}))
