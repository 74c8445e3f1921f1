"""The table of metrics: each row computed twice, and no reader that knows a metric by itself."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from src.analysis.metrics import METRICS, MONITORS, SCORES, Counts, mode_of, read_figures
from src.callbacks.history import COLUMNS
from src.training.classifier import _figures
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
    figures = _figures(classes, "test/")
    for some in np.array_split(np.arange(images), 3):
        if len(some):
            figures.update(torch.from_numpy(predicted[some]), torch.from_numpy(targets[some]))
    measured = {name: float(value) for name, value in figures.compute().items()}
    assert set(measured) == {f"test/{name}" for name in SCORES}
    counts = counts_of(targets, predicted, classes)
    for name, row in SCORES.items():
        assert row.of_counts is not None
        assert measured[f"test/{name}"] == pytest.approx(float(row.of_counts(counts)), abs=1e-6), name


def test_no_value_is_higher_than_it_can_be() -> None:
    logged = {f"val/{name}": torch.tensor(1.0000001) for name in METRICS}
    figures = read_figures(logged, "val")
    assert figures["loss"] > 1
    assert all(figures[name] == 1.0 for name in SCORES)


def test_each_monitor_is_a_column_of_the_history() -> None:
    assert set(MONITORS) <= set(COLUMNS)
    assert (mode_of("val/loss"), mode_of("train/f1")) == ("min", "max")
    assert math.isinf(METRICS["loss"].highest)


def test_the_command_line_can_read_it_without_torch() -> None:
    code = "import sys; import src.analysis.metrics; sys.exit(bool({'torch', 'numpy', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
