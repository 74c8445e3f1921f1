"""Whole runs: what they write, what they return, and that watching doesn't change them."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import DictConfig
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from src.data.transforms import GEOMETRY
from src.errors import RunError
from src.networks import build_network
from src.runs.folder import RunFolder
from src.train import train
from src.training.classifier import ImageClassifier

ROOT = Path(__file__).parent.parent
Config = Callable[..., DictConfig]
QUICK = ("model=simple_cnn", "trainer=cpu", "trainer.max_epochs=3")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """One run from the command line, in a pipe, shared by the tests that look at what it left in `run`."""
    folder = tmp_path_factory.mktemp("demo")
    return subprocess.run(
        [sys.executable, "-m", "src.train", *QUICK, "hydra.run.dir=run"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PWD": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )


@pytest.fixture
def run(demo: subprocess.CompletedProcess[str], tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return RunFolder(next(tmp_path_factory.getbasetemp().glob("demo*")) / "run")


def test_a_pipe_gets_plain_lines(demo: subprocess.CompletedProcess[str]) -> None:
    assert demo.stderr == ""
    assert "\x1b" not in demo.stdout
    assert "\r" not in demo.stdout
    lines = demo.stdout.splitlines()
    assert lines[0].startswith("simple_cnn on digits: 1,455 train, 162 validation and 180 test images of 10 classes")
    assert sum(bool(re.match(r"epoch [1-3]/3  train loss \d", line)) for line in lines) == 3
    assert sum(line.startswith("an epoch of 23 batches takes about") for line in lines) == 1
    assert [line.split()[:1] for line in lines if re.match(r"before training  |validation  |test  ", line)] == [
        ["before"], ["validation"], ["test"],
    ]  # fmt: skip
    assert "TensorBoard  tensorboard --logdir run" in lines
    assert lines[-1].endswith("-m src.app checkpoint=run")
    assert "run folder   run" in lines
    assert "page         run/report.html" in lines
    assert any(re.match(r"test images  \d+ of 180 right: \d\.\d{3} \(95 % interval", line) for line in lines)


def test_every_file_of_the_run_folder_is_there(run: RunFolder) -> None:
    names = {str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()}
    events = {name for name in names if name.startswith("events.out.tfevents")}
    pictures = {f"gradcam/epoch_{epoch:03}.{kind}" for epoch in range(4) for kind in ("png", "npz")}
    assert len(events) == 1
    assert names - events - pictures == {
        ".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml", "run.json", "metrics.csv", "metrics.json",
        "per_class.csv", "predictions.csv", "skipped.csv", "cost.json", "train.log", "checkpoints/best.ckpt",
        "checkpoints/last.ckpt", "gradcam/images.npz", "figures/curves.png", "figures/confusion_matrix.png",
        "figures/gradcam_movement.png", "figures/gradcam_by_epoch.webp", "figures/train_batch.png", "report.html",
    }  # fmt: skip
    assert pictures < names


def test_the_page_shows_the_run(run: RunFolder) -> None:
    text, metrics = run.page_file.read_text().replace("\xa0", " "), run.metrics()
    right = round(180 * metrics["test/accuracy"])
    assert f"{right} of 180 test images right: {metrics['test/accuracy']:.3f} (95 % interval " in text
    assert text.count('<img src="data:image/') == 7, "batch, curves, confusion, Grad-CAMs: two, all, moves"
    assert "(picture missing)" not in text
    assert "images: train, validation, test" in text
    assert "1,455, 162, 180" in text
    assert "-m src.explain checkpoint=run</code>" in text


@pytest.mark.parametrize("broken", ["src.figures.batch_sheet", "src.training.pictures.mistakes_sheet"])
def test_no_picture_is_worth_a_training(
    tmp_path: Path, config: Config, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("no room\nat all")

    monkeypatch.setattr(broken, fail)
    monkeypatch.setattr("src.reporting.run_page.render_html", fail)
    train(config(*QUICK[:2], "trainer.max_epochs=1", "callbacks=none", "logger=none", "cost=false"), tmp_path / "run")
    assert RunFolder(tmp_path / "run").is_whole
    file = "train_batch.png" if "batch" in broken else "mistakes.png"
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == [f"no {file}: no room", "no report.html: no room"]
    assert len(list((tmp_path / "run" / "figures").glob("*.png"))) == 3, "of four"


def test_without_a_test_set_the_mistakes_are_those_of_validation(tmp_path: Path, config: Config) -> None:
    words = ("test=false", "callbacks=none", "logger=none", "cost=false", "trainer.max_epochs=1")
    train(config(*QUICK[:2], *words), tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    assert sorted(path.name for path in run.figures.iterdir()) == ["curves.png", "mistakes.png", "train_batch.png"]
    assert "Of the validation images" in run.page_file.read_text()
    assert not run.predictions_file.exists()


def test_the_record_tells_the_truth(run: RunFolder) -> None:
    record = run.record()
    assert (record["status"], record["seed"]) == ("finished", 1)
    assert record["command"].endswith(
        "-m src.train model=simple_cnn trainer=cpu trainer.max_epochs=3 hydra.run.dir=run"
    )
    assert record["start"] <= record["end"]
    assert record["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert record["hardware"]["cores"] >= 1


def test_metrics_agree_with_the_predictions_and_the_history(run: RunFolder) -> None:
    metrics, predictions, history = run.metrics(), run.predictions(), run.history()
    figures = ("loss", "accuracy", "precision", "recall", "f1", "mcc")
    names = {f"{split}/{figure}" for split in ("baseline", "train", "val", "test") for figure in figures}
    names |= {"best_epoch", "epochs", "train_seconds", "images_per_second", "parameters", "seed"}
    assert set(metrics) == names
    assert len(predictions) == 180
    assert metrics["test/accuracy"] == pytest.approx((predictions.target == predictions.predicted).mean(), abs=1e-6)
    per_class = pd.read_csv(run.per_class_file)
    assert per_class.support.sum() == 180
    for figure in ("precision", "recall", "f1"):
        assert metrics[f"test/{figure}"] == pytest.approx(per_class[figure].mean(), abs=1e-6)
    assert list(history.epoch) == [1, 2, 3]
    assert metrics["best_epoch"] == history["val/accuracy"].idxmax() + 1
    assert metrics["val/accuracy"] == history["val/accuracy"].max()
    assert all(0 <= value <= 1 for name, value in metrics.items() if "/" in name and not name.endswith("loss"))
    assert metrics["baseline/accuracy"] < 0.4 < metrics["test/accuracy"]


def test_a_checkpoint_needs_nothing_else(run: RunFolder) -> None:
    """The test figures come again from best.ckpt alone, and its hyper-parameters are plain values."""
    checkpoint = torch.load(run.best_checkpoint, weights_only=True)
    kept = json.loads(json.dumps(checkpoint["hyper_parameters"]))
    assert kept == checkpoint["hyper_parameters"]
    assert kept["class_names"] == [str(digit) for digit in range(10)]
    assert set(kept["preprocessing"]) == {*GEOMETRY, "mean", "std"}
    network = build_network(**kept["architecture"])
    module = ImageClassifier.load_from_checkpoint(run.best_checkpoint, map_location="cpu").eval()
    network.load_state_dict(module.network.state_dict())

    from sklearn.datasets import load_digits

    predictions = run.predictions()
    indices = [int(path.rsplit("/", 1)[1]) for path in predictions.path]
    pixels = torch.from_numpy(load_digits().images[indices]).mul(255 / 16).round().to(torch.uint8).unsqueeze(1)
    with torch.inference_mode():
        confidence, predicted = module(pixels).softmax(dim=1).max(dim=1)
    assert predicted.tolist() == predictions.predicted.astype(int).tolist()
    np.testing.assert_allclose(confidence, predictions.confidence, atol=2e-6)


def test_tensorboards_own_reader_finds_everything(run: RunFolder) -> None:
    events = EventAccumulator(str(run.path), size_guidance={"images": 0})
    events.Reload()
    tags = events.Tags()
    for split in ("train", "val"):
        for figure in ("loss", "accuracy", "precision", "recall", "f1"):
            assert len(events.Scalars(f"{split}/{figure}")) == 3
    assert {"whole_run/baseline_accuracy", "whole_run/test_accuracy", "train/lr", "train/images_per_second"} <= set(
        tags["scalars"]
    )
    assert [image.step for image in events.Images("val/gradcam")] == [0, 1, 2, 3]
    assert "whole_run/confusion_matrix_test" in tags["images"]
    assert "custom_scalars__config__" in tags["tensors"]
    history = run.history()
    assert [point.value for point in events.Scalars("val/loss")] == pytest.approx(list(history["val/loss"]))


def test_the_callback_changes_nothing(tmp_path: Path, config: Config) -> None:
    """The same weights and figures, bit for bit, with Grad-CAM and without."""
    overrides = ("trainer=cpu", "trainer.max_epochs=2", "trainer.limit_train_batches=6", "cost=false")
    with_it = train(config(*overrides), tmp_path / "with")
    without = train(config(*overrides, "callbacks=none"), tmp_path / "without")
    assert (tmp_path / "with" / "gradcam" / "epoch_002.npz").exists()
    assert not (tmp_path / "without" / "gradcam").exists()
    clocks = {"train_seconds", "images_per_second"}
    assert {k: v for k, v in with_it.items() if k not in clocks} == {
        k: v for k, v in without.items() if k not in clocks
    }
    weights = [RunFolder(tmp_path / name).last_checkpoint for name in ("with", "without")]
    first, second = (torch.load(path, weights_only=True)["state_dict"] for path in weights)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_seed_decides(tmp_path: Path, config: Config) -> None:
    results = [
        train(config(*QUICK, "trainer.max_epochs=1", "cost=false", f"seed={s}"), tmp_path / f"{n}")
        for n, s in enumerate((0, 0, 3))
    ]
    assert results[0]["test/loss"] == results[1]["test/loss"]
    assert results[0]["test/loss"] != results[2]["test/loss"]


@pytest.mark.parametrize(
    "overrides",
    [
        ("optimizer=adamw", "scheduler=onecycle", "callbacks=early_stopping"),
        ("trainer.precision=bf16-mixed", "memory_format=channels_last", "label_smoothing=0.1"),
        ("monitor=val/loss", "mode=min", "baseline=false", "logger=none", "scheduler=constant"),
        ("trainer=debug", "trainer.enable_checkpointing=false", "trainer.accumulate_grad_batches=2"),
        ("test=false", "scheduler=step", "trainer.gradient_clip_val=1"),
        ("trainer.fast_dev_run=true",),
        ("trainer.gradient_clip_val=1", "trainer.precision=bf16-mixed", "optimizer.momentum=0"),
        ("trainer.gradient_clip_val=0.1", "trainer.gradient_clip_algorithm=value", "trainer.precision=bf16-true"),
        ("trainer.max_steps=5", "scheduler=step", "trainer.overfit_batches=2", "trainer.val_check_interval=1.0"),
    ],
    ids=" ".join,
)
def test_other_ways_to_train(tmp_path: Path, config: Config, overrides: tuple[str, ...]) -> None:
    metrics = train(config(*QUICK, "trainer.max_epochs=1", *overrides), tmp_path / "run")
    assert RunFolder(tmp_path / "run").record()["status"] == "finished"
    assert ("test/accuracy" in metrics) == ("test=false" not in overrides)
    assert ("baseline/accuracy" in metrics) == ("baseline=false" not in overrides)


def test_an_epoch_without_validation_has_no_validation_figures(tmp_path: Path, config: Config) -> None:
    """`check_val_every_n_epoch=2`: the best epoch is the best checkpoint's, and nothing is repeated."""
    overrides = ("trainer.check_val_every_n_epoch=2", "monitor=val/loss", "mode=min", "trainer.max_epochs=4")
    metrics = train(config(*QUICK, *overrides), tmp_path / "run")
    history = RunFolder(tmp_path / "run").history()
    assert history["val/loss"].isna().tolist() == [True, False, True, False]
    assert metrics["best_epoch"] == history["val/loss"].idxmin() + 1


def test_validation_every_so_many_steps_whatever_the_epoch(tmp_path: Path, config: Config) -> None:
    """`check_val_every_n_epoch=null`: 3 batches an epoch, validated after steps 4, 8 and 12, the last one too."""
    words = ("trainer.check_val_every_n_epoch=null", "trainer.val_check_interval=4", "trainer.limit_train_batches=3")
    train(config(*QUICK, *words, "trainer.max_epochs=-1", "trainer.max_steps=12"), tmp_path / "run")
    history = RunFolder(tmp_path / "run").history()
    assert history["step"].tolist() == [3, 6, 9, 12]
    assert history["val/loss"].isna().tolist() == [True, False, False, False]


def test_a_step_schedule_counts_real_epochs(tmp_path: Path, config: Config) -> None:
    """23 batches an epoch: within 10 steps no epoch has passed, and the rate is still warming up."""
    train(
        config(
            *QUICK,
            "scheduler=step",
            "trainer.max_steps=10",
            "scheduler.warmup_epochs=0",
            "trainer.val_check_interval=5",
        ),
        tmp_path / "run",
    )
    assert RunFolder(tmp_path / "run").history()["lr"].tolist() == [0.05]


def test_a_compiled_network_trains_and_is_explained(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`compile=true` with dynamo's eager backend: the compiled call is there, and no C++ compiler is waited for."""
    compiled = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compiled(self, backend="eager"))
    train(config(*QUICK, "trainer.max_epochs=1", "compile=true"), tmp_path / "run")
    names = torch.load(tmp_path / "run" / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert "network.block1.conv.weight" in names
    assert np.load(tmp_path / "run" / "gradcam" / "epoch_001.npz")["maps"].std() > 0


def test_a_diverging_loss_stops_the_run_and_reaches_no_checkpoint(tmp_path: Path, config: Config) -> None:
    with pytest.raises(RunError, match=r"not.finite.*smaller learning rate \(optimizer.lr=900 now\)"):
        train(config(*QUICK, "optimizer.lr=900", "optimizer.momentum=0.99", "trainer.max_epochs=20"), tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    assert run.record()["status"] == "failed"
    assert "not finite" in run.record()["error"]
    for path in run.checkpoints.glob("*.ckpt"):
        weights = torch.load(path, weights_only=True)["state_dict"]
        assert all(torch.isfinite(tensor).all() for tensor in weights.values() if tensor.is_floating_point())


def test_macro_figures_count_every_class_alike(run: RunFolder) -> None:
    matrix = pd.crosstab(run.predictions().target, run.predictions().predicted)
    recalls = [matrix.loc[name, name] / matrix.loc[name].sum() if name in matrix else 0.0 for name in matrix.index]
    assert run.metrics()["test/recall"] == pytest.approx(float(np.mean(recalls)), abs=1e-6)


@pytest.mark.slow
def test_two_processes_share_the_images_and_agree(tmp_path: Path) -> None:
    """`trainer=ddp` on two CPU processes: one run folder, written by the first, with every test image once."""
    subprocess.run(
        [sys.executable, "-m", "src.train", *QUICK, "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2",
         "trainer.max_epochs=3", "hydra.run.dir=run"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, timeout=300, check=True,
    )  # fmt: skip
    run = RunFolder(tmp_path / "run")
    predictions = run.predictions()
    assert len(predictions) == predictions.path.nunique() == 180
    accuracy = (predictions.target == predictions.predicted).mean()
    assert run.metrics()["test/accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert run.record()["status"] == "finished"
    assert run.history()["step"].tolist() == [12, 24, 36]  # 1,455 images in batches of 2 × 64
    assert not list(run.path.glob("train_ddp*"))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.slow
def test_three_processes_measure_fewer_images_than_they_are(photos: Path, tmp_path: Path) -> None:
    """Two for validation, two for the test: `evaluate`, one process, finds the same figures and the same answers."""
    for split, numbers in {"train": range(2, 10), "val": range(1), "test": range(1, 2)}.items():
        for name in ("high", "low"):
            (tmp_path / "few" / split / name).mkdir(parents=True)
            for number in numbers:
                shutil.copy(photos / name / f"{number}.png", tmp_path / "few" / split / name)
    settings = (
        "data=folder", "data.root=few", "data.image_size=16", "data.batch_size=2", "data.num_workers=1", "cost=false",
        "model=simple_cnn", "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=3", "trainer.max_epochs=1",
    )  # fmt: skip
    for words in (("train", *settings, "hydra.run.dir=run"), ("evaluate", "checkpoint=run", "output=evaluated")):
        command = [sys.executable, "-m", f"src.{words[0]}", *words[1:]]
        subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=300, check=True)
    run, evaluated = RunFolder(tmp_path / "run"), json.loads((tmp_path / "evaluated" / "evaluate.json").read_text())
    assert len(run.predictions()) == 2
    assert run.predictions_file.read_bytes() == (tmp_path / "evaluated" / "predictions.csv").read_bytes()
    assert run.history()["val/accuracy"].tolist() == [run.metrics()["val/accuracy"]]
    for name, value in run.metrics().items():
        if name.startswith("test/"):
            assert evaluated[name] == pytest.approx(value, rel=0, abs=1e-6 if name == "test/loss" else 0)
