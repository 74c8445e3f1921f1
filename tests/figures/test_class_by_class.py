"""Figures that compare groups: what is drawn is the data, and it can be read whatever the data are."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from src import figures
from src.figures.style import fit, fit_labels, text_width

Legible = Callable[[Figure], list[str]]
LONG = "resnet18_of_the_north, train_fraction=0.05, optimizer=$sgd$_with_momentum_{}"


def history(epochs: int, value: float = 0.5, **changes: list[float]) -> pd.DataFrame:
    curve = value + 0.01 * np.arange(epochs)
    names = [f"{split}/{quantity}" for quantity in ("accuracy", "loss") for split in ("train", "val")]
    return pd.DataFrame({"epoch": np.arange(1, epochs + 1), **dict.fromkeys(names, curve), **changes})


class TestLearningCurves:
    def test_lines_are_means_and_bands_reach_from_the_lowest_to_the_highest_seed(self, legible: Legible) -> None:
        seeds = [history(3, **{"val/accuracy": values}) for values in ([0.1, 0.2, 0.3], [0.3, 0.2, 0.5])]
        figure = figures.learning_curves({"a": seeds, "b": [history(3)]})
        validation = figure.axes[1]
        assert validation.get_title(loc="left") == "Validation accuracy"
        np.testing.assert_allclose(validation.lines[0].get_xydata(), [[1, 0.2], [2, 0.2], [3, 0.4]])
        band = validation.collections[0].get_paths()[0].vertices
        assert (band[:, 1].min(), band[:, 1].max()) == (0.1, 0.5)
        assert len(validation.collections) == 1, "one seed has no band"
        assert "mean of 1 to 2 runs, band: lowest to highest" in legible(figure)

    def test_epochs_that_not_all_seeds_reached_are_thin(self, legible: Legible) -> None:
        figure = figures.learning_curves({"a": [history(2), history(4, 0.7)]})
        thick, thin = figure.axes[0].lines
        np.testing.assert_array_equal(np.isfinite(thick.get_ydata()), [True, True, False, False])
        np.testing.assert_allclose(thin.get_ydata(), [0.6, 0.61, 0.72, 0.73])
        assert thin.get_linewidth() < 1 < thick.get_linewidth()
        assert any("thin: some had stopped" in text for text in legible(figure))

    def test_groups_differ_in_more_than_colour(self, legible: Legible) -> None:
        figure = figures.learning_curves({LONG.format(i): [history(3)] for i in range(6)})
        looks = [(line.get_color(), line.get_linestyle(), line.get_marker()) for line in figure.axes[0].lines]
        assert len({marker for _, _, marker in looks}) == len({colour for colour, _, _ in looks}) == 6
        assert len(set(legible(figure)) & {LONG.format(i) for i in range(6)}) == 6

    def test_more_than_six_have_a_chart_each_with_train_and_validation(self, legible: Legible) -> None:
        groups = {f"model, fraction=0.{i}": [history(4, 0.1 * i)] for i in range(7)}
        figure = figures.learning_curves(groups, {"accuracy": "accuracy"})
        charts = [axes for axes in figure.axes if axes.get_visible()]
        assert [axes.get_title(loc="left").replace("\n", " ") for axes in charts] == list(groups)
        for i, axes in enumerate(charts):
            assert [line.get_linestyle() for line in axes.lines] == ["--", "-"]
            np.testing.assert_allclose(axes.lines[1].get_ydata(), groups[f"model, fraction=0.{i}"][0]["val/accuracy"])
        assert len({axes.get_ylim() for axes in charts}) == 1
        assert legible(figure)

    def test_missing_values_and_columns(self, legible: Legible) -> None:
        broken = history(3, **{"train/loss": [np.nan, np.inf, np.nan], "val/loss": [1e9, 1.0, np.nan]})
        figure = figures.learning_curves({"a": [broken.drop(columns="train/accuracy")]})
        assert legible(figure).count("not measured") == 2
        np.testing.assert_array_equal(figure.axes[3].lines[0].get_ydata(), [1e9, 1])
        assert figure.axes[3].get_yscale() == "log"

    def test_one_seed_that_began_badly_does_not_flatten_the_others(self) -> None:
        seeds = [history(3, **{"val/loss": [value, 0.6, 0.5]}) for value in (2.0, 19.0)]
        assert figures.learning_curves({"a": seeds}).axes[3].get_yscale() == "log"  # their means end at 10.5
        assert figures.learning_curves({"a": seeds[:1]}).axes[3].get_yscale() == "linear"
        seeds.append(history(3, **{"val/loss": [2.0, 0.6, 0.0]}))
        assert figures.learning_curves({"a": seeds}).axes[3].get_yscale() == "log"

    def test_one_epoch(self, legible: Legible) -> None:
        figure = figures.learning_curves({"a$x_1$": [history(1)]})
        assert {"a$x_1$", "one run each"} <= set(legible(figure))


class TestParetoFront:
    @pytest.mark.parametrize(
        ("cost", "accuracy", "front"),
        [
            ([1, 2, 3], [0.5, 0.6, 0.7], [True, True, True]),
            ([1, 2, 3], [0.7, 0.6, 0.5], [True, False, False]),
            ([3, 1, 2], [0.9, 0.5, 0.4], [True, True, False]),
            ([1, 1], [0.5, 0.5], [True, True]),
            ([1, 1, 2], [0.5, 0.6, 0.6], [False, True, False]),
            ([1, np.nan, 2, 3], [0.5, 0.9, np.nan, 0.6], [True, False, False, True]),
            ([], [], []),
        ],
    )
    def test_constructed_cases(self, cost: list[float], accuracy: list[float], front: list[bool]) -> None:
        assert figures.pareto_front(cost, accuracy).tolist() == front

    def test_nobody_on_it_is_beaten_and_everybody_else_is(self) -> None:
        points = np.random.default_rng(0).integers(0, 12, (60, 2))
        front = figures.pareto_front(*points.T)
        for (cost, accuracy), on_it in zip(points, front, strict=True):
            beaten = any(c <= cost and a >= accuracy and (c, a) != (cost, accuracy) for c, a in points)
            assert on_it != beaten


class TestCostCharts:
    points = pd.DataFrame(
        {
            "label": ["small", "middle", "large"],
            "score": [0.6, 0.9, 0.8],
            "score_sd": [0.01, np.nan, 0.02],
            "parameters": [3e5, 1.1e7, 2.3e7],
            "macs": [np.nan] * 3,
        }
    )

    def test_points_are_the_data_and_those_of_the_front_are_filled(self, legible: Legible) -> None:
        figure = figures.cost_charts(self.points)
        assert figure is not None
        assert len(figure.axes) == 1, "MACs are unknown, latency was not asked"
        axes = figure.axes[0]
        bars, filled, hollow = axes.collections
        np.testing.assert_allclose(filled.get_offsets(), [[3e5, 0.6], [1.1e7, 0.9]])
        np.testing.assert_allclose(hollow.get_offsets(), [[2.3e7, 0.8]])
        np.testing.assert_allclose(hollow.get_facecolor()[0], [1, 1, 1, 1])
        np.testing.assert_allclose(bars.get_segments()[2][:, 1], [0.78, 0.82])
        np.testing.assert_allclose(axes.lines[-1].get_xydata()[:2], [[3e5, 0.6], [1.1e7, 0.9]])
        assert (axes.get_xscale(), axes.get_xlabel()) == ("log", "parameters")
        assert {"small", "middle", "large"} <= set(legible(figure))

    def test_labels_that_would_cover_each_other_become_numbers(self, legible: Legible) -> None:
        many = pd.DataFrame({"label": [LONG.format(i) for i in range(24)], "score": 0.9, "latency_ms": 5.0})
        figure = figures.cost_charts(many)
        assert figure is not None
        written = legible(figure)
        assert [text.get_text() for text in figure.axes[0].texts] == [str(i) for i in range(1, 25)]
        for i in range(1, 25):
            assert any(text.startswith(f"{i} ") for text in written)

    def test_a_label_nearer_to_another_point_has_a_line_to_its_own(self) -> None:
        scores = np.repeat(np.linspace(0.9, 0.7, 10), 2) - np.tile([0, 0.004], 10)
        stacked = pd.DataFrame({"label": [LONG.format(i) for i in range(20)], "score": scores, "parameters": 1e7})
        figure = figures.cost_charts(stacked)
        assert figure is not None
        axes, astray = figure.axes[0], 0
        points = axes.transData.transform(np.column_stack([stacked["parameters"], scores]))
        for place, (text, own) in enumerate(zip(axes.texts, points, strict=True)):
            away = np.hypot(*(points - own - np.array(text.get_position()) * figure.dpi / 72).T)
            if away.min() < away[place] - 1:
                astray += 1
                assert text.arrow_patch is not None, text
        assert astray > 0

    def test_nothing_known_is_no_figure(self) -> None:
        assert figures.cost_charts(self.points[["label", "score", "macs"]]) is None
        assert figures.cost_charts(self.points.assign(score=np.nan)) is None


class TestClassHeatMap:
    @staticmethod
    def table(classes: int, groups: int) -> pd.DataFrame:
        values = np.random.default_rng(0).random((classes, groups)).round(2)
        return pd.DataFrame(values, [f"class {i}" for i in range(classes)], [f"group {i}" for i in range(groups)])

    def test_worst_first_with_numbers_and_gaps(self, legible: Legible) -> None:
        f1 = pd.DataFrame({"a": [0.9, 0.2, 0.5], "b_$x$": [0.7, 0.3, np.nan]}, ["cat", "dog", "a$b_c$"])
        figure = figures.class_heat_map(f1)
        axes = figure.axes[0]
        assert [label.get_text() for label in axes.get_yticklabels()] == ["dog", "a$b_c$", "cat"]
        assert [text.get_text() for text in axes.texts] == ["0.20", "0.30", "0.50", "–", "0.90", "0.70"]
        np.testing.assert_allclose(axes.images[0].get_array().filled(np.nan), f1.loc[["dog", "a$b_c$", "cat"]])
        assert {"F1 of 3 classes, worst first; grey: unknown", "b_$x$"} <= set(legible(figure))

    def test_of_many_classes_the_extremes(self, legible: Legible) -> None:
        f1 = self.table(60, 24)
        f1.iloc[7] = np.nan  # neither good nor bad
        figure = figures.class_heat_map(f1)
        names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ranked = f1.drop("class 7").mean(axis=1).sort_values().index
        assert names == [*ranked[:20], "", *ranked[-20:]]
        assert {"⋮ 20 more", "F1, the 20 worst and 20 best of 60 classes; grey: unknown"} <= set(legible(figure))

    @pytest.mark.parametrize(("classes", "groups"), [(2, 1), (10, 4), (2, 24)])
    def test_legible(self, classes: int, groups: int, legible: Legible) -> None:
        f1 = self.table(classes, groups).rename(columns=lambda name: LONG.format(name))
        figure = figures.class_heat_map(f1)
        assert len(figure.axes[0].texts) == classes * groups
        assert len(legible(figure)) > classes * groups

    def test_all_unknown(self, legible: Legible) -> None:
        assert legible(figures.class_heat_map(self.table(2, 2) * np.nan)).count("–") == 4


class TestConfusionMatrices:
    def test_shares_counts_and_one_scale(self, legible: Legible) -> None:
        counts = {"a": np.array([[3, 1], [0, 0]]), LONG.format(2): np.array([[1, 1], [0, 1000]])}
        figure = figures.confusion_matrices(counts, ["cat", "a$b_c$"])
        one, two, _bar = figure.axes
        np.testing.assert_allclose(one.images[0].get_array(), [[0.75, 0.25], [0, 0]])
        assert [text.get_text() for text in two.texts] == ["1", "1", "0", "1,000"]
        assert one.images[0].get_clim() == two.images[0].get_clim() == (0, 1)
        assert {"1,000", "cat", "a$b_c$"} <= set(legible(figure))

    @pytest.mark.parametrize(("classes", "groups", "numbers"), [(2, 5, 4), (10, 1, 100), (10, 12, 0), (200, 2, 0)])
    def test_legible(self, classes: int, groups: int, numbers: int, legible: Legible) -> None:
        counts = {LONG.format(i): np.eye(classes, dtype=int) * 25 for i in range(groups)}
        figure = figures.confusion_matrices(counts, [f"staffordshire_bull_terrier_{i}" for i in range(classes)])
        assert [len(axes.texts) for axes in figure.axes[:groups]] == [numbers] * groups
        assert legible(figure).count("25") == numbers * groups * (classes > 1) / classes

    def test_the_first_twelve(self, legible: Legible) -> None:
        figure = figures.confusion_matrices({f"group {i}": np.eye(2, dtype=int) for i in range(24)}, ["a", "b"])
        assert [axes.get_title(loc="left") for axes in figure.axes[:-1]] == [f"group {i}" for i in range(12)]
        assert "Rows: true; columns: predicted; the first 12 of 24 groups" in legible(figure)


class TestFit:
    def test_lines_hold_their_width(self) -> None:
        for width in (60, 100, 200):
            for lines in (1, 2, 3):
                rows = fit(LONG, width, 9, lines).split("\n")
                assert len(rows) <= lines
                assert max(text_width(row, 9) for row in rows) <= width
        assert fit("short, enough", 500) == "short, enough"
        assert fit("resnet18, train_fraction=0.1", 150, lines=2) == "resnet18,\ntrain_fraction=0.1"

    def test_what_becomes_alike_is_numbered(self) -> None:
        labels = fit_labels([f"resnet18, {i}, optimizer=sgd_with_momentum" for i in range(3)], 120)
        assert [label[:2] for label in labels] == ["1 ", "2 ", "3 "]
        assert fit_labels(["a", "b"], 120) == ["a", "b"]
