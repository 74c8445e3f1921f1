"""Which network's maps are truer by IDSDS, image by image, and whether the measures put maps in the same order."""

import json
from pathlib import Path

import numpy as np

from src.reporting.report import write_report
from tests.reporting.conftest import MakeRun
from tests.reporting.test_measured_maps import measured, written


def deleted(file: Path, mean: float, *, energy: float | None = None) -> None:
    """Add what `single_deletion=true`, and places of objects, leave in an explain.json."""
    record = json.loads(file.read_text())
    values = (mean + 0.1 * np.random.default_rng(7).normal(size=40)).tolist()
    record["explained"] = [{"image": f"{number}.png"} for number in range(40)]
    record["faithfulness"]["single_deletion"] = {"score": float(np.mean(values)), "values": values}
    if energy is not None:
        record["faithfulness"]["objects"] = {"energy": energy, "peaks": 0.7, "covered": 0.3}
    file.write_text(json.dumps(record))


def test_the_truer_maps_are_named_with_an_interval_and_disagreement_is_said(tmp_path: Path, make_run: MakeRun) -> None:
    sweep = tmp_path / "s"
    for number, model in enumerate(("resnet18", "simple_cnn")):
        run = make_run(sweep / str(number), f"model={model}")
        for method in ("gradcam", "layercam"):
            layers = 0.4 * number + (0.1 if method == "layercam" else 0)
            measured(run, method, deletion=0.2 + layers, verdict="better")  # the greater, the worse
            deleted(run.path / f"explain/{method}/explain.json", mean=0.2 + layers, energy=0.4 + layers / 2)
    text = written(sweep)
    assert "IDSDS | on objects: energy / peaks / covered" in text
    assert "| 0.650 / 0.700 / 0.300 |" in text
    assert "By IDSDS the maps of simple_cnn (layercam, layer4) are truer than those of simple_cnn (gradcam" in text
    assert "truer than those of resnet18 (layercam, layer4) (+0.400 [" in text
    assert "The measures don't put these maps in the same order: deletion and IDSDS (-1.00)" in text
    assert "| IDSDS, on objects | +1.00 | 4 |" in text


def test_without_them_the_table_has_no_empty_columns(tmp_path: Path, make_run: MakeRun) -> None:
    measured(make_run(tmp_path / "s/0", "model=resnet18"), "gradcam", deletion=0.2, verdict="better")
    make_run(tmp_path / "s/1", "model=simple_cnn")
    write_report(tmp_path / "s", tmp_path / "s/report")
    text = (tmp_path / "s/report/report.md").read_text()
    assert "gradcam, layer4" in text
    assert "IDSDS" not in text
