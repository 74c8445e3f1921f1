"""Two classes and a threshold, from evaluate over predict to an export, on a trained network."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src.runs.answers import read_answers
from src.trained.logits import probabilities
from tests.support.command_line import run_here


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that is unsure: two steps on noise with a brighter half."""
    folder = tmp_path_factory.mktemp("two")
    done = run_here(
        *("data=folder", f"data.root={photos}", "model=simple_cnn", "model.width=4", "data.image_size=16"),
        *("epochs=1", "lr=0.001", "trainer=cpu", "logger=none", "callbacks=none", "cost=false", "baseline=false"),
        *("data.test_fraction=0.5", "hydra.run.dir=run"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "run"


def evaluate(run: Path, folder: Path, *overrides: str) -> tuple[dict[str, Any], str]:
    done = run_here(f"checkpoint={run}", f"output={folder}", *overrides, cwd=run.parent, verb="evaluate")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "evaluate.json").read_text()), done.stdout + done.stderr


def test_a_threshold_means_the_same_to_evaluate_predict_and_export(run: Path, tmp_path: Path) -> None:
    record, said = evaluate(run, tmp_path / "first", "probabilities=true")
    answers = read_answers(tmp_path / "first", "probabilities.npz")
    shares = probabilities(answers.logits)
    # Halfway between two images, where the answer to half of the images turns.
    threshold = round(float(np.median(shares[:, 0])), 4)
    assert "AUROC" in said
    assert record["binary"]["positive"] == "low"
    assert (tmp_path / "first" / "roc.png").stat().st_size > 10_000

    chosen = (f"threshold={threshold}", "positive=high")
    record, said = evaluate(run, tmp_path / "second", *chosen)
    found = record["binary"]["at"][f"{threshold:g}"]
    called = shares[:, 0] >= threshold
    assert found["hits"] == int((called & (answers.targets == 0)).sum())
    assert found["false_alarms"] == int((called & (answers.targets == 1)).sum())
    assert f"from {threshold:g}" in said
    rows = list(csv.DictReader((tmp_path / "second" / "thresholds.csv").read_text().splitlines()))
    at = [row for row in rows if float(row["threshold"]) >= threshold][-1]
    assert (int(at["hits"]), int(at["false_alarms"])) == (found["hits"], found["false_alarms"])

    done = run_here(
        f"checkpoint={run}", "images=test", f"output={tmp_path / 'said'}", *chosen, cwd=run.parent, verb="predict"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = list(csv.DictReader((tmp_path / "said" / "predictions.csv").read_text().splitlines()))
    assert [row["predicted"] == "high" for row in rows] == called.tolist()
    assert {row["predicted"] for row in rows} == {"high", "low"}
    assert any(float(row["confidence"]) < 0.5 for row in rows) or abs(threshold - 0.5) < 0.01
    assert json.loads((tmp_path / "said" / "predict.json").read_text())["threshold"] == threshold

    done = run_here(
        f"checkpoint={run}", f"output={tmp_path / 'export'}", "format=torch_export", *chosen,
        cwd=run.parent, verb="export",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    paths = answers.paths[:6] + [path for path, high in zip(answers.paths, called, strict=True) if high][:2]
    data = Path(record["root"])
    example = [sys.executable, "example.py", *(str(data / path) for path in paths)]
    told = subprocess.run(example, cwd=tmp_path / "export", capture_output=True, text=True, check=True).stdout
    expected = ["high" if called[answers.paths.index(path)] else "low" for path in paths]
    assert [line.split()[0] for line in told.splitlines()] == expected


@pytest.mark.parametrize(
    ("verb", "words", "line"),
    [
        ("evaluate", ["threshold=1.5"], "threshold=1.5"),
        ("evaluate", ["positive=middle"], "positive=middle is none of the classes: high or low"),
        ("predict", ["images=test", "positive=low"], "positive=low is for threshold="),
        ("export", ["positive=low"], "positive=low is for threshold="),
    ],
)
def test_wrong_thresholds_get_a_line(run: Path, tmp_path: Path, verb: str, words: list[str], line: str) -> None:
    done = run_here(f"checkpoint={run}", f"output={tmp_path / 'out'}", *words, cwd=run.parent, verb=verb)
    assert done.returncode == 2
    assert line in done.stderr
    assert not (tmp_path / "out").exists()


def test_ten_classes_have_no_threshold(digits_run: Path, tmp_path: Path) -> None:
    done = run_here(f"checkpoint={digits_run}", "threshold=0.7", cwd=tmp_path, verb="evaluate")
    assert done.returncode == 2
    assert "threshold=0.7 is for two classes" in done.stderr
    assert "has 10" in done.stderr
