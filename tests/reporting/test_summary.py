"""Every figure of the table, computed again from the files with nothing of ours."""

import csv
import json
import math
import statistics
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from src.analysis.metrics import SCORES
from src.analysis.tasks import ONE_CLASS
from src.reporting import groups
from src.reporting import summary as table
from src.reporting.finished import read_runs
from src.reporting.sections import summary_table
from src.runs.folder import RunFolder

MakeRun = Callable[..., RunFolder]


def report(path: Path) -> pd.DataFrame:
    runs, problems = read_runs(path)
    found, older = groups.group_runs(runs)
    sets, apart = groups.test_sets(found)
    assert problems + older + apart == []
    return table.report_table(sets)


def numbers(folders: list[Path], key: str) -> list[float]:
    return [json.loads((folder / "metrics.json").read_text())[key] for folder in folders]


def check(row: pd.Series, name: str, values: list[float]) -> None:
    assert row[name] == pytest.approx(statistics.mean(values), rel=1e-12)
    if len(values) > 1:
        assert row[f"{name}_sd"] == pytest.approx(statistics.stdev(values), rel=1e-9)
    else:
        assert math.isnan(row[f"{name}_sd"])


def test_all_figures_are_those_of_the_run_folders(tmp_path: Path, make_run: MakeRun) -> None:
    folders: dict[str, list[Path]] = {}
    models = {"resnet18": (1, 2, 3), "resnet50": (1, 3), "simple_cnn": (2,)}
    latency = iter((3.0, 1.0, 8.5, 2.0, 4.0))
    for model, seeds in models.items():
        for seed in seeds:
            cost = None if model == "simple_cnn" else {"macs": 10**9 + len(model), "latency_ms_median": next(latency)}
            run = make_run(tmp_path / f"{model}/{seed}", f"model={model}", f"seed={seed}", cost=cost)
            folders.setdefault(model, []).append(run.path)
    found = report(tmp_path)
    assert sorted(found["model"]) == sorted(models)
    assert found["label"].tolist() == found["model"].tolist()
    assert found["test_set"].unique().tolist() == ["pictures: 40 test images of 2 classes"]
    assert found["test_accuracy"].is_monotonic_decreasing
    for _, row in found.iterrows():
        of_group = folders[row["model"]]
        assert (row["n"], row["seeds"]) == (len(of_group), " ".join(map(str, models[row["model"]])))
        for figure in SCORES:
            check(row, f"test_{figure}", numbers(of_group, f"test/{figure}"))
        for split in ("train", "val", "baseline"):
            check(row, f"{split}_accuracy", numbers(of_group, f"{split}/accuracy"))
        for figure in ("accuracy", "loss"):
            train, val = numbers(of_group, f"train/{figure}"), numbers(of_group, f"val/{figure}")
            check(row, f"gap_{figure}", [t - v for t, v in zip(train, val, strict=True)])
        for figure in ("best_epoch", "train_seconds"):
            check(row, figure, numbers(of_group, figure))
        for figure in ("epochs", "images_per_second"):
            assert row[figure] == pytest.approx(statistics.mean(numbers(of_group, figure)))
        assert row["parameters"] == numbers(of_group, "parameters")[0]
        if row["model"] == "simple_cnn":
            assert math.isnan(row["macs"])
            assert math.isnan(row["latency_ms"])
        else:
            costs = [json.loads((folder / "cost.json").read_text()) for folder in of_group]
            assert row["macs"] == costs[0]["macs"]
            assert row["latency_ms"] == statistics.median(cost["latency_ms_median"] for cost in costs)
        for folder in of_group:  # the accuracies are those of the images
            with (folder / "predictions.csv").open() as file:
                right = [line["target"] == line["predicted"] for line in csv.DictReader(file)]
            assert numbers([folder], "test/accuracy")[0] == pytest.approx(statistics.mean(right), abs=1e-6)
    checked = {name for name in found if not name.endswith("_sd")}
    assert checked == {
        *("test_set", "label", "model", "n", "seeds"),
        *(f"test_{name}{end}" for name in SCORES for end in ("", "_low", "_high")),
        *("baseline_accuracy", "train_accuracy", "val_accuracy", "gap_accuracy", "gap_loss", "best_epoch", "epochs"),
        *("train_seconds", "images_per_second", "parameters", "macs", "latency_ms"),
    }


def test_a_run_that_knew_fewer_metrics_has_none_of_the_others(
    tmp_path: Path, make_run: MakeRun, edit: Callable[..., None]
) -> None:
    """Alone, its table has no column of them; beside a run of today, a dash in it."""
    old = make_run(tmp_path / "old", "model=resnet18", correct=[True] * 4)
    edit(old.metrics_file, **{f"{split}__mcc": None for split in ("train", "val", "test", "baseline")})
    (row,) = (row for _, row in report(tmp_path).iterrows())
    assert math.isnan(row["test_mcc"])
    assert row["test_f1"] == numbers([old.path], "test/f1")[0]
    alone = summary_table(report(tmp_path), ONE_CLASS)
    new = make_run(tmp_path / "new", "model=resnet50", correct=[True] * 3 + [False])
    both = summary_table(report(tmp_path), ONE_CLASS)
    assert "MCC" not in alone.columns
    place = both.columns.index("MCC")
    assert [cells[place] for cells in both.rows] == ["–", f"{numbers([new.path], 'test/mcc')[0]:.3f}"]


def test_settings_that_differ_have_columns_of_their_own(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path / "0", "optimizer.lr=0.01", correct=[True] * 4)
    make_run(tmp_path / "1", "optimizer.lr=0.001", correct=[True] * 3 + [False])
    found = report(tmp_path)
    assert found.columns[:5].tolist() == ["test_set", "label", "model", "optimizer.lr", "n"]
    assert found["optimizer.lr"].tolist() == ["0.01", "0.001"]
    assert "folds" not in found


def test_folds_are_averaged(tmp_path: Path, make_run: MakeRun) -> None:
    for fold, right in enumerate((1, 2, 4)):
        correct, paths = [True] * right + [False] * (4 - right), [f"{fold}/{i}" for i in range(4)]
        make_run(tmp_path / str(fold), "data.folds=3", f"data.fold={fold}", correct=correct, paths=paths)
    (row,) = (row for _, row in report(tmp_path).iterrows())
    assert (row["n"], row["seeds"], row["folds"]) == (3, "1", "0 1 2")
    check(row, "test_accuracy", [0.25, 0.5, 1.0])
    assert row["test_set"] == "pictures: 12 test images of 2 classes"


def test_without_baseline_and_test_sets_below_each_other(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path / "0", "data=pictures", baseline=False)
    make_run(tmp_path / "1", "data=flowers", classes=("rose", "tulip", "lily"))
    found = report(tmp_path)
    assert found["test_set"].tolist() == [
        "pictures: 40 test images of 2 classes",
        "flowers: 40 test images of 3 classes",
    ]
    assert found["baseline_accuracy"].isna().tolist() == [True, False]
    assert found["label"].tolist() == ["data=pictures", "data=flowers"]
    assert table.report_table([]).empty
