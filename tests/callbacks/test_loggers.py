"""Loggers that people have: what each gets of a run, that a resumed run goes on in it, and what is said without it."""

import csv
import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lightning.pytorch.loggers import CSVLogger, Logger
from omegaconf import OmegaConf

from src.callbacks.loggers import close, curves, show_by_epoch, show_picture, show_result
from src.callbacks.needed import title_of
from src.errors import InputError
from src.settings.trust import check_named
from tests.support.command_line import run_here

QUICK = (
    "model=simple_cnn",
    "model.width=4",
    "trainer=cpu",
    "baseline=false",
    "cost=false",
    "callbacks.gradcam.images=2",
)


def run_alone(*words: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own: other makers' packages change theirs for good."""
    command = [sys.executable, "-m", "src.train", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


def test_only_curves_are_curves() -> None:
    metrics = {
        "train/loss": 1,
        "lr": 2,
        "lr-SGD/pg1": 3,
        "images_per_second": 4,
        "epoch": 5,
        "test/f1": 6,
        "best_": 7,
    }
    assert curves(metrics) == {"train/loss": 1, "train/lr": 2, "train/lr-SGD/pg1": 3, "train/images_per_second": 4}


def test_a_logger_of_another_kind_leaves_out_what_it_can_not_show(tmp_path: Path) -> None:
    class Silent(Logger):
        name = version = "silent"

        def log_metrics(self, metrics: Any, step: Any = None) -> None:
            raise AssertionError

        log_hyperparams = log_metrics

    for logger in (Silent(), CSVLogger(tmp_path)):
        show_picture(logger, "a", np.zeros((2, 2, 3), np.uint8), 1)
        show_by_epoch(logger, "a", 0.5, 1)
        show_result(logger, {"seed": 1}, {"whole_run/test_f1": 1.0}, 1)
        close(logger, "finished")
    assert not list(tmp_path.iterdir())


def test_runs_are_called_by_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert title_of("outputs/digits/simple_cnn/mine") == "digits/simple_cnn/mine"
    assert title_of(str(tmp_path / "outputs" / "sweeps" / "a" / "0")) == "sweeps/a/0"
    assert title_of("/elsewhere/run") == "run"


def rows_of(file: Path) -> list[dict[str, float]]:
    with file.open(newline="") as table:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(table)]


def test_csv_has_every_step_once_also_after_a_resume(tmp_path: Path) -> None:
    words = (*QUICK, "logger=[csv,tensorboard]", "callbacks=[none,lr_monitor]", "callbacks.gradcam=null")
    assert run_here(*words, "epochs=2", "hydra.run.dir=whole", cwd=tmp_path).returncode == 0
    assert run_here(*words, "epochs=1", "hydra.run.dir=run", cwd=tmp_path).returncode == 0
    table = tmp_path / "run" / "steps.csv"
    with table.open("a") as file:  # of a process that was killed later
        file.write(table.read_text().splitlines()[-1].replace("22,", "29,", 1) + "\n")
    assert rows_of(table)[-1]["step"] == 29
    assert run_here("resume=run", "epochs=2", cwd=tmp_path).returncode == 0
    whole, resumed = rows_of(tmp_path / "whole" / "steps.csv"), rows_of(table)
    steps = [row["step"] for row in resumed]
    assert steps == [row["step"] for row in whole] == sorted(steps)
    losses = [row["step"] for row in resumed if "train/loss_step" in row]
    assert losses == sorted(set(losses))
    assert sum("val/accuracy" in row for row in resumed) == 2
    assert {key for row in resumed for key in row} >= {"train/lr", "train/lr-SGD/pg1", "train/accuracy", "val/f1"}
    assert list((tmp_path / "run").glob("events.out.tfevents*"))
    assert not (tmp_path / "run" / "hparams.yaml").exists()


def test_the_layers_are_said_and_kept(tmp_path: Path) -> None:
    words = (*QUICK, "epochs=1", "logger=none", "callbacks=[model_summary,early_stopping]", "callbacks.gradcam=null")
    done = run_here(*words, "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 0
    for text in (done.stdout, (tmp_path / "run" / "train.log").read_text()):
        assert sum("Total params" in line for line in text.splitlines()) == 1
        assert "SimpleCNN" in text


def test_learning_rates_need_somewhere_to_go(tmp_path: Path) -> None:
    done = run_here(*QUICK, "logger=none", "callbacks=lr_monitor", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        2, "error: callbacks=lr_monitor writes to the loggers, and there is none: leave it, or logger=none, out\n"
    )  # fmt: skip
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["wandb", "mlflow"])
def test_what_is_not_installed_is_named_and_nothing_begun(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("src.callbacks.needed.find_spec", lambda _: None)
    (tmp_path / "here" / package).mkdir(parents=True)  # as W&B leaves one
    done = run_here(*QUICK, f"logger=[tensorboard,{package}]", cwd=tmp_path / "here")
    assert (done.returncode, done.stderr) == (
        2, f"error: logger={package} needs {package}, which isn't installed: pip install 'reslens[{package}]'\n"
    )  # fmt: skip
    assert [path.name for path in (tmp_path / "here").iterdir()] == [package]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["logger=[csv,weights]"], "logger=weights is unknown; nearest:"),
        (["logger=[]"], "logger=[] names no option: say logger=none"),
        (["callbacks=[early_stopping,3]"], "3 is no option: write the names of options"),
        (["model=[resnet18,resnet34]"], "names several options: choose one, or sweep over them with -m"),
        (["logger.wandb.project=mine"], "say logger=wandb logger.wandb.project=mine"),
        (["callbacks.lr_monitor.log_momentum=true"], "say callbacks=lr_monitor callbacks.lr_monitor.log_momentum=true"),
        (["logger=wandb", "logger.wandb.mode=loud"], "mode=loud is not possible: take null or offline or online"),
        (["logger=wandb", "+logger.wandb.dir=/etc"], "dir can't be set: RunWandb takes"),
        (["logger=mlflow", "+logger.mlflow.artifact_location=/etc"], "artifact_location can't be set: RunMLflow takes"),
    ],
)  # fmt: skip
def test_a_wrong_choice_is_answered(words: list[str], said: str, tmp_path: Path) -> None:
    done = run_here(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize("line", ["wandb: {mode: online}", "wandb: {entity: me}", "mlflow: {tracking_uri: 'http://a'}"])
def test_a_file_sends_nothing_to_another_machine(line: str, config: Callable[..., Any]) -> None:
    """Only who is at the keyboard can: an experiment file may come from elsewhere."""
    node = OmegaConf.create(f"{{{line}}}")
    (name,) = node
    cfg = OmegaConf.to_container(OmegaConf.merge(config(f"logger={name}").logger, node))
    (setting,) = node[name]
    with pytest.raises(InputError, match=f"logger.{name}.{setting}=.* is not taken from a file"):
        check_named({"logger": cfg}, typed=[])
    check_named({"logger": cfg}, typed=[f"logger.{name}.{setting}"])


def test_online_without_a_login_is_refused_before_it_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    for name in ("WANDB_API_KEY", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    done = run_here(*QUICK, "logger=wandb", "logger.wandb.mode=online", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        2, "error: logger.wandb.mode=online needs a login: say `wandb login` once, or leave it out\n"
    )  # fmt: skip


@pytest.mark.slow
def test_wandb_offline_has_a_run_that_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    from tests.support.wandb_file import read

    words = (*QUICK, "logger=wandb", "logger.wandb.tags=[a,b]", "name=mine")
    for typed in ((*words, "epochs=1"), ("resume=mine", "epochs=2")):
        done = run_alone(*typed, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "wandb" not in done.stdout + done.stderr
    run = tmp_path / "outputs" / "digits" / "simple_cnn" / "mine"
    assert not [path for path in run.rglob("*") if path.is_symlink()]
    first, second = (read(file) for file in sorted(run.glob("wandb/offline-run-*/*.wandb")))
    assert first.id == second.id
    assert {first.name, second.name} == {"digits/simple_cnn/mine"}
    assert (first.project, first.exit_code, second.exit_code) == ("reslens", 0, 0)
    metrics = json.loads((run / "metrics.json").read_text())
    assert second.summary["whole_run/test_accuracy"] == pytest.approx(metrics["test/accuracy"])
    assert (first.config["trainer.max_epochs"], second.config["trainer.max_epochs"]) == (1, 2)
    accuracies = [row["val/accuracy"] for one in (first, second) for row in one.history if "val/accuracy" in row]
    with (run / "metrics.csv").open(newline="") as table:
        assert accuracies == pytest.approx([float(row["val/accuracy"]) for row in csv.DictReader(table)])
    rows = first.history + second.history
    shown = [(row["shown_epoch"], key) for row in rows for key in row if key.endswith("/path")]
    assert sorted(shown) == [
        (1, "val/gradcam/path"), (1, "whole_run/confusion_matrix_test/path"),
        (2, "val/gradcam/path"), (second.history[-1]["shown_epoch"], "whole_run/confusion_matrix_test/path"),
    ]  # fmt: skip
    assert not any(key.startswith(("baseline/", "test/", "best_")) for row in rows for key in row)


@pytest.mark.slow
def test_mlflow_has_each_run_of_a_sweep_and_one_that_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    words = (*QUICK, "logger=[mlflow,csv]", "epochs=1")
    for typed in (
        (*words, "name=mine"), ("resume=mine", "epochs=2"), ("-m", *words, "seed=1,2", "sweep=two"),
    ):  # fmt: skip
        done = run_alone(*typed, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        said = [line for line in (done.stdout + done.stderr).splitlines() if "mlflow" in line]
        assert all(line.startswith("MLflow       mlflow ui ") for line in said), said  # nothing of its own
    from mlflow.tracking import MlflowClient

    with warnings.catch_warnings(action="ignore"):  # of SQLAlchemy at MLflow
        client = MlflowClient(f"sqlite:///{tmp_path / 'outputs' / 'mlruns' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("reslens")
    assert experiment is not None
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"digits/simple_cnn/mine", "sweeps/two/0_seed=1", "sweeps/two/1_seed=2"}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    mine = runs["digits/simple_cnn/mine"]
    folder = tmp_path / "outputs" / "digits" / "simple_cnn" / "mine"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert mine.data.metrics["whole_run/test_accuracy"] == pytest.approx(metrics["test/accuracy"])
    assert (mine.data.params["trainer.max_epochs"], mine.data.tags["trainer.max_epochs"]) == ("1", "2")
    assert [runs[f"sweeps/two/{n}_seed={n + 1}"].data.params["seed"] for n in (0, 1)] == ["1", "2"]
    history = client.get_metric_history(mine.info.run_id, "val/accuracy")
    with (folder / "metrics.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [point.value for point in history] == pytest.approx([float(row["val/accuracy"]) for row in rows])
    sheets = [item.path for item in client.list_artifacts(mine.info.run_id, "val/gradcam")]
    assert sheets == [f"val/gradcam/epoch_{epoch:03d}.png" for epoch in (1, 2)]
    assert client.list_artifacts(mine.info.run_id, "whole_run/confusion_matrix_test")
