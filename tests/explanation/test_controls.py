"""Controls of a run, in real trainings of a few seconds."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from src.data import ImageDataModule
from src.errors import InputError
from src.explanation.controls import cost_of, shuffled_settings, train_shuffled
from src.runs.folder import RunFolder
from src.training.assemble import to_dict
from src.training.classifier import ImageClassifier


@pytest.fixture
def run(tmp_path: Path, config: Callable[..., DictConfig]) -> RunFolder:
    """The record of a run on digits, as Hydra leaves it: with a sweep's name that nobody can resolve any more."""
    folder = RunFolder(tmp_path / "run")
    cfg = config(
        *("model=simple_cnn", "trainer=cpu", "trainer.max_epochs=3", "data.batch_size=10", "seed=4"),
        *("callbacks=early_stopping", "data.augment={shift:1}", "trainer.limit_train_batches=2"),
    )
    cfg.sweep = "${now:%Y-%m-%d}"
    folder.keep_settings(OmegaConf.to_yaml(cfg))
    return folder


def test_the_network_learns_shuffled_labels_by_heart_and_nothing_of_the_true_ones(
    run: RunFolder, tmp_path: Path
) -> None:
    checkpoint = train_shuffled(run, tmp_path / "control", epochs=25, images=60)
    assert checkpoint == tmp_path / "control" / "checkpoints" / "last.ckpt"
    assert torch.load(checkpoint, weights_only=True)["epoch"] == 24

    module = ImageClassifier.load_from_checkpoint(checkpoint, map_location="cpu").eval()
    assert module.hparams["architecture"]["name"] == "simple_cnn"

    def accuracy(split: str, *, shuffled: bool) -> float:
        settings = to_dict(OmegaConf.load(run.hydra / "config.yaml").data)
        data = ImageDataModule(**settings | {"max_images": 60, "shuffle_labels": shuffled}, seed=4)
        data.setup()
        with torch.inference_mode():
            images, targets = zip(*data.evaluation_dataloader(split), strict=True)
            predicted = module(torch.cat(images)).argmax(dim=1)
        return float((predicted == torch.cat(targets)).float().mean())

    assert accuracy("train", shuffled=True) > 0.9
    assert accuracy("train", shuffled=False) < 0.3
    assert accuracy("test", shuffled=False) < 0.3
    assert RunFolder(tmp_path / "control").history()["train/accuracy"].iloc[-1] > 0.8

    before = checkpoint.stat().st_mtime_ns
    assert train_shuffled(run, tmp_path / "control", epochs=25, images=60) == checkpoint
    assert checkpoint.stat().st_mtime_ns == before, "a whole one is taken as it is"
    with pytest.raises(InputError, match=r"control holds another training: name another folder, or remove it$"):
        train_shuffled(run, tmp_path / "control", epochs=25, images=61)


def test_what_it_costs_is_said_before_it_begins(
    run: RunFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert cost_of(run, 50, 400) == "50 epochs of 400 images"  # nothing is known of its speed and size
    run.write_metrics({"images_per_second": 100.0})
    run.checkpoints.mkdir()
    run.best_checkpoint.write_bytes(bytes(45_000_000))
    assert cost_of(run, 50, 400) == "50 epochs of 400 images, about 3 min 20 s and 90 MB of disk"
    caplog.set_level(logging.INFO, "src")
    train_shuffled(run, tmp_path / "control", epochs=1, images=20)
    said = [message for message in caplog.messages if message.strip()]
    assert said[0] == f"training a control, simple_cnn on shuffled labels, in {tmp_path}/control"
    assert not any("TensorBoard" in line for line in said)  # which a control has nothing for
    assert said[1] == "1 epochs of 20 images, about 0.2 s and 90 MB of disk; shuffled=null does without"


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")  # as it is meant to be
def test_an_interrupted_control_is_gone_on_with(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the command that was typed, which is explain's."""
    monkeypatch.setattr("sys.orig_argv", ["python", "-m", "src.explain", "checkpoint=my run", "faithfulness=true"])

    def epochs() -> list[int]:
        return RunFolder(tmp_path / "control").history()["epoch"].tolist()

    with monkeypatch.context() as patch:
        patch.setattr("src.callbacks.history.epoch_line", interrupt_at(2))
        with pytest.raises(KeyboardInterrupt):
            train_shuffled(run, tmp_path / "control", epochs=3, images=40)
    assert epochs() == [1, 2]
    assert capsys.readouterr().err == (
        "interrupted: python -m src.explain 'checkpoint=my run' faithfulness=true goes on\n"
    )
    assert RunFolder(tmp_path / "control").status == "interrupted"
    checkpoint = train_shuffled(run, tmp_path / "control", epochs=3, images=40)
    assert epochs() == [1, 2, 3]
    assert torch.load(checkpoint, weights_only=True)["epoch"] == 2


def interrupt_at(epoch: int) -> Callable[..., str]:
    def line(row: dict[str, float], *_: object) -> str:
        if row["epoch"] == epoch:
            raise KeyboardInterrupt
        return ""

    return line


def test_only_what_a_control_needs_differs_from_the_run(run: RunFolder) -> None:
    own, control = OmegaConf.load(run.hydra / "config.yaml"), shuffled_settings(run, epochs=20, images=1000)
    for group in ("model", "optimizer", "scheduler", "seed", "label_smoothing"):
        assert control[group] == own[group]
    assert (control.data.shuffle_labels, control.data.augment, control.data.max_images) == (True, None, 1000)
    assert dict(control.callbacks) == {}
    assert [control[part] for part in ("baseline", "test", "cost")] == [False] * 3
    assert control.trainer.max_epochs == 20
    own.data.max_images = 50
    (run.hydra / "config.yaml").write_text(OmegaConf.to_yaml(own))
    assert shuffled_settings(run, epochs=20, images=1000).data.max_images == 50


def test_a_run_without_its_configuration(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config.yaml is missing"):
        train_shuffled(RunFolder(tmp_path), tmp_path / "control")
    assert not list(tmp_path.iterdir())
