"""The table of metrics: each row computed twice, and no reader that knows a metric by itself."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.metrics import matthews_corrcoef
from torchmetrics import classification
from torchmetrics.classification import MulticlassMatthewsCorrCoef

from src.analysis.metrics import METRICS, MONITORS, SCORES, Counts, mode_of, read_figures
from src.analysis.tasks import MULTILABEL
from src.callbacks.history import COLUMNS, columns_of
from src.training.class_figures import class_figures
from tests.conftest import ROOT


def counts_of(targets: np.ndarray, predicted: np.ndarray, classes: int) -> Counts:
    support, said, hits = (
        np.bincount(some, minlength=classes).astype(float)
        for some in (targets, predicted, targets[targets == predicted])
    )
    return Counts(support, said, hits)


@pytest.mark.parametrize(("images", "classes"), [(1, 2), (200, 2), (500, 7), (30, 40)])
def test_training_and_intervals_compute_the_same(images: int, classes: int) -> None:
    random = np.random.default_rng(images)
    targets = random.integers(0, classes, images)
    predicted = np.where(random.random(images) < 0.6, targets, random.integers(0, classes, images))
    figures = class_figures(classes, "test/")
    for some in np.array_split(np.arange(images), 3):
        if len(some):
            figures.update(torch.from_numpy(predicted[some]), torch.from_numpy(targets[some]))
    measured = {name: float(value) for name, value in figures.compute().items()}
    assert set(measured) == {f"test/{name}" for name in SCORES}
    counts = counts_of(targets, predicted, classes)
    for name, row in SCORES.items():
        assert row.of_counts is not None
        assert measured[f"test/{name}"] == pytest.approx(float(row.of_counts(counts)), abs=1e-6), name


def test_classes_without_images_are_no_part_of_a_macro_average() -> None:
    """Accuracy 0.75 in each of two classes of eight, whose mistakes go elsewhere: recall 0.75, in training too."""
    targets, predicted = np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.array([0, 0, 0, 5, 1, 1, 1, 6])
    figures = class_figures(8, "")
    figures.update(torch.from_numpy(predicted), torch.from_numpy(targets))
    measured = figures.compute()
    assert (float(measured["recall"]), float(measured["precision"])) == (0.75, 1)
    counts = counts_of(targets, predicted, 8)
    for name, row in SCORES.items():
        assert row.of_counts is not None
        assert float(measured[name]) == pytest.approx(float(row.of_counts(counts)), abs=1e-6)


def test_a_class_with_images_that_is_never_predicted_counts_0() -> None:
    counts = counts_of(np.array([0, 0, 1]), np.array([0, 0, 0]), 3)
    assert [float(row.of_counts(counts)) for row in SCORES.values() if row.of_classes and row.of_counts] == (
        pytest.approx([1 / 3, 1 / 2, 0.4])
    )


def test_with_images_of_all_classes_torchmetrics_own_figures_stay_to_the_bit() -> None:
    random = np.random.default_rng(5)
    targets, predicted = torch.from_numpy(random.integers(0, 7, (2, 500)))
    figures = class_figures(7, "")
    figures.update(predicted, targets)
    for name, row in SCORES.items():
        if row.average == "macro":
            theirs = getattr(classification, row.constructor)(num_classes=7, average="macro")(predicted, targets)
            assert torch.equal(figures.compute()[name], theirs), name


@pytest.mark.filterwarnings("ignore:A single label was found")
@pytest.mark.parametrize(
    ("support", "predicted"),
    [([0] * 90 + [1] * 10, [0] * 100), ([1] * 9, [1] * 9), ([0, 1, 2, 2], [2, 2, 2, 2]), ([1, 1, 1], [0, 2, 1])],
    ids=["majority", "one class, all right", "three classes", "one class, some right"],
)
def test_one_class_alone_correlates_with_nothing(support: list[int], predicted: list[int]) -> None:
    """torchmetrics' own metric says 0.27 of the majority's class and 1 of one class; scikit-learn says 0 of all."""
    targets, said = np.array(support), np.array(predicted)
    figures = class_figures(3, "")
    figures.update(torch.from_numpy(said), torch.from_numpy(targets))
    assert float(figures.compute()["mcc"]) == matthews_corrcoef(targets, said) == 0
    assert SCORES["mcc"].of_counts is not None
    assert SCORES["mcc"].of_counts(counts_of(targets, said, 3)) == 0


def test_the_correlation_is_that_of_others() -> None:
    """Of 3 × 10⁶ images, whose squares float32 can't count; and perfect and inverted answers are ±1."""
    random = np.random.default_rng(0)
    targets = random.integers(0, 4, 3_000_000)
    said = np.where(random.random(len(targets)) < 0.3, targets, random.integers(0, 4, len(targets)))
    figures = class_figures(4, "")
    for some in np.array_split(np.arange(len(targets)), 4):
        figures.update(torch.from_numpy(said[some]), torch.from_numpy(targets[some]))
    value = float(figures.compute()["mcc"])
    assert value == pytest.approx(matthews_corrcoef(targets, said), abs=1e-7)
    theirs = MulticlassMatthewsCorrCoef(4)(torch.from_numpy(said), torch.from_numpy(targets))
    assert value == pytest.approx(float(theirs), abs=1e-3)
    of_counts = SCORES["mcc"].of_counts
    assert of_counts is not None
    assert of_counts(counts_of(targets, targets, 4)) == 1
    assert of_counts(counts_of(targets % 2, 1 - targets % 2, 2)) == -1


def test_it_costs_no_counting_of_its_own() -> None:
    """Metrics that add up the same are one group, in which one is updated for all."""
    figures = class_figures(3, "")
    for _ in range(2):
        figures.update(torch.tensor([0, 1, 2, 2]), torch.tensor([0, 2, 1, 2]))
    assert sorted(map(sorted, figures.compute_groups.values())) == [["accuracy"], ["f1", "mcc", "precision", "recall"]]


def test_no_value_is_higher_than_it_can_be() -> None:
    logged = {f"val/{name}": torch.tensor(1.0000001) for name in METRICS}
    figures = read_figures(logged, "val")
    assert figures["loss"] > 1
    assert all(figures[name] == 1.0 for name in SCORES)


def test_each_monitor_is_a_column_of_the_history() -> None:
    assert set(MONITORS) <= {*COLUMNS, *columns_of(MULTILABEL)}
    assert (mode_of("val/loss"), mode_of("train/f1")) == ("min", "max")
    assert math.isinf(METRICS["loss"].highest)


def test_the_command_line_can_read_it_without_torch() -> None:
    code = "import sys; import src.analysis.metrics; sys.exit(bool({'torch', 'numpy', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
