"""The report as a whole, over run folders that RunFolder itself has written."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from shutil import copytree
from statistics import mean, stdev
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
import yaml

from src.analysis.intervals import tango, wilson
from src.attribution.archive import save_arrays
from src.errors import InputError
from src.reporting.report import Report, show, write_report
from src.runs.arrays import read_arrays
from src.runs.folder import RunFolder
from tests.reporting.conftest import MakeRun, edit_json
from tests.support.command_line import run_here

ROOT = Path(__file__).parents[2]


def with_maps(run: RunFolder, sharp: int) -> RunFolder:
    """The Grad-CAMs of two images at three epochs, with all evidence in one of `sharp` × `sharp` cells at the end."""
    images, paths = np.full((2, 3, 16, 16), 120, np.uint8), np.array(["a.jpg", "b.jpg"])
    save_arrays(
        run.gradcam / "images.npz",
        images=images, targets=np.array([0, 1]), paths=paths, class_names=np.array(["cat", "dog"]),
    )  # fmt: skip
    for epoch in (0, 1, 2, 3):
        maps = np.zeros((2, sharp, sharp), np.float32)
        maps[:, 0, 0], maps[:, 1, 1] = epoch, 3 - epoch
        save_arrays(
            run.gradcam / f"epoch_{epoch:03d}.npz",
            maps=maps, logits=np.array([[1.0, 0], [1, 0]]), explained=np.array([0, 0]), layer=np.array("layer4"),
            targets=np.array([0, 1]), paths=paths, epoch=epoch,
        )  # fmt: skip
    return run


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory, make_run: MakeRun) -> Path:
    """Two networks with two seeds each, a failed run and an empty folder."""
    folder = tmp_path_factory.mktemp("sweep") / "s"
    right = np.arange(40) % 10 != 0
    for number, (model, seed) in enumerate((m, s) for s in (1, 2) for m in ("resnet18", "simple_cnn")):
        better = right | (np.arange(40) < 20 if model == "resnet18" else False)
        run = make_run(folder / f"{number}", f"model={model}", f"seed={seed}", correct=better)
        edit_json(run.metrics_file, best_epoch=3)
        with_maps(run, sharp=4 if model == "resnet18" else 8)
    make_run(folder / "4", "model=resnet18", "seed=3").end("failed", error="no space left")
    (folder / "5").mkdir()
    return folder


@pytest.fixture(scope="module")
def reported(sweep: Path) -> Report:
    """The report of `sweep`, in it."""
    return write_report(sweep, sweep / "report")


def test_every_number_of_the_table_comes_from_the_run_folders(sweep: Path, reported: Report) -> None:
    with (sweep / "report" / "table.csv").open(newline="") as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    for model, numbers in (("resnet18", (0, 2)), ("simple_cnn", (1, 3))):
        metrics = [json.loads((sweep / str(number) / "metrics.json").read_text()) for number in numbers]
        for split, figure in ((s, f) for s in ("test",) for f in ("accuracy", "precision", "recall", "f1")):
            values = [run[f"{split}/{figure}"] for run in metrics]
            assert float(rows[model][f"{split}_{figure}"]) == pytest.approx(mean(values), abs=1e-12)
            assert float(rows[model][f"{split}_{figure}_sd"]) == pytest.approx(stdev(values), abs=1e-12)
        for figure in ("accuracy", "loss"):
            gaps = [run[f"train/{figure}"] - run[f"val/{figure}"] for run in metrics]
            assert float(rows[model][f"gap_{figure}"]) == pytest.approx(mean(gaps), abs=1e-12)
    with (sweep / "report" / "comparisons.csv").open(newline="") as file:
        (comparison,) = csv.DictReader(file)
    said = {n: list(csv.DictReader((sweep / str(n) / "predictions.csv").read_text().splitlines())) for n in range(4)}
    hits = {n: np.array([row["target"] == row["predicted"] for row in rows]) for n, rows in said.items()}
    per_image = (hits[0].astype(int) - hits[1] + hits[2] - hits[3]) / 2
    assert float(comparison["difference"]) == pytest.approx(per_image.mean())
    assert (int(comparison["better"]), int(comparison["worse"])) == ((per_image > 0).sum(), (per_image < 0).sum())
    signed = [float(comparison[name]) for name in ("other_minus_best", "other_minus_best_low", "other_minus_best_high")]
    assert signed == [-float(comparison[name]) for name in ("difference", "high", "low")]
    leads = [hits[0].mean() - hits[1].mean(), hits[2].mean() - hits[3].mean()]
    assert float(comparison["sd"]) == pytest.approx(stdev(leads), abs=1e-6)
    text = (sweep / "report" / "report.md").read_text()
    assert "−5.0 ± 0.0 |" in text
    assert "| 40 in 2 pairs |" in text


def test_each_run_stands_in_it_by_itself(sweep: Path, reported: Report) -> None:
    with (sweep / "report" / "runs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["label"], row["run"], row["seed"]) for row in rows] == [
        ("resnet18", "0", "1"), ("resnet18", "2", "2"), ("simple_cnn", "1", "1"), ("simple_cnn", "3", "2"),
    ]  # fmt: skip
    text = re.sub(" +", " ", (sweep / "report" / "report.md").read_text())
    for row in rows:
        accuracy = json.loads((sweep / row["run"] / "metrics.json").read_text())["test/accuracy"]
        low, high = wilson(accuracy, int(row["test_images"]))
        assert [float(row[name]) for name in ("test_accuracy", "test_low", "test_high")] == [accuracy, low, high]
        between = f"{100 * low:.1f} to {100 * high:.1f}"
        assert f"| {row['label']} | {row['run']} | {row['seed']} | {100 * accuracy:.1f} | {between} |" in text


def test_what_is_not_in_it_is_named_everywhere(sweep: Path, reported: Report) -> None:
    assert [problem.name for problem in reported.problems] == ["4", "5"]
    for file in ("report.html", "report.md"):
        text = (sweep / "report" / file).read_text()
        assert "status failed: no space left" in text
        assert "no run in it" in text


def test_the_pictures_of_all_kinds_are_there(sweep: Path, reported: Report) -> None:
    names = "class_f1 confusion_matrices gradcam gradcam_epochs gradcam_movement learning_curves costs roc"
    assert {path.stem for path in (sweep / "report").glob("*.png")} == set(names.split())
    text = (sweep / "report" / "report.md").read_text()
    assert "The test images can't be shown: " in text  # there is no such data set
    assert "Half of a map's energy lies in this share of the image: resnet18 4 %, simple_cnn 1 %." in text


def test_each_archive_of_grad_cams_is_read_once(sweep: Path, blank: None, tmp_path: Path) -> None:
    with patch("src.reporting.kept_maps.read_arrays", wraps=read_arrays) as read_them:
        write_report(sweep, tmp_path / "report")
    read = [(call.args[0] / call.args[1]).relative_to(sweep).as_posix() for call in read_them.call_args_list]
    names = ["images", *(f"epoch_{epoch:03d}" for epoch in range(4))]
    assert sorted(read) == sorted(f"{number}/gradcam/{name}.npz" for number in range(4) for name in names)


def test_damaged_grad_cams_and_measurements_are_named(sweep: Path, blank: None, tmp_path: Path) -> None:
    copytree(sweep, tmp_path / "s")
    (tmp_path / "s/1/gradcam/epoch_002.npz").write_bytes(b"PK")
    (tmp_path / "s/2/explain/now").mkdir(parents=True)
    (tmp_path / "s/2/explain/now/explain.json").write_text('{"method": ')
    report = write_report(tmp_path / "s", tmp_path / "report")
    assert [problem.name for problem in report.problems] == ["4", "5", "1"]
    text = (tmp_path / "report" / "report.md").read_text()
    assert "**1:** its Grad-CAMs can't be read (" in text
    assert "Can't be read: run 2, explain/now/explain.json is damaged (line 1" in text


def test_costs_of_several_machines_are_not_compared(tmp_path: Path, make_run: MakeRun, blank: None) -> None:
    cost = {"parameters": 5, "macs": 7, "latency_ms_median": 1.5, "device": "CPU", "threads": 2}
    for number, changed in enumerate(({}, {}, {"device": "GPU"})):
        make_run(tmp_path / f"s/{number}", f"seed={number}", cost=cost | changed)
        write_report(tmp_path / "s", tmp_path / "report")
        text = (tmp_path / "report" / "report.md").read_text()
        said = "Latency and training time were measured on several machines and can't be compared: CPU, 2 threads; GPU"
        assert (said in text) == bool(changed)


def test_runs_beside_each_other_are_said_to_be_slower(tmp_path: Path, make_run: MakeRun, blank: None) -> None:
    run = make_run(tmp_path / "s/1")
    said = "Up to 3 runs were trained at once: latency and training time were measured beside others."
    for n_jobs in (1, 3):
        settings = run.hydra / "hydra.yaml"
        content = yaml.safe_load(settings.read_text())
        content["hydra"]["launcher"] = {"n_jobs": n_jobs}
        settings.write_text(yaml.safe_dump(content))
        write_report(tmp_path / "s", tmp_path / "report")
        assert (said in (tmp_path / "report" / "report.md").read_text()) == (n_jobs == 3)


def test_training_times_of_several_machines_are_not_compared(tmp_path: Path, make_run: MakeRun, blank: None) -> None:
    for number in (1, 2):
        run = make_run(tmp_path / f"s/{number}", f"seed={number}")
        edit_json(run.record_file, hardware={"cpu": "A", "threads": number, "gpus": []})
    write_report(tmp_path / "s", tmp_path / "report")
    assert "can't be compared: A, 1 threads; A, 2 threads." in (tmp_path / "report" / "report.md").read_text()


def test_a_search_is_answered_by_what_it_chose(tmp_path: Path, make_run: MakeRun, blank: None) -> None:
    """Not by the luckiest run on the test set."""
    for number, right in enumerate((30, 39, 20)):
        run = make_run(tmp_path / f"s/{number}", f"optimizer.lr=0.{number}1", correct=[i < right for i in range(40)])
        edit_json(run.metrics_file, val__accuracy=0.9 - number / 10)
        settings = run.hydra / "config.yaml"
        settings.write_text(settings.read_text() + "monitor: val/accuracy\n")
    results = tmp_path / "s" / "optimization_results.yaml"
    results.write_text("name: optuna\nbest_params:\n  optimizer.lr: 0.01\nbest_value: 0.9\n")
    (answer,) = write_report(tmp_path / "s", tmp_path / "report").answer
    assert answer == (
        "The search chose run 1, optimizer.lr=0.01, by val/accuracy = 0.9: 75.0 % of the test images (95 % interval "
        "59.8 to 85.8). The tables are in the order of the test set, which chose nothing."
    )
    (tmp_path / "s" / "3").mkdir()
    RunFolder(tmp_path / "s" / "3").refuse(command="", error="")
    edit_json(tmp_path / "s" / "3" / "run.json", status="finished")
    for odd in ("name: [", "best_params: 1", "best_params: {}\nbest_value: 5"):
        (tmp_path / "s" / "3" / "metrics.json").write_text("[1]")
        results.write_text(odd)
        answer, hint = write_report(tmp_path / "s", tmp_path / "report").answer
        assert answer.startswith("lr=0.11 is best")
        assert hint == "To choose optimizer.lr by test accuracy makes that figure optimistic: choose by validation."


def test_few_test_images_get_a_hint_at_folds_and_the_accuracy_its_interval(
    tmp_path: Path, make_run: MakeRun, blank: None, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path / "few/0", correct=[i > 0 for i in range(30)])
    show(write_report(tmp_path / "few", tmp_path / "report"))
    hint = "Each run tests 30 images, and so few say little: data.folds=5 data.fold=0,1,2,3,4 tests all."
    said = capsys.readouterr().out
    assert f"\n{hint}\n" in said
    header, row = (line for line in said.splitlines() if line.startswith(("model ", "resnet18 ")))
    assert "accuracy   95 % interval   precision" in header
    assert "96.7    83.3 to 99.4" in row
    for file in ("report.html", "report.md"):
        text = (tmp_path / "report" / file).read_text()
        assert hint.partition(":")[0] in text
        assert "83.3 to 99.4" in text
    make_run(tmp_path / "many/0", correct=[i > 0 for i in range(100)])
    show(write_report(tmp_path / "many", tmp_path / "report"))
    assert "so few" not in capsys.readouterr().out


def test_groups_without_a_seed_in_common_do_not_agree(tmp_path: Path, make_run: MakeRun, blank: None) -> None:
    right = np.arange(40) % 4 != 0
    for seed, model in enumerate(("a", "b")):
        make_run(tmp_path / f"s/{model}", f"model={model}", f"seed={seed}", correct=right)
    write_report(tmp_path / "s", tmp_path / "report")
    text = (tmp_path / "report" / "report.md").read_text()
    assert "None has a seed that a has." in text
    assert "right on the same images" not in text


def test_what_a_terminal_would_obey_is_not_said(tmp_path: Path, make_run: MakeRun, blank: None) -> None:
    make_run(tmp_path / "s/0")
    make_run(tmp_path / "s/1").end("failed", error="\x1b[2J\x1b]0;mine\x07")
    make_run(tmp_path / "s/2", "seed=2", config={"study": "what?"})
    result = run_here("runs=s", cwd=tmp_path, verb="report")
    assert (result.returncode, result.stderr) == (0, "")
    assert "left out: 1: status failed: �[2J" in result.stdout
    assert "\x1b" not in result.stdout


def test_a_study_goes_on_when_what_it_says_has_changed(tmp_path: Path, make_run: MakeRun, blank: None) -> None:
    """Seeds added a day later have another `earlier`: that of the newest run counts, whatever its folder's name."""
    study = {"question": "How good?", "command": "python -m src.train -m experiment=x", "answer": "levels"}
    for seed, day, earlier in ((1, 2, "98 %"), (2, 1, "nothing")):
        config = {"study": study | {"earlier": earlier}}
        make_run(tmp_path / f"s/{seed}", f"seed={seed}", config=config, start=f"2026-11-0{day}T10:00:00+00:00")
    text = (write_report(tmp_path / "s", tmp_path / "r").folder / "report.md").read_text(encoding="utf-8")
    assert "# Study x" in text
    assert "**Question:** How good?" in text
    assert "**Earlier:** 98 %" in text
    make_run(tmp_path / "s/3", "seed=3", config={"study": study | {"command": "python -m src.train -m experiment=y"}})
    assert "# Comparison of s" in (write_report(tmp_path / "s", tmp_path / "r").folder / "report.md").read_text()


@pytest.mark.parametrize("odd", ["what?", [1], {"gpus": 3, "python": [2]}, 7])
def test_an_odd_record_costs_its_own_words_alone(odd: object, tmp_path: Path, make_run: MakeRun, blank: None) -> None:
    run = make_run(tmp_path / "s/0")
    edit_json(run.record_file, hardware=odd, versions=odd, command=odd, git_commit=odd)
    report = write_report(tmp_path / "s", tmp_path / "report")
    assert report.problems == []
    assert "**Hardware:** unknown" in (tmp_path / "report" / "report.md").read_text()


def test_two_identical_runs_differ_by_nothing(tmp_path: Path, make_run: MakeRun, blank: None) -> None:
    right = np.arange(40) % 4 != 0
    for number in (0, 1):
        make_run(tmp_path / f"s/{number}", f"data.class_seed={number}", correct=right)
    (result,) = write_report(tmp_path / "s", tmp_path / "report").results
    (comparison,) = result.comparisons
    assert (comparison.difference, comparison.low, comparison.high) == pytest.approx((0, *tango(0, 0, 40)))
    assert (comparison.p, comparison.p_holm) == (1, 1)
    assert "no difference shown" in (tmp_path / "report" / "report.md").read_text()


@pytest.mark.parametrize(("seeds", "said"), [((1, 2), False), ((1,), True)])
def test_seeds_without_a_partner_are_said_to_count_in_the_means_alone(
    seeds: tuple[int, ...], said: bool, tmp_path: Path, make_run: MakeRun, blank: None
) -> None:
    for model, of_model in (("a", (1, 2)), ("b", seeds)):
        for seed in of_model:
            make_run(tmp_path / f"s/{model}{seed}", f"model={model}", f"seed={seed}")
    write_report(tmp_path / "s", tmp_path / "report")
    words = "Only runs of the same seed and fold are paired; the means above include all runs"
    assert (words in (tmp_path / "report" / "report.md").read_text()) is said


def test_different_classes_have_sections_of_their_own(tmp_path: Path, make_run: MakeRun, blank: None) -> None:
    make_run(tmp_path / "s/0", "model=resnet18")
    make_run(tmp_path / "s/1", "model=simple_cnn", classes=("cat", "dog", "fox"))
    report = write_report(tmp_path / "s", tmp_path / "report")
    assert len(report.results) == len(report.answer) == 2
    assert all(not result.comparisons for result in report.results)
    assert any("class" in problem.reason for problem in report.problems)
    assert pd.read_csv(tmp_path / "report" / "comparisons.csv").empty
    assert (tmp_path / "report" / "2_learning_curves.png").exists()


def test_a_report_replaces_a_report_and_nothing_else(sweep: Path, tmp_path: Path, blank: None) -> None:
    output = tmp_path / "out"
    output.mkdir()
    write_report(sweep, output)
    (output / "3_gradcam.png").write_bytes(b"")
    (output / "notes.txt").write_text("keep")
    write_report(sweep, output)
    assert not (output / "3_gradcam.png").exists()
    assert (output / "notes.txt").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(InputError, match=r"mine holds notes\.txt and no report: name another folder"):
        write_report(sweep, tmp_path / "mine")
    with pytest.raises(InputError, match=r"notes\.txt is no folder"):
        write_report(sweep, tmp_path / "mine" / "notes.txt")
    with pytest.raises(InputError, match="can't be made"):
        write_report(sweep, tmp_path / "mine" / "notes.txt" / "report")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"
    assert not list(tmp_path.glob(".report*"))


def test_the_command_line(sweep: Path, tmp_path: Path, blank: None) -> None:
    copytree(sweep, tmp_path / "s")
    result = run_here(f"runs={tmp_path / 's'}", cwd=tmp_path, verb="report")
    assert (result.returncode, result.stderr) == (0, "")
    assert (
        "simple_cnn is 5.0 ± 0.0 points below resnet18 (± sd over 2 pairs of runs; 95 % interval −16.5 to 4.2, for "
        "these trained networks, not other seeds): no difference shown." in result.stdout
    )
    assert "left out: 4: status failed: no space left" in result.stdout
    assert result.stdout.splitlines()[-1] == "report  s/report/report.html"
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "runs has no default: say runs=…"),
        (("runs=nowhere",), "runs=nowhere is no folder: name a folder of finished runs"),
        (("runs=.",), "no finished run"),
        (("-m", "runs=a,b"), "src.report does one thing at a time: leave -m out"),
        (("runs=.", "colour=red"), "colour"),
    ],
)
def test_wrong_input_gets_one_line(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    result = run_here(*arguments, cwd=tmp_path, verb="report")
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_process_of_its_own(tmp_path: Path) -> None:
    words, environment = [sys.executable, "-m", "src.report", "runs=nowhere"], os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr.partition(":")[0], result.stderr.count("\n")) == (2, "error", 1)


@pytest.mark.filterwarnings("ignore")  # Playwright's own
def test_no_table_scrolls_sideways_on_a_screen(sweep: Path, reported: Report) -> None:
    playwright, chromium = pytest.importorskip("playwright.sync_api"), shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium: apt install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto((sweep / "report" / "report.html").as_uri())
        tables = page.evaluate("[...document.querySelectorAll('.scroll')].map(t => [t.scrollWidth, t.clientWidth])")
        browser.close()
    assert len(tables) == 4  # figures, comparisons, costs, single runs
    assert all(needed <= there for needed, there in tables)
