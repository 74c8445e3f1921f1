"""Pairs of runs, image by image, counted again by hand."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest
from statsmodels.stats.multitest import multipletests

from src.analysis.intervals import difference_interval, tango
from src.analysis.tasks import ONE_CLASS
from src.reporting import groups
from src.reporting.difference_shown import COLUMNS, SIGNED, Comparison, compare
from src.reporting.finished import Problem, read_runs
from src.runs.folder import RunFolder

MakeRun = Callable[..., RunFolder]


def read(path: Path) -> groups.TestSet:
    (test_set,), problems = groups.test_sets(groups.group_runs(read_runs(path)[0])[0])
    assert problems == []
    return test_set


def right(folder: Path) -> dict[str, int]:
    with (folder / "predictions.csv").open() as file:
        return {row["path"]: int(row["target"] == row["predicted"]) for row in csv.DictReader(file)}


def test_identical_runs_differ_by_nothing(tmp_path: Path, make_run: MakeRun) -> None:
    correct = [True, False, True, True]
    make_run(tmp_path / "0", "trainer=auto", "quick=false", correct=correct)
    make_run(tmp_path / "1", "trainer=auto", "quick=true", correct=correct)
    (comparison,), problems = compare(read(tmp_path))
    assert problems == []
    assert comparison == Comparison(
        4, 0.0, *tango(0, 0, 4), 0, 0, 1.0, best="quick=false", other="quick=true", replicates=1, p_holm=1.0
    )


def test_one_run_each(tmp_path: Path, make_run: MakeRun) -> None:
    """McNemar's test and Tango's interval, of three models, from the files."""
    random = np.random.default_rng(0)
    truth = {model: random.random(120) < p for model, p in {"a": 0.9, "b": 0.8, "c": 0.5}.items()}
    for model, correct in truth.items():
        order = random.permutation(120)  # a file's order is of no matter
        run = make_run(tmp_path / model, f"model={model}", correct=correct)
        header, *rows = run.predictions_file.read_text().splitlines()
        run.predictions_file.write_text("\n".join([header, *(rows[i] for i in order)]) + "\n")
    comparisons, _ = compare(read(tmp_path))
    assert [(c.best, c.other) for c in comparisons] == [("a", "b"), ("a", "c")]
    for c in comparisons:
        mine, theirs = right(tmp_path / c.best), right(tmp_path / c.other)
        difference = np.array([mine[path] - theirs[path] for path in mine])
        assert (c.images, c.replicates) == (120, 1)
        assert (c.better, c.worse) == ((difference == 1).sum(), (difference == -1).sum())
        assert c.difference == pytest.approx(difference.mean(), abs=1e-12)
        assert c.p == pytest.approx(binomtest(c.better, c.better + c.worse).pvalue)
        assert (c.low, c.high) == pytest.approx(tango(c.better, c.worse, 120))
    assert [c.p_holm for c in comparisons] == pytest.approx(multipletests([c.p for c in comparisons], method="holm")[1])


def test_seeds_are_paired_and_images_are_clusters(tmp_path: Path, make_run: MakeRun) -> None:
    """Seeds 1 and 2 share their test images; resnet18's seed 3 and resnet50's seed 4 have no partner."""
    right_images = {
        ("resnet50", 1): [1, 1, 1, 1, 0, 0],
        ("resnet50", 2): [1, 1, 0, 1, 1, 0],
        ("resnet50", 4): [1, 1, 1, 1, 1, 1],
        ("resnet18", 1): [0, 1, 1, 0, 1, 0],
        ("resnet18", 2): [0, 0, 1, 0, 0, 0],
        ("resnet18", 3): [0, 0, 0, 0, 0, 0],
    }
    for (model, seed), correct in right_images.items():
        make_run(tmp_path / f"{model}/{seed}", f"model={model}", f"seed={seed}", correct=[c == 1 for c in correct])
    (c,), _ = compare(read(tmp_path))
    summed = np.array([2, 1, -1, 2, 0, 0])  # of the two pairs, image by image
    assert (c.best, c.other, c.images, c.replicates) == ("resnet50", "resnet18", 6, 2)
    assert (c.better, c.worse) == (3, 1)
    assert c.difference == pytest.approx(summed.mean() / 2)
    assert c.p == pytest.approx(6 / 16)  # of ±2 ±2 ±1 ±1 six sums are as far from 0 as 4
    shares = np.array([2, 1, 0, 2, 1, 0]) / 2, np.array([0, 0, 1, 0, 1, 0]) / 2
    assert (c.low, c.high) == pytest.approx(difference_interval(*shares))
    assert c.low <= c.difference <= c.high


def test_test_images_that_follow_the_seed(tmp_path: Path, make_run: MakeRun) -> None:
    """Of different numbers, some in both: the difference is the mean of the pairs' differences of accuracy."""
    random = np.random.default_rng(1)
    images = {1: [f"{i}" for i in range(20)], 2: [f"{i}" for i in range(10, 40, 2)]}
    for model in ("a", "b"):
        for seed, paths in images.items():
            correct = random.random(len(paths)) < (0.9 if model == "a" else 0.6)
            make_run(tmp_path / f"{model}{seed}", f"model={model}", f"seed={seed}", correct=correct, paths=paths)
    test_set = read(tmp_path)
    (c,), _ = compare(test_set)
    accuracies = {
        run.name: json.loads((tmp_path / run.name / "metrics.json").read_text())["test/accuracy"]
        for group in test_set.groups
        for run in group.runs
    }
    expected = [accuracies[f"{c.best}{seed}"] - accuracies[f"{c.other}{seed}"] for seed in (1, 2)]
    assert c.difference == pytest.approx(np.mean(expected), abs=1e-6)
    assert (c.images, c.replicates) == (len({*images[1], *images[2]}), 2)
    assert c.low < c.difference < c.high
    sums = {path: 0 for paths in images.values() for path in paths}
    for seed in (1, 2):
        mine, theirs = right(tmp_path / f"{c.best}{seed}"), right(tmp_path / f"{c.other}{seed}")
        for path in mine:
            sums[path] += mine[path] - theirs[path]
    assert c.better == sum(value > 0 for value in sums.values())
    assert c.worse == sum(value < 0 for value in sums.values())


def test_without_a_seed_in_common(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path / "0", "model=a", "seed=1", correct=[True, True])
    make_run(tmp_path / "1", "model=b", "seed=2", correct=[True, False])
    comparisons, problems = compare(read(tmp_path))
    assert comparisons == []
    reason = "no seed in common with a, the best of pictures: 2 test images of 2 classes: not compared with it"
    assert problems == [Problem("b", reason)]


def test_only_seeds_in_common_are_said_to_be_compared(tmp_path: Path, make_run: MakeRun) -> None:
    """The best has a seed more, which makes it the best: in the one that both have the other one is ahead."""
    for model, seed, count in (("a", 1, 10), ("a", 2, 38), ("b", 1, 20)):
        make_run(tmp_path / f"{model}{seed}", f"model={model}", f"seed={seed}", correct=np.arange(40) < count)
    ((lead,), _) = compare(read(tmp_path))
    assert re.search(r"b is 25\.0 points above a \(.*, of the only seed in common\): a difference shown", str(lead))
    assert {*lead.row()} == {*COLUMNS, *SIGNED}
    for seed in (2, 3):
        make_run(tmp_path / f"b{seed}", "model=b", f"seed={seed}", correct=np.arange(40) < 1)
    ((lead,), _) = compare(read(tmp_path))
    assert ", not other seeds, in the seeds in common): " in str(lead)
    make_run(tmp_path / "a3", "model=a", "seed=3", correct=np.arange(40) < 9)
    ((lead,), _) = compare(read(tmp_path))
    assert ", not other seeds): " in str(lead)


def test_different_test_images_are_refused(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path / "0", "model=a", paths=["1", "2"], correct=[True, True])
    make_run(tmp_path / "1", "model=b", paths=["1", "3"], correct=[True, False])
    both, _ = groups.group_runs(read_runs(tmp_path)[0])
    with pytest.raises(ValueError, match="0 and 1 were tested on different images"):
        compare(groups.TestSet("forced", both, ONE_CLASS))


def test_one_group_has_nothing_to_be_compared_with(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path / "0")
    assert compare(read(tmp_path)) == ([], [])
