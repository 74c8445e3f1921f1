"""What is refused before a run begins: data, networks and machines that don't fit."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig
from PIL import Image

from src.analysis.calibration import log_losses
from src.errors import InputError
from src.runs.folder import RunFolder
from src.train import train
from src.training import session


def photos(folder: Path, **classes: int) -> Path:
    """A folder of class folders with so many small images each."""
    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for index in range(count):
            Image.new("RGB", (16, 16), (index, 100, 50)).save(folder / name / f"{index}.png")
    return folder


def refused(tmp_path: Path, cfg: DictConfig, *words: str) -> None:
    folder = tmp_path / "run"
    with pytest.raises(InputError) as error:
        train(cfg, folder)
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)
    assert not folder.exists()


def test_data_that_cannot_be_trained_on(tmp_path: Path, config: Callable[..., DictConfig]) -> None:
    def folder(root: Path) -> DictConfig:
        return config("data=folder", f"data.root='{root}'", "data.image_size=16")

    refused(tmp_path, folder(tmp_path / "nowhere"), "nowhere")
    hollow = photos(tmp_path / "hollow", cat=4, dog=4)
    (hollow / "bird").mkdir()
    (hollow / "worm").mkdir()
    refused(tmp_path, folder(hollow), "bird", "worm")
    refused(tmp_path, folder(photos(tmp_path / "single", cat=5)), "cat")
    photos(tmp_path / "lopsided" / "train", cat=4, dog=4)
    photos(tmp_path / "lopsided" / "val", cat=2, dgo=2)
    refused(tmp_path, folder(tmp_path / "lopsided"), "dgo")
    refused(tmp_path, config("data=mnist", f"data.root='{tmp_path / 'nothing'}'"), "nothing")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["trainer=gpu"], ["trainer.accelerator=gpu: torch finds no GPU"]),
        (["trainer.precision=17"], ["trainer:", "17"]),
        (["trainer.strategy=dpp"], ["trainer.strategy=dpp", "take auto or ddp"]),
        (["model.num_classes=7"], ["model.num_classes=7", "10 classes"]),
        (["data.num_classes=7"], ["data.num_classes=7", "10 classes"]),
        (["model.in_channels=3"], ["model.in_channels=3 and data.in_channels=1 differ"]),
        (["model.stem=imagenet", "model.stem_pool=true"], ["data.image_size=8 is too small for resnet18"]),
        (["callbacks.gradcam.layer=layer9"], ["layer9"]),
        (["+callbacks.canary._target_=os.getcwd"], ["_target_=os.getcwd is not allowed"]),
        (["+callbacks.gradcam.colour=red"], ["colour"]),
    ],
)
def test_settings_that_do_not_fit(
    tmp_path: Path,
    config: Callable[..., DictConfig],
    monkeypatch: pytest.MonkeyPatch,
    overrides: list[str],
    words: list[str],
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused(tmp_path, config(*overrides), *words)


def test_a_folder_with_a_run_is_refused(tmp_path: Path, config: Callable[..., DictConfig]) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.start(command="train", seed=1, hardware={})
    before = folder.record_file.read_text()
    with pytest.raises(InputError, match="holds a run already"):
        train(config(), folder.path)
    assert folder.record_file.read_text() == before


def test_all_probabilities_of_the_test_set_are_kept_when_asked_for(
    tmp_path: Path, config: Callable[..., DictConfig]
) -> None:
    words = ["model=simple_cnn", "model.width=4", "trainer=cpu", "trainer.precision=32-true", "trainer.max_epochs=1"]
    off = ["callbacks=none", "logger=none", "baseline=false", "cost=false"]
    metrics = train(config(*words, *off, "probabilities=true"), tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    kept = folder.probabilities()
    assert kept.paths == folder.predictions()["path"].tolist()
    assert log_losses(kept.logits, kept.targets).mean() == pytest.approx(metrics["test/loss"], rel=1e-5)
    assert (kept.probabilities.argmax(axis=1) == kept.targets).mean() == pytest.approx(metrics["test/accuracy"])


def test_a_run_that_another_machine_does_not_have_is_refused_there(tmp_path: Path) -> None:
    session._there(None)
    (tmp_path / "last.ckpt").touch()
    session._there(tmp_path / "last.ckpt")
    with pytest.raises(InputError, match="all machines need a disk that they share"):
        session._there(tmp_path / "gone.ckpt")
