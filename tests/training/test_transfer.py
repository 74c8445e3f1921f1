"""Pretrained weights in a training: what is frozen stays, features computed once give the same, classes are weighed."""

from collections.abc import Callable
from pathlib import Path
from unittest.mock import MagicMock, Mock

import pandas as pd
import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor

from src.errors import InputError
from src.networks import build_network
from src.runs.folder import RunFolder
from src.train import train
from src.training.classifier import ImageClassifier
from src.training.transfer import features_stay_the_same, read_pretrained

Config = Callable[..., DictConfig]
QUICK = ("model=simple_cnn", "trainer=cpu", "trainer.precision=32-true", "callbacks=none", "logger=none", "cost=false")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a simple_cnn for 7 classes, with batch norm statistics of its own."""
    torch.manual_seed(5)
    network = build_network("simple_cnn", num_classes=7, in_channels=1, image_size=8)
    with torch.no_grad():
        for _ in range(20):
            network(torch.randn(64, 1, 8, 8))
    path = tmp_path_factory.mktemp("weights") / "simple.pth"
    torch.save(network.state_dict(), path)
    return path


def backbone(state: dict[str, Tensor]) -> dict[str, Tensor]:
    names = {name.removeprefix("network."): value for name, value in state.items()}
    return {name: value for name, value in names.items() if not name.startswith("fc.")}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def saved(run: Path) -> dict[str, Tensor]:
    return backbone(torch.load(RunFolder(run).last_checkpoint, weights_only=True)["state_dict"])


@pytest.mark.parametrize("cached", ["auto", "false"])
def test_a_frozen_backbone_stays_as_it_was_to_the_bit(file: Path, tmp_path: Path, config: Config, cached: str) -> None:
    """Weights and batch norm statistics, whether its features are kept or computed anew."""
    options = (f"weights={file}", "freeze=backbone", f"data.cache_features={cached}", "trainer.max_epochs=2")
    metrics = train(config(*QUICK, *options), tmp_path / "run")
    assert same(saved(tmp_path / "run"), backbone(torch.load(file, weights_only=True)))
    assert metrics["test/accuracy"] > metrics["baseline/accuracy"] + 0.2  # the head has learned


@pytest.mark.parametrize(("model", "offered"), [("simple_cnn", False), ("resnet18", True)])
def test_frozen_random_weights_are_named_with_weights_that_exist(
    model: str, offered: bool, config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = (*QUICK[1:], f"model={model}", "freeze=1", "data.max_images=20", "trainer.max_epochs=2", "baseline=false")
    train(config(*words), tmp_path / "run")
    (said,) = [text for text in caplog.messages if "keeps random weights" in text]
    assert ("weights=imagenet" in said) == offered
    assert "weights=FILE" in said


def test_a_backbone_thaws_after_its_epochs(file: Path, tmp_path: Path, config: Config) -> None:
    before = backbone(torch.load(file, weights_only=True))
    for epochs, frozen in ((1, True), (2, False)):
        run = tmp_path / str(epochs)
        train(config(*QUICK, f"weights={file}", "freeze=1", f"trainer.max_epochs={epochs}"), run)
        assert same(saved(run), before) is frozen
    changed = {name for name, value in saved(tmp_path / "2").items() if not torch.equal(value, before[name])}
    assert changed == before.keys()  # all weights, and all statistics of batch norm


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_features_are_kept_in_any_number_format(file: Path, tmp_path: Path, config: Config, precision: str) -> None:
    options = (f"weights={file}", "freeze=backbone", f"trainer.precision={precision}", "trainer.max_epochs=2")
    for baseline in ("true", "false"):
        metrics = train(config(*QUICK, *options, f"baseline={baseline}"), tmp_path / baseline)
        assert metrics["test/accuracy"] > 0.3


def test_features_computed_once_give_the_same_network(file: Path, tmp_path: Path, config: Config) -> None:
    runs = {}
    for cached in ("true", "false"):
        options = (f"weights={file}", "freeze=backbone", f"data.cache_features={cached}", "trainer.max_epochs=3")
        train(config(*QUICK, *options), tmp_path / cached)
        runs[cached] = pd.read_csv(RunFolder(tmp_path / cached).history_file)
    columns = [name for name in runs["true"] if "/" in name]
    pd.testing.assert_frame_equal(runs["true"][columns], runs["false"][columns], rtol=1e-3, atol=2e-3)


def test_kept_features_are_what_the_loaders_hand_out(file: Path, tmp_path: Path, config: Config) -> None:
    from src.training.assemble import assemble
    from src.training.session import keep_features

    cfg = config(*QUICK, f"weights={file}", "freeze=backbone", "data.balance=sampler", "data.imbalance=5")
    parts = assemble(cfg, RunFolder(tmp_path / "run"))
    assert parts.caches_features
    keep_features(parts)
    network = parts.module.eval()
    by_image = {
        split: dict(zip(parts.data.paths(split), parts.data.features[split], strict=True)) for split in ("train", "val")
    }
    images, _, paths = parts.data.sample("train", 20)
    with torch.inference_mode():
        wanted = network.features(images)
        torch.testing.assert_close(network(wanted.clone()), network(images))
    torch.testing.assert_close(torch.stack([by_image["train"][path] for path in paths]), wanted)
    features, targets = next(iter(parts.data.train_dataloader()))
    assert features.shape == (64, 128)
    assert targets.bincount(minlength=10).tolist().count(0) == 0  # the sampler's even draws, of features
    assert not features.requires_grad
    assert not features.is_inference()
    images, _ = next(iter(parts.data.evaluation_dataloader("test")))
    assert images.shape[1:] == (1, 8, 8)


@pytest.mark.parametrize(
    ("settings", "right"),
    [
        ({"freeze": "backbone", "changed": [], "processes": 1}, True),
        ({"freeze": "backbone", "changed": ["data.augment=null"], "processes": 1}, False),
        ({"freeze": "none", "changed": [], "processes": 1}, False),
        ({"freeze": 3, "changed": [], "processes": 1}, False),
        ({"freeze": "backbone", "changed": [], "processes": 2}, False),
    ],
)
def test_features_are_kept_where_that_is_right_only(settings: dict[str, object], right: bool) -> None:
    assert features_stay_the_same("auto", **settings) is right  # type: ignore[arg-type]
    assert features_stay_the_same(False, **settings) is False  # type: ignore[arg-type]
    if not right:
        with pytest.raises(InputError, match="cache_features=true needs features that stay the same: say "):
            features_stay_the_same(True, **settings)  # type: ignore[arg-type]


def test_a_training_on_a_few_batches_does_not_look_at_all_images() -> None:
    settings = {"freeze": "backbone", "changed": [], "processes": 1, "limited": True}
    assert features_stay_the_same("auto", **settings) is False  # type: ignore[arg-type]
    assert features_stay_the_same(True, **settings) is True  # type: ignore[arg-type]


def test_the_checkpoint_of_a_run_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "mine.ckpt").write_bytes(b"mine")
    (tmp_path / "run" / "checkpoints" / "best.ckpt").symlink_to(tmp_path / "mine.ckpt")
    with pytest.raises(InputError, match=r"best\.ckpt is a link"):
        read_pretrained(str(tmp_path / "run"), "resnet18")


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is a folder without checkpoints/best\.ckpt: name a run or a file"):
        read_pretrained(str(tmp_path), "resnet18")


def test_cost_json_has_the_speed_of_the_network_and_not_that_of_its_head(
    file: Path, tmp_path: Path, config: Config
) -> None:
    speeds = {}
    for cached in ("true", "false"):
        options = ("freeze=backbone", f"data.cache_features={cached}", "trainer.max_epochs=1", "cost=true")
        train(config(*QUICK, f"weights={file}", *options), tmp_path / cached)
        speeds[cached] = RunFolder(tmp_path / cached).cost()["training_images_per_second"]
    assert speeds["true"] < 5 * speeds["false"]


def test_thawing_needs_one_process() -> None:
    with pytest.raises(InputError, match=r"freeze=2 needs a single process: take freeze=backbone"):
        features_stay_the_same("auto", freeze=2, changed=["data.augment=null"], processes=2)


def test_keeping_features_of_a_network_that_learns_is_refused(tmp_path: Path, config: Config) -> None:
    with pytest.raises(InputError, match="say freeze=backbone"):
        train(config(*QUICK, "data.cache_features=true"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def classifier(**arguments: object) -> ImageClassifier:
    return ImageClassifier(
        architecture={"name": "simple_cnn", "num_classes": 3, "in_channels": 1, "image_size": 8},
        class_names=["a", "b", "c"],
        preprocessing={"mean": [0.5], "std": [0.5]},
        optimizer={"name": "sgd", "lr": 0.1, "weight_decay": 0.0},
        scheduler={"name": "constant"},
        **arguments,  # type: ignore[arg-type]
    )


def test_the_modes_of_a_frozen_backbone_withstand_train() -> None:
    module = classifier(freeze="backbone").train()
    norms = [m for m in module.network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) == 3
    assert not any(norm.training for norm in norms)
    assert module.network.fc.training  # type: ignore[union-attr]
    trainable = {name for name, parameter in module.network.named_parameters() if parameter.requires_grad}
    assert trainable == {"fc.weight", "fc.bias"}
    assert all(m.training for m in classifier(freeze="none").train().modules())


def test_the_loss_is_weighed_by_the_true_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """L = Σ w_y · −log p_y / Σ w_y, in training alone."""
    torch.manual_seed(0)
    module = classifier(class_weights=[0.5, 1.0, 3.0]).eval()
    monkeypatch.setattr(module, "log", Mock())
    monkeypatch.setattr(module, "_measure", Mock())
    module._trainer = MagicMock()
    images, targets = torch.randint(0, 256, (6, 1, 8, 8), dtype=torch.uint8), torch.tensor([0, 0, 0, 1, 2, 2])
    each = -module(images).log_softmax(1)[range(6), targets]
    weights = torch.tensor([0.5, 0.5, 0.5, 1.0, 3.0, 3.0])
    loss = module.training_step((images, targets), 0)["loss"]
    torch.testing.assert_close(loss, (weights * each).sum() / weights.sum())
    module.validation_step((images, targets), 0)
    split, *_, loss = module._measure.call_args.args  # type: ignore[attr-defined]
    assert split == "val"
    torch.testing.assert_close(loss, each.mean())


def test_a_file_with_another_stem_decides_the_stem(tmp_path: Path, config: Config) -> None:
    """`stem=auto` follows conv1 of the file, at a size where it would else take the small stem."""
    from src.training.assemble import assemble

    torch.manual_seed(0)
    torch.save(build_network("resnet18", num_classes=3, image_size=224).state_dict(), tmp_path / "big.pth")
    overrides = ("model=resnet18", "trainer=cpu", "data.image_size=32", "callbacks=none", "logger=none", "cost=false")
    parts = assemble(config(*overrides, f"weights={tmp_path / 'big.pth'}"), RunFolder(tmp_path / "run"))
    assert parts.module.network.conv1.kernel_size == (7, 7)  # type: ignore[union-attr]
    assert parts.module.hparams["architecture"]["stem"] == "imagenet"
    assert parts.fit is not None
    assert parts.fit.adapted == ["conv1.weight"]
    small = assemble(config(*overrides), RunFolder(tmp_path / "run"))
    assert small.module.network.conv1.kernel_size == (3, 3)  # type: ignore[union-attr]


def test_a_run_can_be_the_weights_of_the_next(tmp_path: Path, config: Config) -> None:
    train(config(*QUICK, "trainer.max_epochs=1"), tmp_path / "first")
    metrics = train(config(*QUICK, "trainer.max_epochs=1", f"weights={tmp_path / 'first'}"), tmp_path / "second")
    first = RunFolder(tmp_path / "first").metrics()
    assert metrics["baseline/loss"] == pytest.approx(first["test/loss"], rel=1e-5)


@pytest.mark.parametrize("content", [b"", b"no weights at all" * 99])
def test_a_damaged_file_ends_before_anything_is_begun(tmp_path: Path, config: Config, content: bytes) -> None:
    (tmp_path / "bad.pth").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.pth"):
        train(config(*QUICK, f"weights={tmp_path / 'bad.pth'}"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
