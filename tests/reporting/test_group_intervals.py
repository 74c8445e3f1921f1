"""Intervals of groups of runs: those of one run, and of several that share images."""

from pathlib import Path

import numpy as np
import pytest

from src.analysis.intervals import share_interval, wilson
from src.reporting.finished import read_runs
from src.reporting.group_intervals import group_intervals
from src.reporting.groups import group_runs
from tests.reporting.conftest import MakeRun


def intervals(folder: Path) -> dict[str, tuple[float, float]]:
    (group,) = group_runs(read_runs(folder)[0])[0]
    return dict(group_intervals(group))


def test_one_run_has_wilsons(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path / "1", correct=[i % 5 != 0 for i in range(40)])
    found = intervals(tmp_path)
    assert found["accuracy"] == pytest.approx(wilson(0.8, 40))
    assert found["recall"][0] < 0.8 < found["recall"][1]


def test_seeds_share_their_images(tmp_path: Path, make_run: MakeRun) -> None:
    right = np.random.default_rng(1).random((3, 40)) < 0.8
    for seed, correct in enumerate(right, start=1):
        make_run(tmp_path / f"{seed}", f"seed={seed}", correct=correct)
    found = intervals(tmp_path)
    assert found["accuracy"] == pytest.approx(share_interval(right.mean(axis=0)))
    assert np.diff(found["accuracy"])[0] < np.diff(wilson(right.mean(), 40))[0]


def test_folds_are_one_test_set(tmp_path: Path, make_run: MakeRun) -> None:
    for fold in range(2):
        paths = [f"{fold}_{i}" for i in range(20)]
        words = ("seed=1", "data.folds=2", f"data.fold={fold}")
        make_run(tmp_path / f"{fold}", *words, correct=[i != 3 for i in range(20)], paths=paths)
    low, high = intervals(tmp_path)["accuracy"]
    assert (low, high) == pytest.approx(wilson(0.95, 40), abs=0.01)
