"""Sweeps as a user meets them: they fail, are killed, and go on."""

import hashlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree, rmtree
from unittest.mock import patch

import pandas as pd
import pytest
import torch
from joblib.externals.loky import get_reusable_executor
from omegaconf import DictConfig, OmegaConf

from src.command.resume import NAMES_ONLY, check_same
from src.errors import InputError
from src.files import claimed
from src.reporting.report import write_report
from src.runs.differing import number_of
from src.runs.folder import RunFolder
from src.train import train
from tests.support.command_line import run_here, start

ROOT = Path(__file__).parents[2]
QUICK = ("model=simple_cnn", "trainer=cpu", "logger=none", "cost=false", "baseline=false")
SHORT = (*QUICK, "callbacks=none", "trainer.max_epochs=1", "data.max_images=300")
Config = Callable[..., DictConfig]


@pytest.fixture(autouse=True, scope="module")
def blank() -> Iterator[None]:
    """Pictures are written, and nothing is drawn on them: it would take as long as the trainings."""
    with patch("matplotlib.figure.Figure.draw"):
        yield


def sweep(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run_here("-m", *arguments, cwd=cwd)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]


def content(folder: Path) -> dict[str, tuple[str, int]]:
    """Of each file its digest and its time."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(file): (hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_mtime_ns) for file in files}


def of(sweep: Path, number: int) -> Path:
    """The folder of one of its runs."""
    return next(path for path in sweep.iterdir() if number_of(path) == number)


PLANTED = (*QUICK, "optimizer.lr=0.05,900,0.02", "trainer.max_epochs=2", "sweep=s")
"""The learning rate of the second run makes its loss infinite."""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("planted")
    return folder, sweep(*PLANTED, cwd=folder)


def test_a_failing_run_ends_neither_the_others_nor_the_report(
    planted: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, result = planted
    assert result.returncode == 1
    assert result.stderr.startswith("error: 1 run failed: optimizer.lr=900 (the training loss is not finite")
    assert result.stderr.count("\n") == 1
    lines = result.stdout.splitlines()
    assert lines[0] == "run 1 of 3, optimizer.lr=0.05"
    assert any(line.startswith("run 2 of 3, optimizer.lr=900; about ") for line in lines)
    assert any(
        line.startswith("run 2 of 3, optimizer.lr=900 failed: the training loss is not finite") for line in lines
    )
    runs = folder / "outputs" / "sweeps" / "s"
    assert [RunFolder(of(runs, number)).status for number in range(3)] == ["finished", "failed", "finished"]
    table = pd.read_csv(runs / "report" / "table.csv")
    assert sorted(table["optimizer.lr"]) == [0.02, 0.05]
    assert "**1_lr=900:** status failed: the training loss is not finite" in (runs / "report" / "report.md").read_text()
    assert (runs / "report" / "gradcam.png").exists()
    assert lines[-1] == "report  outputs/sweeps/s/report/report.html"


def test_a_run_of_a_sweep_is_the_run_alone(
    planted: tuple[Path, subprocess.CompletedProcess[str]], config: Config, tmp_path: Path
) -> None:
    """The last one, behind a finished and a failed one."""
    train(config(*QUICK, "optimizer.lr=0.02", "trainer.max_epochs=2"), tmp_path / "alone")
    one, other = weights(of(planted[0] / "outputs" / "sweeps" / "s", 2)), weights(tmp_path / "alone")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_same_command_again_trains_what_is_missing_alone(
    planted: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, _ = planted
    runs = folder / "outputs" / "sweeps" / "s"
    before = content(of(runs, 0)) | content(of(runs, 2))
    result = sweep(*PLANTED, cwd=folder)
    assert result.returncode == 1
    assert content(of(runs, 0)) | content(of(runs, 2)) == before
    begun = [line for line in result.stdout.splitlines() if line.startswith("run ")]
    assert begun[0] == "run 1 of 3, optimizer.lr=0.05: finished before"
    assert begun[-1] == "run 3 of 3, optimizer.lr=0.02: finished before"
    assert len(RunFolder(of(runs, 1)).record()["resumed"]) == 1


def test_other_settings_under_the_same_name_are_refused(
    planted: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, _ = planted
    before = content(folder)
    result = sweep(*PLANTED[:-3], "optimizer.lr=0.05,800,0.02", *PLANTED[-2:], cwd=folder)
    assert result.returncode == 2
    assert "its run 2 is model=simple_cnn" in result.stderr
    assert "optimizer.lr=900" in result.stderr
    assert "optimizer.lr=800" in result.stderr
    assert result.stderr.count("\n") == 1
    assert content(folder) == before


def test_a_killed_sweep_goes_on_where_it_stopped(config: Config, tmp_path: Path) -> None:
    settings = (*SHORT, "trainer.max_epochs=10")
    arguments = (*settings, "seed=1,2", "sweep=k")
    process = subprocess.Popen(
        [sys.executable, "-m", "src.train", "-m", *arguments],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("run 2 of 2"):
            break
    for line in process.stdout:
        if line.startswith("epoch  4/10"):
            break
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=300)
    runs = tmp_path / "outputs" / "sweeps" / "k"
    assert RunFolder(of(runs, 1)).status == "running"
    first = content(of(runs, 0))

    result = sweep(*arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert content(of(runs, 0)) == first
    epochs = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("epoch ")]
    assert epochs[0] in ("4/10", "5/10")  # the fourth may have been on screen, and not yet on disk
    assert epochs[-1] == "10/10"
    assert list(RunFolder(of(runs, 1)).history()["epoch"]) == list(range(1, 11))
    assert pd.read_csv(runs / "report" / "table.csv")["n"].tolist() == [2]

    whole = train(config(*settings, "seed=2"), tmp_path / "whole")
    timed = {"train_seconds", "images_per_second"}
    resumed = RunFolder(of(runs, 1)).metrics()
    assert {key: resumed[key] for key in whole.keys() - timed} == {key: whole[key] for key in whole.keys() - timed}
    assert all(torch.equal(tensor, weights(of(runs, 1))[name]) for name, tensor in weights(tmp_path / "whole").items())


def test_a_run_without_a_readable_checkpoint_begins_anew(config: Config, tmp_path: Path) -> None:
    cfg = config(*SHORT)
    run = RunFolder(tmp_path)
    run.start(command="", seed=1, hardware={})
    (tmp_path / "checkpoints").mkdir()
    run.last_checkpoint.write_bytes(b"half a check")
    (tmp_path / "figures").mkdir()
    (tmp_path / "train.log").write_text("before\n")
    train(cfg, tmp_path, resume=True)
    assert run.status == "finished"
    assert (tmp_path / "train.log").read_text().startswith("before")
    assert len(run.history()) == 1


FOLDS = (*SHORT, "data.folds=3", "data.fold=0,1,2", "sweep=cv")


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which a cross-validation was run."""
    folder = tmp_path_factory.mktemp("folds")
    result = sweep(*FOLDS, cwd=folder)
    assert (result.returncode, result.stderr) == (0, "")
    return folder


def test_a_value_may_refer_to_what_another_one_is_in_each_run(tmp_path: Path) -> None:
    """As `weights='null,FOLDER/${model.name}.pth'` does; the same command finds its runs again."""
    words = (*SHORT, "model.width=8,16", "data.batch_size='${model.width}'", "sweep=s")
    assert sweep(*words, cwd=tmp_path).returncode == 0
    runs = [RunFolder(of(tmp_path / "outputs" / "sweeps" / "s", number)) for number in (0, 1)]
    assert [OmegaConf.load(run.hydra / "config.yaml").data.batch_size for run in runs] == [8, 16]
    assert "'${model.width}'" in (runs[0].hydra / "overrides.yaml").read_text()
    assert sweep(*words, cwd=tmp_path).stdout.count("finished before") == 2


def test_a_cross_validation_is_one_group_over_all_images(folds: Path) -> None:
    runs = folds / "outputs" / "sweeps" / "cv"
    (row,) = pd.read_csv(runs / "report" / "table.csv").to_dict("records")
    accuracies = [RunFolder(of(runs, fold)).metrics()["test/accuracy"] for fold in range(3)]
    assert row["n"] == 3
    assert row["test_accuracy"] == pytest.approx(sum(accuracies) / 3)
    assert row["test_set"] == "digits: 1,797 test images of 10 classes"


def test_a_sweep_of_an_earlier_version_and_pruned_goes_on_in_its_folders(folds: Path, tmp_path: Path) -> None:
    """They had numbers as names; and a finished run needs no last.ckpt."""
    copytree(folds, tmp_path / "copy")
    runs = tmp_path / "copy" / "outputs" / "sweeps" / "cv"
    assert {path.name for path in runs.iterdir() if number_of(path) is not None} == {f"{i}_fold={i}" for i in range(3)}
    for number in range(3):
        of(runs, number).rename(runs / str(number))
    assert run_here("prune", "delete=true", cwd=tmp_path / "copy", verb="runs").returncode == 0
    assert not list(runs.glob("*/checkpoints/last.ckpt"))
    before = content(runs / "0") | content(runs / "1")
    rmtree(runs / "2")
    result = sweep(*FOLDS, cwd=tmp_path / "copy")
    assert (result.returncode, result.stderr) == (0, "")
    assert "run 1 of 3, data.fold=0: finished before" in result.stdout
    assert content(runs / "0") | content(runs / "1") == before
    assert {path.name for path in runs.iterdir() if number_of(path) is not None} == {"0", "1", "2_fold=2"}


def test_damaged_runs_are_mended(folds: Path, tmp_path: Path) -> None:
    """Without figures, with half a record, and refused because of what is there by now."""
    copytree(folds, tmp_path / "copy")
    runs = [RunFolder(of(tmp_path / "copy" / "outputs" / "sweeps" / "cv", number)) for number in range(3)]
    before = [run.metrics()["test/accuracy"] for run in runs]
    runs[0].metrics_file.unlink()
    runs[1].record_file.write_bytes(runs[1].record_file.read_bytes()[:100])
    runs[2].clear(all_of_it=True)
    runs[2].refuse(command="", error="no such folder")
    settings = runs[2].hydra / "config.yaml"
    text = settings.read_text()
    settings.write_text(text.replace("label_smoothing: 0.0", "label_smoothing: 0.2"))  # a file of conf/ said so then
    result = sweep(*FOLDS, cwd=tmp_path / "copy")
    assert (result.returncode, result.stderr) == (0, "")
    assert [run.metrics()["test/accuracy"] for run in runs] == before
    assert [len(run.record().get("resumed", [])) for run in runs] == [1, 1, 0]
    assert settings.read_text() == text


@pytest.fixture
def no_process_stays() -> Iterator[None]:
    """joblib keeps its own for five minutes, where later tests would count them."""
    yield
    get_reusable_executor().shutdown(wait=True)


@pytest.mark.usefixtures("no_process_stays")
@pytest.mark.parametrize("launcher", [(), ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")])
def test_what_can_not_go_on_is_said_last(folds: Path, tmp_path: Path, launcher: tuple[str, ...]) -> None:
    """Its own record says that it was begun, and no more."""
    copytree(folds, tmp_path / "copy")
    run = RunFolder(of(tmp_path / "copy" / "outputs" / "sweeps" / "cv", 1))
    run.end("running")
    settings = run.hydra / "config.yaml"
    settings.write_text(settings.read_text().replace("label_smoothing: 0.0", "label_smoothing: 0.2"))
    result = sweep(*FOLDS, *launcher, cwd=tmp_path / "copy")
    assert result.returncode == 1
    assert result.stderr.startswith("error: 1 run failed: data.fold=1 (outputs/sweeps/cv/1_fold=1 was begun with labe")
    assert result.stderr.count("\n") == 1
    assert run.status == "running"
    assert not [path for path in run.path.parent.iterdir() if path.name.startswith((".seconds", ".error"))]
    assert "simple_cnn: seed 1 lacks fold 1 of 3: the means are over the others" in result.stdout


def test_who_comes_second_takes_nothing_away(folds: Path, tmp_path: Path) -> None:
    """The others have been refused a run, and are reading the images of the next two."""
    copytree(folds, tmp_path / "copy")
    runs = tmp_path / "copy" / "outputs" / "sweeps" / "cv"
    for number in (0, 2):
        rmtree(of(runs, number))
    of(runs, 1).joinpath("metrics.json").unlink()
    with claimed(runs / ".run_0.lock"), claimed(runs / ".run_1.lock"), claimed(runs / ".run_2.lock"):
        before = content(runs)
        result = sweep(*FOLDS, cwd=tmp_path / "copy")
        one = sweep(*FOLDS, "only=1", cwd=tmp_path / "copy")
        assert content(runs) == before
    assert (result.returncode, one.returncode) == (2, 2)
    remedy = "is at work in another process: wait for it, stop it, or name another folder with sweep=NAME\n"
    assert result.stderr == f"error: {runs} {remedy}"
    assert one.stderr == f"error: {runs}: run 2 {remedy}"


def test_runs_at_work_elsewhere_are_left_to_others(folds: Path, tmp_path: Path) -> None:
    copytree(folds, tmp_path / "copy")
    runs = tmp_path / "copy" / "outputs" / "sweeps" / "cv"
    for number in (0, 2):
        rmtree(of(runs, number))
    with claimed(runs / ".run_0.lock"):
        result = sweep(*FOLDS, cwd=tmp_path / "copy")
    assert result.returncode == 1
    assert "run 1 of 3, data.fold=0: at work in another process\n" in result.stdout
    assert result.stderr.startswith("at work in another process: data.fold=0: when it is done, ")
    assert result.stderr.count("\n") == 1
    assert [number_of(run) for run in sorted(runs.glob("*_*")) if RunFolder(run).is_whole] == [1, 2]
    assert not list(runs.glob(".*")), "no claim, no note"


def test_numbers_of_a_sweep_run_in_processes_of_their_own(folds: Path, tmp_path: Path) -> None:
    """At the same time; who has finished last writes the report, and the bits are those of one process."""
    before = {number: weights(of(folds / "outputs" / "sweeps" / "cv", number)) for number in range(3)}
    processes = [start("-m", *FOLDS, f"only={only}", cwd=tmp_path, log=tmp_path / only) for only in ("0", "1-2")]
    for process in processes:
        process.join(100)
    said = [(tmp_path / only).read_text() for only in ("0", "1-2")]
    assert [process.exitcode for process in processes] == [0, 0], said
    begun = [line for line in said[1].splitlines() if re.match(r"run \d", line)]
    assert [line.partition(";")[0] for line in begun] == ["run 2 of 3, data.fold=1", "run 3 of 3, data.fold=2"]
    runs = tmp_path / "outputs" / "sweeps" / "cv"
    assert sum("report  outputs/sweeps/cv/report/report.html" in each for each in said) == 1
    assert pd.read_csv(runs / "report" / "table.csv")["n"].tolist() == [3]
    for number, tensors in before.items():
        now = weights(of(runs, number))
        assert all(torch.equal(tensor, now[name]) for name, tensor in tensors.items())
    again = sweep(*FOLDS, cwd=tmp_path)
    assert (again.returncode, again.stdout.count("finished before")) == (0, 3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sweep=s", "only=3"), "only=3 is not possible: the sweep has 3 runs, numbers 0 to 2"),
        (("sweep=s", "only=2-1"), "only=2-1 is not possible: the sweep has 3 runs"),
        (("sweep=s", "only=two"), "only=two is not possible: take numbers of runs, from 0, such as 3 or 0,4-7"),
        (("sweep=s", "only="), "only= names no run: give the number of one, from 0"),
        (("only=1",), "only=1 is for some runs of a sweep that others share: name it with sweep=NAME"),
    ],
)
def test_which_runs_is_said_in_numbers(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    result = sweep(*SHORT, "seed=1,2,3", *words, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: {said}")
    assert not list(tmp_path.iterdir())


def test_only_is_for_sweeps(config: Config, tmp_path: Path) -> None:
    result = run_here(*SHORT, "only=1", cwd=tmp_path)
    assert (result.returncode, result.stderr.startswith("error: only=1 is for a sweep: put -m before it")) == (2, True)
    with pytest.raises(InputError, match="only=1 is for a sweep, and for the command line"):
        train(config("only=1"), tmp_path)


def test_a_chosen_run_that_can_not_begin_leaves_nothing_behind(tmp_path: Path) -> None:
    words = (*SHORT, "data=folder", "data.root=a,b", "sweep=s")
    (tmp_path / "a").mkdir()
    result = sweep(*words, "only=1", cwd=tmp_path)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_run_does_not_go_on_with_other_settings(config: Config, tmp_path: Path) -> None:
    """A file of conf/ may have changed since, which no override tells."""
    run = RunFolder(tmp_path)
    run.keep_settings(OmegaConf.to_yaml(config("optimizer.lr=0.3")))
    now = config("optimizer.lr=0.3", "sweep=other")
    check_same(run, now, now, NAMES_ONLY)
    with pytest.raises(InputError, match="was begun with optimizer.lr=0.3, now it is 0.05: set it back"):
        check_same(run, config(), config(), NAMES_ONLY, "set it back")


def test_several_runs_at_once(tmp_path: Path) -> None:
    """In processes of their own, which the launcher starts."""
    arguments = ("callbacks=none", "trainer.max_epochs=1", "optimizer.lr=0.05,900,0.04,0.03", "sweep=j")
    launcher = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    result = subprocess.run(
        [sys.executable, "-m", "src.train", "-m", *QUICK, *arguments, *launcher],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr.startswith("error: 1 run failed: optimizer.lr=900 (the training loss is not finite")
    runs = tmp_path / "outputs" / "sweeps" / "j"
    statuses = ["finished", "failed", "finished", "finished"]
    assert [RunFolder(of(runs, number)).status for number in range(4)] == statuses
    assert pd.read_csv(runs / "report" / "table.csv")["n"].tolist() == [1, 1, 1]
    best = r"best so far run [13], val/accuracy 0\.\d{3}"
    assert re.search(rf"run 4 of 4, optimizer.lr=0.03; about \d.* left; {best}\n", result.stdout)
    assert "Up to 2 runs were trained at once" in (runs / "report" / "report.md").read_text()


def test_runs_made_from_python_can_be_compared(config: Config, tmp_path: Path) -> None:
    for seed in (1, 2):
        train(config(*SHORT, f"seed={seed}"), tmp_path / "runs" / str(seed))
    (result,) = write_report(tmp_path / "runs", tmp_path / "report").results
    assert result.table["n"].tolist() == [2]


@pytest.mark.slow
def test_ten_networks_in_a_row_leave_no_memory_behind(tmp_path: Path) -> None:
    """Resident memory after the tenth run at most 5 % above that after the second; every third diverges."""
    code = (
        "from pathlib import Path\n"
        "from src.command.main import main\n"
        "from src.train import train\n"
        "def measured(cfg, **more):\n"
        "    if cfg.seed % 3 == 0: cfg.optimizer.lr = 900\n"
        "    try: return train(cfg, **more)\n"
        "    finally: open('memory', 'a').write(open('/proc/self/statm').read().split()[1] + '\\n')\n"
        "main('train', measured, after_sweep=lambda folder: None)\n"
    )
    rates = ("trainer.max_epochs=1", "cost=false", "data.max_images=200", "sweep=m")
    result = subprocess.run(
        [sys.executable, "-c", code, "-m", "model=resnet18", f"seed={','.join(map(str, range(1, 12)))}", *rates],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, timeout=900, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    memory = [int(line) for line in (tmp_path / "memory").read_text().splitlines()]
    assert len(memory) == 11
    assert memory[9] <= 1.05 * memory[1], memory
