"""What src.explain has measured of runs comes into their report, one row a model and method."""

import json
import re
from pathlib import Path

import pytest

from src.reporting.report import write_report
from src.runs.folder import RunFolder
from tests.reporting.conftest import MakeRun


def measured(run: RunFolder, method: str, deletion: float, verdict: str, images: int = 200) -> None:
    """An explain.json with these figures, as `src.explain … faithfulness=true` writes it."""
    rows = [
        {
            "measure": measure,
            "explanation": name,
            "mean": deletion if (measure, name) == ("deletion", "map") else 0.5,
            "verdict": "" if name == "map" else "better" if measure == "insertion" else verdict,
        }
        for measure in ("deletion", "insertion", "road", "drop")
        for name in ("map", "random", "centre blob", "inverted")
    ]
    folder = run.path / "explain" / method
    folder.mkdir(parents=True)
    record = {"method": method, "layer": "layer4", "faithfulness": {"images": images, "rows": rows}}
    (folder / "explain.json").write_text(json.dumps(record))


@pytest.fixture
def sweep(tmp_path: Path, make_run: MakeRun) -> Path:
    for number, (model, seed) in enumerate((m, s) for m in ("resnet18", "simple_cnn") for s in (1, 2)):
        run = make_run(tmp_path / f"s/{number}", f"model={model}", f"seed={seed}")
        if model == "resnet18":
            measured(run, "gradcam", deletion=0.2 * seed, verdict="better" if seed == 1 else "worse")
    return tmp_path / "s"


def test_one_row_a_model_with_the_mean_over_its_runs(sweep: Path) -> None:
    write_report(sweep, sweep / "report")
    text = (sweep / "report/report.md").read_text()
    (row,) = [line for line in text.splitlines() if "gradcam, layer4" in line]
    cells = [cell.strip().replace("\\", "") for cell in row.strip("|").split("|")]
    assert cells[:4] == ["resnet18", "gradcam, layer4", "2 × 200", "0.300 / 0.500 / 0.500"]
    # One of the two runs is better by all three measures, the other by insertion alone.
    assert cells[6:] == ["2 / 2 / 2 of 3"]
    assert "Are the maps true?" in (sweep / "report/report.html").read_text()


def test_the_sanity_check_stands_below_them_by_run_and_high_is_said_to_be_bad(sweep: Path) -> None:
    assert "Sanity" not in written(sweep)  # of an earlier version
    for number, correlation in ((0, 0.8), (1, None)):
        file = sweep / f"{number}/explain/gradcam/explain.json"
        record = json.loads(file.read_text())
        record["faithfulness"]["sanity"] = [
            {"stage": stage, "correlation": mean, "low": mean and mean - 0.1, "high": mean and mean + 0.1, "n": 50}
            for stage, mean in (("fc", 0.9), ("conv1", correlation), ("shuffled labels", 0.02), ("another image", 0.2))
        ]
        file.write_text(json.dumps(record))
    text = written(sweep)
    assert "High is bad" in text
    assert "| random weights | they hardly change: +0.80 [+0.70, +0.90], more than different images' maps" in text
    assert text.count("| random weights |") == 1  # the other's could not be measured
    assert text.count("| shuffled labels | they change: +0.02 [-0.08, +0.12]") == 2


def written(sweep: Path) -> str:
    write_report(sweep, sweep / "report")
    return re.sub(" +", " ", (sweep / "report/report.md").read_text()).replace("\\", "")


def test_of_several_explanations_of_a_run_the_newest_that_was_measured_counts(sweep: Path) -> None:
    """Folders of earlier versions are called by the method alone."""
    for deletion, time in ((0.7, "2026-03-01_10-00-00"), (0.8, "2026-03-02_10-00-00")):
        measured(RunFolder(sweep / "0"), f"{time}_gradcam", deletion=deletion, verdict="worse")
        file = sweep / f"0/explain/{time}_gradcam/explain.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"method": "gradcam"}))
    later = sweep / "0/explain/2026-03-03_10-00-00_gradcam"
    later.mkdir()
    (later / "explain.json").write_text('{"method": "gradcam", "layer": "layer4"}')
    write_report(sweep, sweep / "report")
    assert "| 2 × 200 | 0.600 / 0.500 / 0.500" in re.sub(" +", " ", (sweep / "report/report.md").read_text())


def test_without_figures_there_is_no_such_section(sweep: Path) -> None:
    for file in sweep.rglob("explain.json"):
        file.unlink()
    write_report(sweep, sweep / "report")
    assert "Are the maps true?" not in (sweep / "report/report.md").read_text()


@pytest.mark.parametrize("damage", ["", "[]", '{"method": "gradcam"}', '{"faithfulness": {"rows": [{}]}}'])
def test_a_damaged_record_does_not_end_the_report(sweep: Path, damage: str) -> None:
    (sweep / "0/explain/gradcam/explain.json").write_text(damage)
    write_report(sweep, sweep / "report")
    text = (sweep / "report/report.md").read_text()
    assert re.search(r"gradcam, layer4 +\| +1 × 200", text)
