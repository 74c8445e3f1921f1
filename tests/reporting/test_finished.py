"""Run folders are read, or named with the reason why not."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from src.analysis.classification import per_class
from src.errors import InputError
from src.reporting.finished import Run, read_runs
from src.reporting.groups import group_runs
from src.runs.folder import RunFolder

MakeRun = Callable[..., RunFolder]


def only(path: Path) -> tuple[list[Run], dict[str, str]]:
    runs, problems = read_runs(path)
    return runs, {problem.name: problem.reason for problem in problems}


def test_a_run_is_what_its_folder_says(tmp_path: Path, make_run: MakeRun) -> None:
    correct = [True, False, True, True]
    cost = {"macs": 7, "parameters": 5, "latency_ms_median": 1.5, "device": "CPU"}
    folder = make_run(
        tmp_path / "0", "data=mnist8", "seed=4", "+data.folds=2", "data.fold=1", classes=("NA", "01"),
        correct=correct, cost=cost,
    )  # fmt: skip
    (run,), problems = only(tmp_path)
    assert problems == {}
    assert (run.name, run.replicate, run.class_names, run.cost) == ("0", (4, 1, None), ["NA", "01"], cost)
    assert run.config["data"]["class_seed"] == 4
    assert run.config["data"]["max_images"] is None
    assert run.choices == {"model": "resnet18", "data": "mnist8"}
    assert run.overrides == {"data": "mnist8", "seed": "4", "data.folds": "2", "data.fold": "1"}
    assert run.metrics == json.loads((tmp_path / "0" / "metrics.json").read_text())
    assert run.record["status"] == "finished"
    assert run.folder.path == folder.path
    assert run.history["epoch"].tolist() == [1, 2, 3]
    assert run.predictions["target"].tolist() == ["NA", "01", "NA", "01"]
    assert run.predictions["predicted"].tolist() == ["NA", "NA", "NA", "01"]
    assert run.predictions["confidence"].tolist() == [0.6] * 4
    assert run.per_class["support"].tolist() == [2, 2]


def test_runs_in_natural_order_wherever_they_lie(tmp_path: Path, make_run: MakeRun) -> None:
    names = ["a/b/c/d/e/f/run", "sweep/2", "sweep/10", "sweep/report 1/1"]
    for name in reversed(names):
        make_run(tmp_path / name)
    make_run(tmp_path / "sweep/2/evaluate/again")  # inside a run
    make_run(tmp_path / "sweep/report/copy")
    make_run(tmp_path / ".trash/old")
    runs, problems = only(tmp_path)
    assert [run.name for run in runs] == names
    assert problems == {}
    (run,), _ = only(tmp_path / "sweep/2")
    assert run.name == "."


def test_a_relative_folder_of_relative_links(
    tmp_path: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path / "elsewhere/1")
    make_run(tmp_path / "here/1")
    (tmp_path / "here/best").symlink_to("1")
    (tmp_path / "here/loop").symlink_to(".")
    (tmp_path / "here/self").symlink_to("self")
    (tmp_path / "here/other").symlink_to("../elsewhere")
    monkeypatch.chdir(tmp_path / "here")
    runs, problems = only(Path())
    assert [run.name for run in runs] == ["1", "other/1"]
    assert problems == {}


def cut(name: str, size: int = -30) -> Callable[[Path], None]:
    return lambda run: (run / name).write_bytes((run / name).read_bytes()[:size])


def write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda run: (run / name).write_bytes(content) and None


def without_line(name: str) -> Callable[[Path], None]:
    return lambda run: (
        (run / name).write_text("".join((run / name).read_text().splitlines(keepends=True)[:-1])) and None
    )


def remove(name: str) -> Callable[[Path], None]:
    return lambda run: shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink()


def replace(name: str, old: str, new: str) -> Callable[[Path], None]:
    def work(run: Path) -> None:
        text = (run / name).read_text()
        assert old in text
        (run / name).write_text(text.replace(old, new, 1))

    return work


def folder_instead(name: str) -> Callable[[Path], None]:
    def work(run: Path) -> None:
        (run / name).unlink()
        (run / name).mkdir()

    return work


def end(status: str, error: str | None = None) -> Callable[[Path], None]:
    return lambda run: RunFolder(run).end(status, error)  # type: ignore[arg-type]


def without_test(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    kept = {key: value for key, value in metrics.items() if not key.startswith(("test/", "train/", "val/"))}
    (run / "metrics.json").write_text(json.dumps(kept))


ALIASES = b"a: &a [x, x]\n" + b"".join(
    b"%c: &%c [*%c, *%c]\n" % (i, i, i - 1, i - 1) for i in b"bcdefghijklmnopqrstuvw"
)
"""Eight million times x."""

DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "no record": (remove("run.json"), "run.json is missing"),
    "half a record": (cut("run.json"), "run.json is damaged (line "),
    "no status": (replace("run.json", '"status"', '"state"'), "run.json doesn't say that it has finished"),
    "running": (end("running"), "status running"),
    "interrupted": (end("interrupted"), "status interrupted"),
    "failed": (end("failed", "the loss\nis nan"), "status failed: the loss is nan"),
    "failed, who knows why": (end("failed"), "status failed: no reason is given"),
    "refused": (end("refused", "lr=x"), "status refused: lr=x"),
    "no metrics": (remove("metrics.json"), "metrics.json is missing"),
    "half the metrics": (cut("metrics.json"), "metrics.json is damaged (line "),
    "metrics cut in line 3": (write("metrics.json", b'{\n"test/loss": 1,\n"te'), "metrics.json is damaged (line 3: "),
    "empty metrics": (write("metrics.json", b""), "metrics.json is empty"),
    "a list of metrics": (write("metrics.json", b"[1]"), "metrics.json is damaged"),
    "brackets": (write("metrics.json", b"[" * 200_000), "metrics.json is damaged"),
    "digits": (write("metrics.json", b'{"a": ' + b"1" * 9999 + b"}"), "metrics.json is damaged"),
    "metrics in Latin-1": (write("metrics.json", b'{"\xe4": 1}'), "metrics.json is damaged (not UTF-8)"),
    "metrics, a folder": (folder_instead("metrics.json"), "metrics.json can't be read (Is a directory)"),
    "test=false": (without_test, "test=false"),
    "a figure less": (replace("metrics.json", '"val/loss"', '"loss"'), "metrics.json has no val/loss"),
    "a figure as text": (replace("metrics.json", '"epochs": 3', '"epochs": "3"'), "epochs is no finite number (3)"),
    "a figure too large": (replace("metrics.json", '"epochs": 3', f'"epochs": 1{"0" * 400}'), "epochs is no finite"),
    "nan": (replace("metrics.json", '"epochs": 3', '"epochs": NaN'), "epochs is no finite number (nan)"),
    "true": (replace("metrics.json", '"epochs": 3', '"epochs": true'), "epochs is no finite number (True)"),
    "baseline nan": (replace("metrics.json", '"baseline/loss": ', '"baseline/loss": NaN, "x": '), "baseline/loss"),
    "no settings": (remove(".hydra"), ".hydra/config.yaml is missing"),
    "broken settings": (write(".hydra/config.yaml", b"seed: 1\nmodel: [\n"), ".hydra/config.yaml is damaged (line "),
    "settings in Latin-1": (write(".hydra/config.yaml", b"seed: \xe4"), ".hydra/config.yaml is damaged (not UTF-8)"),
    "settings, no date": (write(".hydra/config.yaml", b"seed: 2026-99-99"), ".hydra/config.yaml is damaged"),
    "settings, endless": (write(".hydra/config.yaml", b"a: &a [*a]"), ".hydra/config.yaml is damaged (Hydra writes no"),
    "settings, huge": (write(".hydra/config.yaml", ALIASES), ".hydra/config.yaml is damaged (Hydra writes no such"),
    "environment": (replace(".hydra/config.yaml", "${weights}", "${oc.env:HOME}"), "refers to ${oc.env:…}, wh"),
    "settings, a word": (write(".hydra/config.yaml", b"seed"), ".hydra/config.yaml is damaged"),
    "no model": (replace(".hydra/config.yaml", "model:", "network:"), "has no model.name"),
    "no seed": (replace(".hydra/config.yaml", "seed: 1", "seed: one"), "data.folds or data.split_seed is no whole"),
    "folds": (replace(".hydra/config.yaml", "folds: null", "folds: many"), "data.folds or data.split_seed is no whole"),
    "many folds": (replace(".hydra/config.yaml", "folds: null", f"folds: 1{'0' * 20}"), "000 is not possible"),
    "unknown": (replace(".hydra/config.yaml", "${weights}", "${nothing}"), ".hydra/config.yaml can't be resolved"),
    "resolver": (replace(".hydra/config.yaml", "${weights}", "${no:1}"), "refers to ${no:…}, which"),
    "broken choices": (write(".hydra/hydra.yaml", b"\t{"), ".hydra/hydra.yaml is damaged"),
    "broken overrides": (write(".hydra/overrides.yaml", b"a: b"), ".hydra/overrides.yaml is damaged (it is no list)"),
    "no history": (remove("metrics.csv"), "metrics.csv is missing"),
    "half the history": (cut("metrics.csv", -6), "metrics.csv is damaged (line 4: cut off)"),
    "a digit less": (cut("metrics.csv", -2), "metrics.csv is damaged (line 4: cut off)"),
    "an epoch less": (without_line("metrics.csv"), "metrics.csv has 2 epochs, and metrics.json says 3"),
    "history in Latin-1": (write("metrics.csv", b"\xe4\n1\n"), "metrics.csv has no column epoch"),
    "history as prose": (replace("metrics.csv", "0.5,", "half,"), "metrics.csv is damaged (line 2: no number)"),
    "no predictions": (remove("predictions.csv"), "predictions.csv is missing"),
    "empty predictions": (write("predictions.csv", b""), "predictions.csv is empty"),
    "no row": (write("predictions.csv", b"path,target,predicted,confidence\n"), "predictions.csv has no rows"),
    "other columns": (replace("predictions.csv", "target", "label"), "predictions.csv has no column target"),
    "half a row": (cut("predictions.csv", -12), "predictions.csv is damaged (line 41: cut off)"),
    "a short row": (replace("predictions.csv", "000.jpg,cat,", "000.jpg,"), "predictions.csv is damaged (line 2: a"),
    "an empty field": (replace("predictions.csv", "jpg,cat", "jpg,"), "predictions.csv is damaged (line 2: a field"),
    "a row less": (without_line("predictions.csv"), "predictions.csv has 39 rows, and per_class.csv counts 40 images"),
    "a field too much": (replace("predictions.csv", "000.jpg,", "000.jpg,x,"), "predictions.csv is damaged"),
    "a quote": (replace("predictions.csv", "000.jpg", '"000.jpg'), "predictions.csv is damaged"),
    "a class too much": (replace("predictions.csv", "001.jpg,dog", "001.jpg,cow"), "has the class 'cow'"),
    "twice": (replace("predictions.csv", "001.jpg", "000.jpg"), "predictions.csv has '000.jpg' more than once"),
    "sure": (replace("predictions.csv", "0.600000", "inf"), "predictions.csv is damaged (line 2: no finite number)"),
    "no classes": (remove("per_class.csv"), "per_class.csv is missing"),
    "half the classes": (cut("per_class.csv", -12), "per_class.csv is damaged (line 3: cut off)"),
    "class twice": (replace("per_class.csv", "dog", "cat"), "per_class.csv has the class 'cat' more than once"),
}  # fmt: skip


def test_every_folder_is_in_the_report_or_named_with_its_reason(tmp_path: Path, make_run: MakeRun) -> None:
    """Whatever is done to a run: it is somewhere, and nothing is raised."""
    sound = make_run(tmp_path / "deep/sound").path
    for kind, (damage, _) in DAMAGE.items():
        damage(shutil.copytree(sound, tmp_path / "deep" / kind))
    (tmp_path / "empty").mkdir()
    (tmp_path / "deep/empty").mkdir()
    (tmp_path / "notes/old").mkdir(parents=True)
    (tmp_path / "notes/old/text.txt").touch()
    (tmp_path / "report/figures").mkdir(parents=True)
    (tmp_path / "multirun.yaml").touch()
    runs, problems = only(tmp_path)
    assert [run.name for run in runs] == ["deep/sound"]
    assert problems.keys() == {"empty", "deep/empty", "notes", *(f"deep/{kind}" for kind in DAMAGE)}
    reasons = {kind: (problems[f"deep/{kind}"], reason) for kind, (_, reason) in DAMAGE.items()}
    assert [(kind, said) for kind, (said, reason) in reasons.items() if reason not in said] == []
    assert [said for said in problems.values() if len(said.splitlines()) != 1] == []
    assert problems["empty"] == problems["deep/empty"] == "empty folder: no run in it"
    assert problems["notes"] == "no run in it"


def test_predictions_of_another_run(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path / "1", correct=[True] * 30 + [False] * 10)
    other = make_run(tmp_path / "2", correct=[True] * 31 + [False] * 9)
    shutil.copy(other.predictions_file, tmp_path / "1")
    runs, problems = only(tmp_path)
    assert [run.name for run in runs] == ["2"]
    assert "0.7500 in metrics.json and 0.7750 in predictions.csv" in problems["1"]


def test_cost_is_no_reason_to_leave_a_run_out(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path / "none")
    for name, content in {"half": b'{"macs": 1', "text": b'{"macs": "many"}', "list": b"[]"}.items():
        make_run(tmp_path / name).cost_file.write_bytes(content)
    runs, problems = only(tmp_path)
    assert {run.name: run.cost for run in runs} == dict.fromkeys(("none", "half", "text", "list"))
    assert problems.keys() == {"half", "text", "list"}
    assert problems["half"].startswith("cost.json is damaged (line 1")
    assert "left out" in problems["text"]


def test_runs_without_baseline_choices_and_validation_in_each_epoch(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "1", baseline=False, python=True)
    run.history_file.write_text(run.history_file.read_text().replace("1,0.5,0.5,0.5,0.5", "1,0.5,0.5,nan,nan"))
    (read,), problems = only(tmp_path)
    assert problems == {}
    assert (read.choices, read.overrides) == ({}, {})
    assert read.history["val/loss"].isna().tolist() == [True, False, False]


def test_a_stray_file_hides_no_runs(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path / "a" / "0", "seed=1")
    make_run(tmp_path / "b" / "1", "seed=2").record_file.unlink()
    for folder in (tmp_path, tmp_path / "a"):
        (folder / "metrics.csv").write_text("of another program")
    runs, problems = read_runs(tmp_path)
    assert [run.name for run in runs] == ["a/0"]
    assert [(problem.name, problem.reason) for problem in problems] == [("b/1", "run.json is missing")]


def test_a_folder_is_the_same_however_it_is_typed(tmp_path: Path, make_run: MakeRun) -> None:
    for seed, root in enumerate(("photos", "photos/", "./photos")):
        make_run(
            tmp_path / str(seed), "data=folder", f"data.root={root}", f"seed={seed}", paths=["a.jpg"], correct=[True]
        )
    groups, _ = group_runs(read_runs(tmp_path)[0])
    assert [len(group.runs) for group in groups] == [3]


def test_names_that_are_not_utf8(tmp_path: Path, make_run: MakeRun) -> None:
    odd = os.fsdecode(b"caf\xe9")
    made = make_run(tmp_path / odd, paths=[f"{odd}/{i}.jpg" for i in range(40)])
    settings = made.hydra / "config.yaml"
    settings.write_text(settings.read_text().replace("root: data", f"root: {json.dumps(odd)}"))  # as OmegaConf does
    (run,), _ = only(tmp_path)
    assert run.config["data"]["root"] == odd
    assert run.name == "caf\N{REPLACEMENT CHARACTER}"
    assert run.predictions["path"].iloc[0] == f"{odd}/0.jpg"


def test_other_verbs_leave_no_runs(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path / "run")
    for name, job in {"audit": "audit", "begun": "train"}.items():
        (tmp_path / name / ".hydra").mkdir(parents=True)
        (tmp_path / name / ".hydra/hydra.yaml").write_text(f"hydra: {{job: {{name: {job}}}}}")
    _, problems = only(tmp_path)
    assert problems == {"audit": "no run in it", "begun": "run.json is missing"}


def test_folders_that_cannot_be_opened(tmp_path: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path / "1")
    (tmp_path / "private/inside").mkdir(parents=True)
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "private":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root may open everything
    _, problems = only(tmp_path)
    assert problems == {"private": "can't be opened (Permission denied)"}


def test_nothing_to_read_is_refused_in_one_line(tmp_path: Path, make_run: MakeRun) -> None:
    with pytest.raises(InputError, match="^runs=.*missing is no folder: name a folder of finished runs"):
        read_runs(tmp_path / "missing")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="^runs=.*file is no folder"):
        read_runs(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="^runs=.*empty holds no finished run: name a folder"):
        read_runs(tmp_path / "empty")
    (tmp_path / "empty/old/older").mkdir(parents=True)
    with pytest.raises(InputError, match=r"empty holds no finished run \(old: no run in it\): name a folder"):
        read_runs(tmp_path / "empty")
    make_run(tmp_path / "bad/2").end("failed", "out of\nmemory")
    (tmp_path / "bad/10").mkdir()
    reasons = r"\(2: status failed: out of memory; 10: empty folder: no run in it\)"
    with pytest.raises(InputError, match=rf"^runs=.*bad holds no finished run {reasons}: name a folder.*$"):
        read_runs(tmp_path / "bad")


def test_names_that_are_not_utf8_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Also where pyarrow is installed, whose strings can't hold them."""
    run, name = RunFolder(tmp_path), "\udce4.jpg"
    run.write_predictions([name], np.array([0]), np.array([[0.9, 0.1]]), ["\udcff", "b"])
    assert run.predictions()["path"].tolist() == [name]
    assert run.predictions()["path"].astype(str).tolist() == [name]
    assert per_class(np.array([0]), np.array([0]), ["\udcff", "b"])["class"].tolist() == ["\udcff", "b"]
