"""Runs of several labels an image in a report: by mAP, in a table of their own, with what the images leave open."""

import json
import statistics
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from src.analysis.label_intervals import label_intervals
from src.analysis.tasks import MULTILABEL
from src.reporting import groups
from src.reporting.difference_shown import compare
from src.reporting.finished import read_runs
from src.reporting.label_differences import label_group_intervals, map_difference
from src.reporting.report import write_report
from src.reporting.summary import summary
from tests.reporting.conftest import MakeRun, write_label_run

Arrays = tuple[NDArray[np.float32], NDArray[np.float32]]


def answers(seed: int, images: int = 200, labels: int = 3, noise: float = 1.0) -> Arrays:
    """Logits and targets: the same targets for every seed, one in twenty unknown."""
    random = np.random.default_rng(0)
    targets = (random.random((images, labels)) < 0.4).astype(np.float32)
    targets[random.random(targets.shape) < 0.05] = np.nan
    told = np.nan_to_num(targets, nan=0.5)
    logits = 2 * told - 1 + noise * np.random.default_rng(seed).standard_normal(targets.shape)
    return logits.astype(np.float32), targets


def read(folder: Path) -> list[groups.TestSet]:
    runs, problems = read_runs(folder)
    found, doubles = groups.group_runs(runs)
    sets, apart = groups.test_sets(found)
    assert problems + doubles + apart == []
    return sets


def write(folder: Path, model: str, seed: int, arrays: Arrays) -> None:
    logits, targets = arrays
    write_label_run(folder, f"model={model}", f"seed={seed}", logits=logits, targets=targets)


@pytest.fixture
def study(tmp_path: Path, make_run: MakeRun) -> Path:
    """`good` is better by far than `bad`, which two seeds each have."""
    for model, noise in (("bad", 2.5), ("good", 0.4)):
        for seed in (1, 2):
            write(tmp_path / model / str(seed), model, seed, answers(seed, noise=noise))
    return tmp_path


def test_the_table_holds_means_of_the_runs_and_the_best_map_first(study: Path) -> None:
    (test_set,) = read(study)
    assert test_set.task is MULTILABEL
    assert test_set.name == "pictures: 200 test images of 3 labels"
    table = summary(test_set)
    assert table["model"].tolist() == ["good", "bad"]
    for _, row in table.iterrows():
        files = [study / row["model"] / str(seed) / "metrics.json" for seed in (1, 2)]
        for name in ("map", "f1", "f1_micro", "precision", "recall"):
            values = [json.loads(file.read_text())[f"test/{name}"] for file in files]
            assert row[f"test_{name}"] == pytest.approx(statistics.mean(values))
            assert row[f"test_{name}_sd"] == pytest.approx(statistics.stdev(values))
            assert row[f"test_{name}_low"] < row[f"test_{name}"] < row[f"test_{name}_high"]
        assert row["n"] == 2
    assert not [name for name in table if "accuracy" in name]


def test_a_large_difference_is_shown_and_its_interval_holds_it(study: Path) -> None:
    ((comparison,), problems) = compare(read(study)[0])
    assert not problems
    assert comparison.shown
    assert comparison.low < comparison.difference < comparison.high
    assert comparison.better > comparison.worse
    assert (comparison.images, comparison.replicates) == (200, 2)


def test_equals_differ_by_nothing(tmp_path: Path, make_run: MakeRun) -> None:
    for model in ("one", "other"):
        write(tmp_path / model, model, 1, answers(1))
    one, other = (group.runs[0] for group in read(tmp_path)[0].groups)
    found = map_difference([(one, other)])
    assert (found.difference, found.better, found.worse, found.p) == (0, 0, 0, 1)
    assert np.isnan(found.low)


def test_noise_alone_is_rarely_a_difference(tmp_path: Path, make_run: MakeRun) -> None:
    for seed in range(20):
        write(tmp_path / str(seed), "resnet18", seed, answers(seed))
    runs, _ = read_runs(tmp_path)
    found = [map_difference([(one, other)]) for one, other in zip(runs[::2], runs[1::2], strict=True)]
    assert sum(difference.p < 0.05 for difference in found) <= 2
    assert all(difference.low <= difference.difference <= difference.high for difference in found)


def test_the_interval_of_one_run_is_that_of_an_evaluation(tmp_path: Path, make_run: MakeRun) -> None:
    logits, targets = answers(3)
    write(tmp_path / "1", "resnet18", 1, (logits, targets))
    said = 1 / (1 + np.exp(-logits.astype(np.float64)))
    wanted = label_intervals(said, targets, np.full(3, 0.5), seed=1)
    found = label_group_intervals(read(tmp_path)[0].groups[0])
    for name, ends in wanted.items():
        assert found[name] == pytest.approx(ends, abs=0.015)


def test_few_images_and_perfect_ones_have_no_interval(tmp_path: Path, make_run: MakeRun) -> None:
    write(tmp_path / "few/1", "resnet18", 1, answers(1, images=5))
    write(tmp_path / "perfect/1", "resnet18", 1, answers(1, noise=0))
    for folder in ("few", "perfect"):
        assert np.isnan(label_group_intervals(read(tmp_path / folder)[0].groups[0])["map"]).all()


def test_both_tasks_have_tables_of_their_own(study: Path, make_run: MakeRun, blank: None) -> None:
    make_run(study / "single", "model=good")
    written = write_report(study, study / "report")
    assert [result.task.first for result in written.results] == ["map", "accuracy"]
    assert all(len(result.table) == number for result, number in zip(written.results, (2, 1), strict=True))
    assert any("several labels" in problem.reason for problem in written.problems)
    text = (study / "report/report.md").read_text()
    assert "mAP" in text
    assert {path.name for path in (study / "report").glob("*.png")} >= {
        "1_class_average_precision.png",
        "2_confusion_matrices.png",
    }


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        ("predictions.csv", ",label 1,", ",label 9,", "has the class 'label 9'"),
        ("per_class.csv", "label 0,", "label 0,9", "count different numbers"),
        ("metrics.json", '"test/f1_micro": 0.', '"test/f1_micro": 0.0', "not of the same run"),
        ("predictions.csv", "probability_label 1", "probability", "no column probability_label 1"),
    ],
)
def test_what_does_not_belong_together_is_left_out(
    tmp_path: Path, make_run: MakeRun, file: str, old: str, new: str, reason: str
) -> None:
    for seed in (1, 2):
        write(tmp_path / str(seed), "resnet18", seed, answers(seed))
    path = tmp_path / "2" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    runs, problems = read_runs(tmp_path)
    assert [run.name for run in runs] == ["1"]
    assert reason in problems[0].reason


def test_unknown_labels_make_nothing_wrong(tmp_path: Path, make_run: MakeRun) -> None:
    targets = np.array([[1, np.nan], [0, 1], [np.nan, np.nan]] * 4, dtype=np.float32)
    logits = np.array([[3, 3], [3, 3], [3, -3]] * 4, dtype=np.float32)
    write(tmp_path / "1", "resnet18", 1, (logits, targets))
    (run,) = read_runs(tmp_path)[0]
    assert run.predictions["right"].tolist() == [True, False, True] * 4
    assert run.predictions["said"].tolist()[:3] == ["label 0", "label 0+label 1", "no label"]
