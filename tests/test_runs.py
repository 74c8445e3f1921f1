"""`python -m src.runs`: all runs in a table, those that were asked for, and what of them may go."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from src.files import locked
from src.runs.folder import ADOPTED, RunFolder
from tests.support.command_line import run_here

OLD = Path(__file__).parent / "support" / "old_runs"
HERE = Path("outputs/digits/simple_cnn")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with finished, stopped, killed, failed and damaged runs, and a sweep of an earlier version."""
    runs = tmp_path / HERE
    for name in ("done", "killed", "failed"):
        shutil.copytree(OLD / "finished", runs / name)
    shutil.copytree(OLD / "interrupted", runs / "stopped")
    shutil.copytree(OLD / "sweep", tmp_path / "outputs" / "sweeps" / "first")
    RunFolder(runs / "killed").end("running")
    RunFolder(runs / "failed").end("failed", error="no space left\non device")
    (runs / "bad").mkdir()
    (runs / "bad" / "run.json").write_text("{")
    (runs / "lost" / "checkpoints").mkdir(parents=True)
    (tmp_path / "outputs" / "audit" / "2026").mkdir(parents=True)
    return tmp_path


def listed(*words: str, cwd: Path) -> list[dict[str, str]]:
    result = run_here(*words, "output=-", cwd=cwd, verb="runs")
    assert (result.returncode, result.stderr) == (0, "")
    return list(csv.DictReader(io.StringIO(result.stdout)))


def names(*words: str, cwd: Path) -> list[str]:
    return [row["run"] for row in listed(*words, cwd=cwd)]


SWEEP = ["first/0_width=4_seed=1", "first/1_width=4_seed=2", "first/2_width=6_seed=1", "first/3_width=6_seed=2"]


def test_every_folder_of_a_run_is_one_line(here: Path) -> None:
    rows = {row["run"]: row for row in listed("sort=name", cwd=here)}
    assert {name: row["status"] for name, row in rows.items()} == {
        "bad": "damaged", "done": "finished", "failed": "failed", "killed": "killed", "lost": "damaged",
        "stopped": "stopped", **dict.fromkeys(SWEEP, "finished"),
    }  # fmt: skip
    done = rows["done"]
    assert (done["data"], done["model"], done["test_images"]) == ("digits", "simple_cnn", "180")
    assert float(done["test"]) == RunFolder(here / HERE / "done").metrics()["test/accuracy"]
    assert (round(float(done["low"]), 3), round(float(done["high"]), 3)) == (0.847, 0.936)  # Wilson, 162 of 180
    assert "max_epochs=3" in done["set"].split()
    files = [path for path in (here / HERE / "done").rglob("*") if path.is_file()]
    assert int(done["bytes"]) == sum(path.stat().st_size for path in files)
    assert rows["failed"]["why"] == "no space left"
    assert "line 1" in rows["bad"]["why"]


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_on_screen_fits(here: Path, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    result = run_here(cwd=here, verb="runs")
    assert (result.returncode, result.stderr) == (0, "")
    table, below = result.stdout.split("\n\n")
    assert max(map(len, table.splitlines())) <= width
    assert table.count("0.900 [0.847, 0.936]") == 1
    lines = below.splitlines()
    assert re.fullmatch(r"10 runs, [\d.]+ MB", lines[0])
    assert lines[1].endswith("-m src.report runs=outputs")
    assert lines[2].endswith("-m src.runs prune")


def test_what_is_next_is_about_the_same_runs(here: Path) -> None:
    last = run_here("status=finished", "model.width=4", "sort=name", cwd=here, verb="runs").stdout.splitlines()[-1]
    assert last.endswith("-m src.runs prune status=finished model.width=4")


def test_a_run_that_is_at_work_is_running(here: Path) -> None:
    with locked(here / HERE / "killed"):
        assert names("status=running", cwd=here) == ["killed"]
        assert names("status=killed", cwd=here) == []


def test_what_runs_were_trained_with_lists_them(here: Path) -> None:
    assert names("model.width=6", "sort=name", cwd=here) == SWEEP[2:]
    assert names("model=simple_cnn", "data=digits,mnist", "seed=2", "sort=name", cwd=here) == [SWEEP[1], SWEEP[3]]
    assert names("epochs=2", "sort=accuracy", cwd=here) == [SWEEP[3], SWEEP[1], SWEEP[2], SWEEP[0]]
    assert names("weights=null", "status=finished", "epochs=3", cwd=here) == ["done"]
    assert names("optimizer=sgd", "trainer.max_epochs=3.0", "status=stopped", cwd=here) == ["stopped"]
    assert names("model=resnet18", cwd=here) == names("experiment=mnist", cwd=here) == []
    said = run_here("model=resnet18", cwd=here, verb="runs").stdout
    assert said == "none of the 10 runs in outputs is like that\n"


def test_runs_are_named_as_everywhere(here: Path) -> None:
    assert names("runs=first", "sort=name", cwd=here) == SWEEP
    assert names("runs=done", cwd=here) == ["done"]
    assert names("runs=last", cwd=here) == ["bad"]
    assert names("runs=first/3", cwd=here) == [SWEEP[3]]
    for name in (SWEEP[3], "done"):  # what the list says is what a verb takes
        result = run_here(f"checkpoint={name}", "images=test", "output=-", cwd=here, verb="predict")
        assert result.returncode == 0, result.stderr


def test_an_adopted_network_is_a_line(here: Path) -> None:
    adopted = here / "outputs" / "adopt" / "2026"
    adopted.mkdir(parents=True)
    (adopted / ADOPTED).touch()
    (adopted / "adopt.json").write_text(json.dumps({"architecture": {"name": "resnet50"}}))
    (row,) = listed("status=adopted", cwd=here)
    assert (row["run"], row["model"], row["test"]) == ("2026", "resnet50", "")
    (adopted / "adopt.json").write_text("[]")
    assert "2026" in names("status=damaged", cwd=here)
    assert "2026" in run_here("prune", cwd=here, verb="runs").stdout


def test_nothing_to_list_is_a_line(tmp_path: Path) -> None:
    result = run_here(cwd=tmp_path, verb="runs")
    assert (result.returncode, result.stderr) == (
        2, "error: runs=outputs is no folder: train a run first, or name a folder of runs\n",
    )  # fmt: skip
    (tmp_path / "outputs").mkdir()
    result = run_here(cwd=tmp_path, verb="runs")
    assert (result.returncode, result.stdout) == (0, "no run in outputs yet\n")
    result = run_here("prune", cwd=tmp_path, verb="runs")
    assert (result.returncode, result.stdout) == (0, "nothing can go of 0 runs, 0 kB\n")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["sortt=size"], "'sortt' is not a setting; nearest: sort"),
        (["sort=loss"], "sort=loss is not possible: take time or accuracy"),
        (["delete=true"], "delete=true goes with prune: say prune too"),
        (["prune", "output=a.csv"], "output=a.csv is for the list of runs"),
        (["cache", "output=a.csv"], "output=a.csv is for the list of runs"),
        (["cache", "prune"], "prune and cache are two things: say one of them"),
        (["prune", "kinds=[best]"], "kinds=['best'] is not possible: take a list of last, controls, exports"),
        (["where=['lr=1']"], "where: 'lr=1' is no setting of a run; nearest: "),
        (["where=[seed]"], "where: 'seed' is no setting of a run; say seed=VALUE"),
        (["prun"], "'prun' is not understood"),
        (["runs=nowhere"], "runs=nowhere is no folder"),
        (["-m", "seed=1,2"], "does one thing at a time: leave -m out"),
        (["status=stopped,running"], "once for each value, first: python -m src.runs status=stopped"),
    ],
)
def test_what_is_wrong_is_a_line(here: Path, words: list[str], line: str) -> None:
    result = run_here(*words, cwd=here, verb="runs")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert line in result.stderr


def test_a_file_of_somebodys_is_not_replaced(here: Path) -> None:
    for _ in range(2):  # an earlier table is
        assert run_here("output=runs.csv", "seed=2", cwd=here, verb="runs").stdout == "2 runs in runs.csv\n"
    assert len((here / "runs.csv").read_text().splitlines()) == 3
    (here / "mine.csv").write_text("a,b\n")
    result = run_here("output=mine.csv", cwd=here, verb="runs")
    assert result.stderr == "error: output=mine.csv is no table of runs: name another file\n"
    assert (here / "mine.csv").read_text() == "a,b\n"
    assert run_here("output=outputs", cwd=here, verb="runs").returncode == 2


def test_the_console_command_takes_the_same_words(here: Path) -> None:
    words = [sys.executable, "-m", "src", "runs", "prune", "kinds=[last]", "model.width=4", "status=finished"]
    done = subprocess.run(words, cwd=here, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:5]] == [SWEEP[1], SWEEP[0], "done", "3"]
    assert "nothing has been deleted" in done.stdout
    assert lines[-1].endswith("-m src.runs prune 'kinds=[last]' model.width=4 status=finished delete=true")
    assert all((here / HERE / name / "checkpoints" / "last.ckpt").exists() for name in ("done", "stopped"))


def test_pruning_leaves_what_can_go_on_and_says_so(here: Path) -> None:
    before = {path for path in here.rglob("*") if path.is_file()}
    said = run_here("prune", "delete=true", cwd=here, verb="runs")
    assert (said.returncode, said.stderr) == (0, "")
    gone = {path.relative_to(here / "outputs").as_posix() for path in before if not path.exists()}
    assert gone == {
        "digits/simple_cnn/done/checkpoints/last.ckpt", *(f"sweeps/first/{n}/checkpoints/last.ckpt" for n in range(4)),
    }  # fmt: skip
    for name, why in {"killed": "killed", "failed": "failed", "stopped": "stopped", "bad": "damaged"}.items():
        assert f"stays as it is: {name}: {why}\n" in said.stdout
    assert re.search(r"^freed [\d.]+ [kM]B of [\d.]+ MB$", said.stdout.splitlines()[-1])
    assert run_here("resume=stopped", cwd=here).returncode == 0


@pytest.fixture
def pruned(digits_run: Path, tmp_path: Path) -> Path:
    """A folder with a trained run, `mine`, in which a control and an export were, after pruning."""
    run = tmp_path / HERE / "mine"
    shutil.copytree(digits_run, run)
    shutil.copytree(digits_run, run / "explain" / "shuffled_labels")
    said = run_here("prune", "delete=true", cwd=tmp_path, verb="runs")
    assert (said.returncode, said.stderr) == (0, "")
    assert sorted(path.name for path in run.rglob("*.ckpt")) == ["best.ckpt"]
    return tmp_path


def test_a_pruned_run_is_used_as_before(pruned: Path) -> None:
    for verb, *words in (
        ("evaluate", "checkpoint=mine", "mistakes=0"),
        ("predict", "checkpoint=mine", "images=test"),
        ("explain", "checkpoint=mine", "max_images=2"),
        ("report", "runs=mine", "output=report"),
        ("runs", "status=finished"),
    ):
        result = run_here(*words, cwd=pruned, verb=verb)
        assert (result.returncode, result.stderr) == (0, ""), verb
    from src.page.exhibits import open_exhibition
    from src.trained.checkpoint import load_trained

    trained = load_trained(pruned / HERE / "mine")
    assert open_exhibition(str(pruned / HERE / "mine"), trained.device).exhibits[0].facts[0] == "mine"


def test_a_pruned_run_is_not_given_more_epochs(here: Path) -> None:
    assert run_here("prune", "delete=true", "runs=done", cwd=here, verb="runs").returncode == 0
    before = RunFolder(here / HERE / "done").metrics()
    run = f"{HERE}/done"
    more = run_here("resume=done", "epochs=9", cwd=here)
    assert (more.returncode, more.stderr) == (
        2, f"error: resume: {run} was pruned: without its last.ckpt it can't be given more epochs: train a new run\n",
    )  # fmt: skip
    same = run_here("resume=done", cwd=here)
    assert (same.returncode, same.stdout.count("\n")) == (0, 1)
    assert same.stdout.startswith(f"{run} is finished, with 3 epochs; {run} was pruned: ")
    assert RunFolder(here / HERE / "done").metrics() == before


def test_a_control_that_is_gone_is_trained_again(pruned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from src.explanation.controls import train_shuffled

    run = RunFolder(pruned / HERE / "mine")
    folder = run.path / "explain" / "shuffled_labels"
    assert not folder.exists()
    assert train_shuffled(run, folder, epochs=1, images=20).is_file()
