"""Every network and every option of a training: it learns, is explained, and comes back from its checkpoint alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig

from src.data import ImageDataModule
from src.networks import NETWORKS, build_network
from src.runs.folder import RunFolder
from src.train import train
from src.training.assemble import to_dict
from src.training.classifier import ImageClassifier

Config = Callable[..., DictConfig]
QUICK = (
    "trainer=cpu", "trainer.precision=32-true", "trainer.max_epochs=1", "trainer.limit_train_batches=4",
    "callbacks.gradcam.images=3",
    "data.image_size=16", "data.batch_size=32", "logger=none", "baseline=false", "cost=false",
)  # fmt: skip

SLOW = (
    "resn",
    "wide",
    "convnext",
    "densenet",
    *(f"cifar_{kind}{depth}" for kind in ("resnet", "plain") for depth in (1, 4, 5)),
)
SMALL_NETWORKS = [name for name in NETWORKS if not name.startswith(SLOW)]


def check(run: RunFolder, cfg: DictConfig) -> None:
    """The maps are there and say something, and the checkpoint alone predicts what the run did."""
    with np.load(run.gradcam / "epoch_001.npz") as arrays:
        assert arrays["maps"].shape[0] == 3
        assert np.isfinite(arrays["maps"]).all()
        assert np.abs(arrays["maps"]).max() > 0
    history = run.history()
    assert np.isfinite(history["train/loss"]).all()
    module = ImageClassifier.load_from_checkpoint(run.best_checkpoint, map_location="cpu").eval()
    data = ImageDataModule(**to_dict(cfg)["data"], seed=cfg.seed)
    data.setup()
    with torch.inference_mode():
        logits = torch.cat([module(images) for images, _ in data.test_dataloader()])
    confidence, predicted = logits.softmax(dim=1).max(dim=1)
    predictions = run.predictions()
    assert predictions.path.tolist() == data.paths("test")
    np.testing.assert_allclose(confidence, predictions.confidence, atol=1e-4)
    agreed = np.array([module.class_names[i] for i in predicted]) == predictions.predicted.astype(str)
    assert agreed.all()


@pytest.mark.parametrize("name", SMALL_NETWORKS)
def test_a_network_is_trained_explained_and_kept(tmp_path: Path, config: Config, name: str) -> None:
    cfg = config(*QUICK, f"model={name}")
    train(cfg, tmp_path / "run")
    check(RunFolder(tmp_path / "run"), cfg)


@pytest.mark.parametrize("options", [("freeze=backbone",), ("freeze=1", "optimizer.layer_decay=0.5")], ids=" ".join)
def test_a_resnet_is_fine_tuned_explained_and_kept(tmp_path: Path, config: Config, options: tuple[str, ...]) -> None:
    torch.save(build_network("resnet18", num_classes=4, image_size=16).state_dict(), tmp_path / "colour.pth")
    cfg = config(*QUICK, f"weights={tmp_path / 'colour.pth'}", "trainer.max_epochs=2", *options)
    train(cfg, tmp_path / "run")
    check(RunFolder(tmp_path / "run"), cfg)


@pytest.mark.parametrize(
    "options",
    [
        ("weights", "freeze=backbone"),
        ("weights", "freeze=backbone", "data.cache_features=false"),
        ("weights", "freeze=1", "trainer.max_epochs=2"),
        ("weights", "optimizer.layer_decay=0.5", "scheduler=onecycle"),
        ("data.imbalance=10", "data.balance=loss"),
        ("data.imbalance=10", "data.balance=sampler", "optimizer=adamw"),
        ("data.train_fraction=0.1",),
        ("data.max_images=64",),
    ],
    ids=" ".join,
)
def test_an_option_is_trained_explained_and_kept(tmp_path: Path, config: Config, options: tuple[str, ...]) -> None:
    torch.save(build_network("simple_cnn", num_classes=4, image_size=16).state_dict(), tmp_path / "colour.pth")
    chosen = [f"weights={tmp_path / 'colour.pth'}" if option == "weights" else option for option in options]
    cfg = config(*QUICK, "model=simple_cnn", *chosen)
    metrics = train(cfg, tmp_path / "run")
    check(RunFolder(tmp_path / "run"), cfg)
    assert metrics["epochs"] == cfg.trainer.max_epochs
