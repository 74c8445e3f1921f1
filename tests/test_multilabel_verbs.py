"""Every verb on a run of several labels an image: it works, or refuses in one line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from src.analysis.label_intervals import label_intervals
from src.analysis.label_scores import calibration_errors
from src.frames import pd
from src.runs.folder import RunFolder
from src.trained.checkpoint import load_trained
from tests.analysis.test_label_scores import answers
from tests.support.command_line import run_here
from tests.support.composed_labels import compose, patterns
from tests.training.test_multilabel import RUN


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verbs")
    compose(folder / "pictures", patterns(), 120)
    table = f"data.table={folder}/pictures/labels.csv"
    words = (*RUN, table, "trainer.max_epochs=2", "callbacks.gradcam=null", "hydra.run.dir=run")
    result = run_here(*words, cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder / "run"


def do(verb: str, *words: str, run: Path):
    return run_here(*words, cwd=run.parent, verb=verb)


def refused(result, *needles: str) -> None:
    assert result.returncode == 2, result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    for needle in needles:
        assert needle in result.stderr


def test_evaluate_measures_what_training_measured(run: Path) -> None:
    result = do("evaluate", "checkpoint=run", "output=evaluated", "probabilities=true", run=run)
    assert result.returncode == 0, result.stderr
    assert "to the last digit" in result.stdout
    record, metrics = json.loads((run.parent / "evaluated/evaluate.json").read_text()), RunFolder(run).metrics()
    for name in ("map", "f1", "f1_micro", "precision", "recall", "loss"):
        assert record[f"test/{name}"] == metrics[f"test/{name}"]
    for name, (low, high) in record["intervals"].items():
        assert low <= record[name] <= high
    assert set(record["labels"]) == {"red", "green", "blue"}
    table = pd.read_csv(run.parent / "evaluated/per_class.csv")
    assert table["class"].tolist() == ["blue", "green", "red"]
    assert (run.parent / "evaluated/reliability.png").is_file()
    refused(do("evaluate", "checkpoint=run", "calibrate=true", run=run), "calibrate=true")


def test_evaluate_takes_other_tables_and_refuses_other_labels(run: Path) -> None:
    folder = run.parent
    compose(folder / "others", patterns(), 30, seed=7)
    words = ("checkpoint=run", "data=table", f"data.table={folder}/others/labels.csv")
    result = do("evaluate", *words, "data.multilabel=true", "data.label=[red,blue]", "output=other", run=run)
    assert result.returncode == 0, result.stderr
    record = json.loads((folder / "other/evaluate.json").read_text())
    assert record["classes_with_images"] == 2
    assert record["unknown"] >= 30  # green, of each image
    refused(do("evaluate", "checkpoint=run", "data=digits", run=run), "several labels")


def test_predict_gives_each_label_its_probability(run: Path) -> None:
    broken = run.parent / "pictures" / "images" / "broken.png"
    broken.write_bytes(b"no image")
    for kind in ("csv", "jsonl"):
        words = ("checkpoint=run", "images=pictures/images", f"format={kind}", f"output={kind}", "num_workers=0")
        result = do("predict", *words, run=run)
        assert result.returncode == 0, result.stderr
    broken.unlink()
    table = pd.read_csv(run.parent / "csv/predictions.csv", keep_default_na=False).set_index("path")
    trained = load_trained(run, multilabel=True)
    path = "pictures/images/00003.png"
    pixels = torch.from_numpy(np.asarray(Image.open(run.parent / path)).transpose(2, 0, 1).copy())[None]
    with torch.inference_mode():
        said = trained.module(pixels).sigmoid()[0]
    row = table.loc[path]
    assert [float(row[f"probability_{name}"]) for name in trained.class_names] == pytest.approx(said.tolist(), abs=1e-3)
    decided = [n for n, is_one in zip(trained.class_names, said >= trained.module.thresholds, strict=True) if is_one]
    assert row["predicted"] == "|".join(decided)
    assert table.loc["pictures/images/broken.png", "error"]
    lines = [json.loads(line) for line in (run.parent / "jsonl/predictions.jsonl").read_text().splitlines()]
    assert {line["path"]: line["predicted"] for line in lines}[path] == decided
    for word in ("top_k=2", "overlays=true"):
        refused(do("predict", "checkpoint=run", "images=test", word, run=run), word)


def test_explain_draws_a_map_for_each_label(run: Path) -> None:
    words = ("checkpoint=run", "images=test", "target=true", "output=explained")
    result = do("explain", *words, run=run)
    assert result.returncode == 0, result.stderr
    told = json.loads((run.parent / "explained/explain.json").read_text())["explained"]
    assert all(not one["true"] or one["explained"] in one["true"] for one in told)
    images = {one["image"]: len(one["true"]) for one in told}
    assert len(told) == sum(max(1, number) for number in images.values())
    assert (run.parent / "explained/sheet.png").is_file()
    refused(do("explain", "checkpoint=run", "images=test", "method=guided_backprop", run=run), "take one of gradcam")
    refused(do("explain", "checkpoint=run", "images=test", "faithfulness=true", run=run), "faithfulness=true")


def test_export_decides_the_same_labels(run: Path) -> None:
    pytest.importorskip("onnxruntime")
    result = do("export", "checkpoint=run", "output=exported", "max_images=6", run=run)
    assert result.returncode == 0, result.stderr
    record = json.loads((run.parent / "exported/export.json").read_text())
    assert record["proof"]["same_class"] == 6
    assert record["thresholds"] == pytest.approx(load_trained(run, multilabel=True).module.thresholds.tolist())
    words = [sys.executable, "exported/example.py", "pictures/images/00003.png"]
    said = subprocess.run(words, cwd=run.parent, capture_output=True, text=True, check=True).stdout
    assert said.split("  ")[1].strip() == "pictures/images/00003.png"


def test_report_compares_by_map(run: Path) -> None:
    result = do("report", "runs=run", "output=report", run=run)
    assert result.returncode == 0, result.stderr
    assert "mAP" in result.stdout
    row = pd.read_csv(run.parent / "report/table.csv").iloc[0]
    assert row["test_map"] == pytest.approx(RunFolder(run).metrics()["test/map"])
    assert {"figures_curves.png", "class_average_precision.png"} < {
        path.name for path in (run.parent / "report").iterdir()
    }
    assert "average precision" in (run.parent / "report/report.md").read_text()
    assert f"mAP {row['test_map']:.3f} (95 % interval " in RunFolder(run).page_file.read_text().replace("\xa0", " ")


def test_audit_tells_labels_together_and_copies_whose_labels_differ(run: Path) -> None:
    folder = run.parent / "audited"
    table = compose(folder / "pictures", patterns(), 40)
    (folder / "pictures/images/copy.png").write_bytes((folder / "pictures/images/00003.png").read_bytes())
    labels = pd.read_csv(table).iloc[3][["red", "green", "blue"]]
    other = ",".join("1" if value == 0 else "0" for value in labels)
    table.write_text(table.read_text() + f'images/copy.png,{other},"{{}}"\n')
    words = ("data=table", f"data.table={table}", "data.multilabel=true", "data.image_size=20", "output=audit")
    result = do("audit", *words, "fix=labels", run=run)
    assert result.returncode == 0, result.stderr
    content = json.loads((run.parent / "audit/audit.json").read_text())
    read = pd.read_csv(table)
    assert sum(content["images"].values()) == 41
    assert content["labels"]["together"]["red"]["blue"] == ((read["red"] == 1) & (read["blue"] == 1)).sum()
    assert content["labels"]["empty_cells"] == read[["red", "green", "blue"]].isna().sum().sum()
    assert content["duplicates"]["across_classes"] == 1
    assert "with different labels" in content["verdict"]
    left_out = pd.read_csv(run.parent / "audit/exclude.csv")
    assert left_out["file"].tolist() == ["images/00003.png", "images/copy.png"]
    with Image.open(run.parent / "audit/cooccurrence.png") as picture:
        assert picture.width > 300
    assert do("train", *RUN, f"data.table={table}", "data.exclude=audit/exclude.csv", "trainer.max_epochs=1",
              "callbacks.gradcam=null", "hydra.run.dir=cleaned", run=run).returncode == 0  # fmt: skip


def test_a_label_that_vanished_from_the_table_is_named_on_resume(run: Path) -> None:
    table = run.parent / "pictures" / "labels.csv"
    whole = table.read_text()
    try:
        for change, said in (
            (whole.replace("green", "violet", 1), "('green' is gone and 'violet' is new)"),
            (pd.read_csv(table).drop(columns="green").to_csv(index=False), "('green' is gone): put them back"),
        ):
            table.write_text(change)
            refused(do("train", "resume=run", "trainer.max_epochs=3", run=run), f"{table} has other labels", said)
    finally:
        table.write_text(whole)


def test_intervals_hold_the_figure_and_shrink_with_images() -> None:
    widths = []
    for images in (60, 960):
        logits, targets = answers(images, 4, 2)
        said = 1 / (1 + np.exp(-logits.astype(np.float64)))
        found = label_intervals(said, targets, np.full(4, 0.5), seed=1, draws=300)
        widths.append([high - low for low, high in found.values()])
    assert all(many < 0.5 * few for few, many in zip(*widths, strict=True))


def test_calibration_error_of_a_label() -> None:
    targets = np.array([[1], [1], [0], [0], [np.nan]])
    said = np.array([[0.9], [0.9], [0.9], [0.9], [0.1]])
    assert calibration_errors(said, targets) == pytest.approx([0.4])
