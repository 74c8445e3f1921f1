"""Run folders of an earlier version are loaded, resumed, explained and reported (`tests/support/old_runs`)."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from src.runs.folder import RunFolder
from tests.support.command_line import run_here

OLD = Path(__file__).parent / "support" / "old_runs"
FIGURES = ("loss", "accuracy", "precision", "recall", "f1")

# On the kind of processor that made them the figures agree to the last bit.
CLOSE = 1e-4


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Copies to write in, elsewhere than where they were made."""
    shutil.copytree(OLD, tmp_path / "old")
    return tmp_path / "old"


def run(verb: str, *words: str, cwd: Path) -> str:
    result = run_here(*words, cwd=cwd, verb=verb)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


@pytest.mark.parametrize("name", ["finished", "sweep/3"])
def test_a_finished_run_is_evaluated_as_it_was(name: str, old: Path) -> None:
    run("evaluate", f"checkpoint={name}", "output=evaluated", "mistakes=0", cwd=old)
    record = json.loads((old / "evaluated" / "evaluate.json").read_text())
    metrics = RunFolder(old / name).metrics()
    assert {f"test/{figure}": record[f"test/{figure}"] for figure in FIGURES} == pytest.approx(
        {f"test/{figure}": metrics[f"test/{figure}"] for figure in FIGURES}, abs=CLOSE
    )
    kept = pd.read_csv(old / name / "predictions.csv", dtype={"predicted": str})
    again = pd.read_csv(old / "evaluated" / "predictions.csv", dtype={"predicted": str})
    assert list(again["path"]) == list(kept["path"])
    assert list(again["predicted"]) == list(kept["predicted"])


def test_an_interrupted_run_goes_on_in_the_middle_of_its_epoch(old: Path) -> None:
    said = run("train", "resume=interrupted", cwd=old)
    assert "goes on in epoch 2, after batch 14" in said
    folder = RunFolder(old / "interrupted")
    expected = json.loads((old / "resumed.json").read_text())
    metrics = folder.metrics()
    assert {key: metrics[key] for key in expected["metrics"]} == pytest.approx(expected["metrics"], abs=CLOSE)
    history = folder.history()
    for key in expected["history"][0]:
        assert list(history[key]) == pytest.approx([row[key] for row in expected["history"]], abs=CLOSE), key
    assert sorted(path.name for path in folder.gradcam.glob("epoch_*.npz")) == [f"epoch_00{n}.npz" for n in range(4)]
    assert json.loads((folder.path / "run.json").read_text())["status"] == "finished"
    settings = torch.load(folder.last_checkpoint, weights_only=True)["hyper_parameters"]
    assert settings["convolutions"] == "library"  # there was no other way


def test_a_run_keeps_its_way_of_decoding(old: Path) -> None:
    """These were trained before there was a choice."""
    result = run_here("resume=interrupted", "data.decode=exact", cwd=old, verb="train")
    assert result.returncode == 2
    assert "interrupted was begun with data.decode=fast, now it is exact" in result.stderr


def test_a_finished_run_gets_another_epoch(old: Path) -> None:
    before = pd.read_csv(old / "finished" / "metrics.csv")
    run("train", "resume=finished", "trainer.max_epochs=4", cwd=old)
    after = RunFolder(old / "finished").history()
    assert list(after["epoch"]) == [1, 2, 3, 4]
    pd.testing.assert_frame_equal(after.loc[:2, list(before)], before, check_dtype=False)


@pytest.mark.parametrize(("name", "epoch"), [("finished", 3), ("interrupted", 1)])
def test_the_best_checkpoint_is_explained_as_it_was_in_training(name: str, epoch: int, old: Path) -> None:
    """The images that the callback kept, as files."""
    with np.load(old / name / "gradcam" / "images.npz") as kept:
        for number, (pixels, target) in enumerate(zip(kept["images"], kept["targets"], strict=True)):
            folder = old / "images" / str(target)
            folder.mkdir(parents=True)
            Image.fromarray(pixels[0]).save(folder / f"{number}.png")
    run("explain", f"checkpoint={name}", "images=images", "target=true", "output=explained", cwd=old)
    with np.load(old / "explained" / "maps.npz") as now, np.load(old / name / f"gradcam/epoch_{epoch:03}.npz") as then:
        assert str(now["layer"]) == str(then["layer"])
        assert list(now["explained"]) == list(then["explained"])
        np.testing.assert_allclose(now["logits"], then["logits"], atol=CLOSE)
        np.testing.assert_allclose(now["maps"], then["maps"], atol=CLOSE)


def test_a_sweep_is_reported_with_the_figures_of_its_runs(old: Path) -> None:
    run("report", "runs=sweep", "output=report", cwd=old)
    table = pd.read_csv(old / "report" / "table.csv").set_index("model.width")
    runs = {4: (0, 1), 6: (2, 3)}  # by width
    assert sorted(table.index) == sorted(runs)
    for width, numbers in runs.items():
        metrics = pd.DataFrame([RunFolder(old / f"sweep/{number}").metrics() for number in numbers])
        for figure in ("accuracy", "precision", "recall", "f1"):
            assert table.loc[width, f"test_{figure}"] == pytest.approx(metrics[f"test/{figure}"].mean())
            assert table.loc[width, f"test_{figure}_sd"] == pytest.approx(metrics[f"test/{figure}"].std())
