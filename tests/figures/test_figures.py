"""Figures: what is drawn where, in pixels and texts; the rest is for the eye."""

import sys
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from pytorch_grad_cam.utils.image import scale_cam_image

from src import figures
from src.figures import heat_maps as gradcam


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def all_inside(figure: Figure) -> bool:
    """Nothing that is drawn is cut off by the edge of the figure (to a pixel)."""
    figures.to_image(figure)
    drawn = figure.get_tightbbox().extents  # inches
    width, height = figure.get_size_inches()
    return bool(min(drawn[:2]) >= -0.01 and drawn[2] <= width + 0.01 and drawn[3] <= height + 0.01)


@pytest.mark.parametrize(
    ("grid", "size"), [((7, 7), (224, 224)), ((4, 6), (28, 33)), ((9, 9), (5, 4)), ((4, 4), (4, 4))]
)
def test_scaling_is_the_packages_own(grid: tuple[int, int], size: tuple[int, int]) -> None:
    maps = np.random.default_rng(0).normal(size=(6, *grid)).astype(np.float32)
    maps[1] = -np.abs(maps[1])  # no positive evidence
    maps[2] *= 1e-6
    maps[3] = np.abs(maps[3]) + 1  # positive everywhere
    theirs = scale_cam_image(scale_cam_image(np.maximum(maps, 0), size[::-1]))  # as BaseCAM.forward does, twice
    np.testing.assert_allclose(figures.scale_maps(maps, size), theirs, rtol=0, atol=1e-5)


class TestGradcamGrid:
    images = np.random.default_rng(0).integers(0, 255, (6, 3, 40, 40), np.uint8)

    def draw(self, count: int = 6, **changes) -> Figure:
        maps = np.zeros((count, 4, 4), np.float32)
        maps[:, 1, 2] = 1
        arguments = {
            "images": self.images[:count],
            "maps": maps,
            "true": ["cat"] * count,
            "predicted": ["cat", "dog", *["cat"] * 4][:count],
            "confidences": np.linspace(0.5, 1, count),
        }
        return figures.gradcam_grid(**(arguments | changes))

    def test_captions_say_what_is_wrong_without_relying_on_colour(self) -> None:
        figure = self.draw(title="epoch 3")
        captions = [text for text in texts(figure) if "predicted" in text]
        assert captions[:2] == ["true cat · predicted cat 0.50", "✗ true cat · predicted dog 0.60"]
        assert sum("✗" in caption for caption in captions) == 1
        assert "epoch 3" in texts(figure)
        assert any("each map scaled to its own maximum" in text for text in texts(figure))

    def test_maps_that_could_mislead_are_labelled(self) -> None:
        maps = np.full((6, 4, 4), 0.2, np.float32)
        maps[4] = -1
        maps[5] = np.nan
        notes = texts(self.draw(maps=maps, explained=["cat"] * 6))
        assert sum("no positive evidence" in note for note in notes) == 2
        assert [note for note in notes if "map of" in note] == ["map of cat"], "image 1 was taken for a dog"

    def test_the_heat_is_where_the_map_is(self) -> None:
        pixels = figures.to_image(self.draw(1, images=np.zeros((1, 3, 40, 40), np.uint8))).astype(int).sum(axis=2)
        dark = np.where(pixels[60] < 30)[0]  # a row through both panels: the left one is the black image
        left, side = dark[0], 160
        overlay = pixels[54:214, left + side + 2 : left + 2 * side + 2]
        row, column = np.unravel_index(overlay.argmax(), overlay.shape)
        assert 40 <= row < 80, "second of four rows"
        assert 80 <= column < 120, "third of four columns"

    @pytest.mark.parametrize("side", [8, 28])
    def test_small_images_are_shown_pixel_by_pixel(self, side: int) -> None:
        images = np.random.default_rng(0).integers(0, 200, (1, 1, side, side), np.uint8)
        pixels = figures.to_image(self.draw(1, images=images))
        top = gradcam.HEADER + gradcam.LINE + 6
        panel = pixels[top : top + 168, gradcam.GAP : gradcam.GAP + 168, 0]
        np.testing.assert_array_equal(panel, np.kron(images[0, 0], np.ones((168 // side, 168 // side), np.uint8)))

    @pytest.mark.parametrize("count", [1, 2, 4, 5])
    @pytest.mark.parametrize("name", ["cat", "staffordshire_bull_terrier_of_the_north", "a$b^$c", "two\nlines"])
    def test_nothing_is_cut_off(self, count: int, name: str) -> None:
        figure = self.draw(
            count, true=[name] * count, predicted=["dog"] * count, explained=[name] * count, title="Epoch 3"
        )
        assert all_inside(figure)

    @pytest.mark.parametrize("shape", [(2, 1, 30, 50), (2, 4, 300, 200)])
    def test_other_shapes(self, shape: tuple[int, ...]) -> None:
        assert all_inside(self.draw(2, images=np.full(shape, 9, np.uint8)))


class TestCurves:
    CHARTS: ClassVar = {"loss": "Loss", "accuracy": "Accuracy", "f1": "Macro F1"}

    @staticmethod
    def history(epochs: int) -> pd.DataFrame:
        epoch = np.arange(1, epochs + 1)
        columns = {f"{split}/{name}": 1 / epoch for split in ("train", "val") for name in ("loss", "accuracy", "f1")}
        return pd.DataFrame({"epoch": epoch, **columns, "lr": 0.1 / epoch})

    @pytest.mark.parametrize("epochs", [1, 2, 50])
    def test_four_charts_labelled_on_the_lines(self, epochs: int) -> None:
        figure = figures.curves(self.history(epochs), 1, self.CHARTS)
        assert [axes.get_title(loc="left") for axes in figure.axes] == ["Loss", "Accuracy", "Macro F1", "Learning rate"]
        assert texts(figure).count("train") == texts(figure).count("val") == 3
        assert figure.axes[0].get_title(loc="right") == "dotted: best epoch 1"
        assert all_inside(figure)
        assert all(tick == int(tick) for tick in figure.axes[0].get_xticks())

    def test_labels_of_lines_that_end_alike_do_not_cover_each_other(self) -> None:
        figure = figures.curves(self.history(10), 10, self.CHARTS)  # train and val are the same numbers
        figures.to_image(figure)
        first, second = (t.get_window_extent() for t in figure.axes[0].texts if t.get_text() in ("train", "val"))
        assert not first.overlaps(second)

    def test_the_learning_rate_is_drawn_by_step(self) -> None:
        history = self.history(3).assign(step=[4, 8, 12])
        figure = figures.curves(history, 2, self.CHARTS, [(step, 0.1 / step) for step in range(1, 13)])
        rate, best = figure.axes[-1].lines
        np.testing.assert_allclose(rate.get_xydata(), [(step, 0.1 / step) for step in range(1, 13)])
        assert best.get_xdata()[0] == 8, "the last step of the best epoch"
        assert figure.axes[-1].get_xlabel() == "step"
        by_epoch = figures.curves(history, 2, self.CHARTS).axes[-1]
        assert (by_epoch.get_xlabel(), len(by_epoch.lines[0].get_xdata())) == ("epoch", 3)

    @pytest.mark.parametrize(("epochs", "best"), [(1, 1), (2, 1), (50, 3), (50, 48)])
    def test_no_words_lie_over_a_title(self, epochs: int, best: int) -> None:
        figure = figures.curves(self.history(epochs), best, self.CHARTS)
        figures.to_image(figure)
        titles = [getattr(axes, name) for axes in figure.axes for name in ("_left_title", "_right_title")]
        shown = [title for title in titles if title.get_text()]
        words = [text for axes in figure.axes for text in axes.texts]
        assert len(shown) == 5
        boxes = [text.get_window_extent() for text in (*shown, *words)]
        assert not any(one.overlaps(two) for one in boxes[:5] for two in boxes if one is not two)

    def test_what_was_not_measured_is_left_out(self) -> None:
        history = self.history(3).drop(columns=["train/f1", "val/f1", "lr", "train/loss"])
        history.loc[1, "val/loss"] = np.nan
        figure = figures.curves(history, 2, self.CHARTS)
        assert [axes.get_title(loc="left") for axes in figure.axes] == ["Loss", "Accuracy"]


class TestConfusionMatrix:
    def test_rows_are_normalised_and_cells_hold_counts(self) -> None:
        figure = figures.confusion_matrix(np.array([[3, 1], [0, 0]]), ["cat", "dog"])
        np.testing.assert_allclose(figure.axes[0].images[0].get_array(), [[0.75, 0.25], [0, 0]])
        assert [t.get_text() for t in figure.axes[0].texts] == ["3", "1", "0", "0"]
        assert (figure.axes[0].get_ylabel(), figure.axes[0].get_xlabel()) == ("true", "predicted")
        assert "colour: its square root" in figure.axes[1].get_ylabel()

    @pytest.mark.parametrize(("classes", "numbers", "labels"), [(20, 400, 20), (37, 0, 37), (200, 0, 40)])
    def test_many_classes(self, classes: int, numbers: int, labels: int) -> None:
        names = [f"staffordshire_bull_terrier_{i}" if i % 5 == 0 else f"class {i}" for i in range(classes)]
        figure = figures.confusion_matrix(np.eye(classes, dtype=int) * 9, names)
        assert len(figure.axes[0].texts) == numbers
        assert len(figure.axes[0].get_xticks()) == len(figure.axes[0].get_yticks()) == labels
        assert max(figure.get_size_inches()) < 14
        assert all_inside(figure)
        boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
        assert not any(one.overlaps(two) for one, two in pairwise(boxes))


def test_saved_pictures_are_the_figure_and_leave_nothing_else(tmp_path: Path) -> None:
    first, second = (figures.curves(TestCurves.history(3), 1, TestCurves.CHARTS) for _ in range(2))
    figures.save(first, tmp_path / "new" / "curves.png")
    with Image.open(tmp_path / "new" / "curves.png") as saved:
        np.testing.assert_array_equal(np.asarray(saved), figures.to_image(second))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["curves.png"]


def test_pyplot_is_never_asked() -> None:
    """No window system, no global list of figures that would grow with every epoch."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    before = pyplot.get_fignums() if pyplot else []
    figures.curves(TestCurves.history(2), 1, TestCurves.CHARTS)
    assert "pyplot" not in Path(figures.__file__).read_text().replace("no pyplot", "")
    assert (pyplot.get_fignums() if pyplot else []) == before


def test_names_of_any_characters_are_drawn() -> None:
    name = "w\udcfc\x1b[2J\nx"
    assert figures.shorten("a\u202eb") == "a\ufffdb"
    assert figures.shorten(name) == "w\ufffd\ufffd[2J x"
    figure = figures.confusion_matrix(np.eye(2, dtype=int), [name, "b"])
    figures.to_image(figure)
    grid = TestGradcamGrid().draw(1, true=[name], predicted=["b"], explained=[name], title=name)
    figures.to_image(grid)
    assert not any("\udcfc" in text or "\x1b" in text for text in texts(figure) + texts(grid))
