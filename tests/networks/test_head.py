"""The head in a network for other classes: rows by name, in the file's own order, or anew."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor, nn

from src.networks import build_network
from src.networks.pretrained import describe_fit, fit_weights
from src.networks.weights_file import read_weights
from src.runs.folder import RunFolder
from src.train import train

Config = Callable[..., DictConfig]


def network(classes: int) -> nn.Module:
    return build_network("simple_cnn", num_classes=classes, image_size=16)


def ours(folder: Path, *class_names: object) -> tuple[Path, nn.Module]:
    """A checkpoint of ours, and the network in it; the head's row of class i is all i + 1."""
    trained = network(len(class_names))
    with torch.no_grad():
        for number in range(len(class_names)):
            trained.fc.weight[number] = trained.fc.bias[number] = number + 1  # type: ignore[index,union-attr,operator]
    state = {f"network.{name}": value for name, value in trained.state_dict().items()}
    settings = {"architecture": {"name": "simple_cnn"}, "class_names": list(class_names)}
    torch.save({"hyper_parameters": settings, "state_dict": state}, folder / "best.ckpt")
    return folder / "best.ckpt", trained


def rows(network: nn.Module) -> list[float]:
    return network.fc.bias.tolist()  # type: ignore[union-attr,operator,no-any-return]


def test_classes_in_another_order_are_put_in_order(tmp_path: Path) -> None:
    path, trained = ours(tmp_path, "cat", "dog", "horse")
    other = network(3)
    fit = fit_weights(other, read_weights(path, "simple_cnn"), "FILE", class_names=["horse", "cat", "dog"])
    assert rows(other) == [3, 1, 2]
    images = torch.randn(4, 3, 16, 16)
    torch.testing.assert_close(other.eval()(images), trained.eval()(images)[:, [2, 0, 1]])
    assert describe_fit(fit, "FILE").endswith("from FILE; its head: 3 of 3 classes by name")


def test_classes_that_both_know_keep_their_rows_and_others_are_new(tmp_path: Path) -> None:
    path, _ = ours(tmp_path, "cat", "dog", "horse")
    other = network(4)
    fresh = rows(other)
    fit = fit_weights(other, read_weights(path), "FILE", class_names=["ape", "dog", "bee", "cat"])
    assert rows(other) == [fresh[0], 2, fresh[2], 1]
    assert fit.replaced == []
    assert "its head: 2 of 4 classes by name (dog, cat), made anew: ape, bee" in describe_fit(fit, "FILE")


def test_other_classes_of_the_same_number_get_a_new_head(tmp_path: Path) -> None:
    path, _ = ours(tmp_path, "cats", "dogs")
    other = network(2)
    fresh = {name: value.clone() for name, value in other.fc.state_dict().items()}  # type: ignore[union-attr,operator]
    fit = fit_weights(other, read_weights(path), "FILE", class_names=["canine", "feline"])
    assert all(torch.equal(value, fresh[name]) for name, value in other.fc.state_dict().items())  # type: ignore[union-attr,operator]
    line = describe_fit(fit, "FILE")
    assert "made anew: fc, since its classes (cats, dogs) are others (canine, feline)" in line
    assert "18 tensors" not in line.replace(f"{len(fit.loaded)} tensors", "")
    assert not any(name.startswith("fc.") for name in fit.loaded)


@pytest.mark.parametrize("classes", [("a", "a"), (1, 2), ("a",), "ab"])
def test_names_that_name_no_rows_are_none(classes: object, tmp_path: Path) -> None:
    state = {f"network.{name}": value for name, value in network(2).state_dict().items()}
    settings = {"architecture": {"name": "simple_cnn"}, "class_names": classes}
    torch.save({"hyper_parameters": settings, "state_dict": state}, tmp_path / "x.ckpt")
    fit = fit_weights(network(2), read_weights(tmp_path / "x.ckpt"), "FILE", class_names=["a", "b"])
    assert fit.head.startswith("its head is taken in its own order of 2 classes")


def test_a_foreign_head_is_taken_in_its_order_and_that_is_said(tmp_path: Path) -> None:
    theirs = network(2)
    torch.save(theirs.state_dict(), tmp_path / "x.pth")
    other = network(2)
    fit = fit_weights(other, read_weights(tmp_path / "x.pth"), "FILE", class_names=["a", "b"])
    assert rows(other) == rows(theirs)
    assert "its head is taken in its own order of 2 classes (head=new makes it anew)" in describe_fit(fit, "FILE")


def test_a_new_head_is_new_whoever_wrote_the_file(tmp_path: Path) -> None:
    path, trained = ours(tmp_path, "a", "b")
    for state in (read_weights(path), trained.state_dict()):
        other = network(2)
        fresh = rows(other)
        fit = fit_weights(other, state, "FILE", class_names=["a", "b"], head="new")
        assert rows(other) == fresh
        assert "made anew: fc (head=new)" in describe_fit(fit, "FILE")


def test_control_characters_of_a_stranger_s_names_are_not_printed(tmp_path: Path) -> None:
    path, _ = ours(tmp_path, "\x1b[2Jcat", "dog\n" * 99)
    fit = fit_weights(network(2), read_weights(path), "FILE", class_names=["a", "b"])
    assert "\x1b" not in fit.head
    assert "\n" not in fit.head
    assert len(fit.head) < 200


@pytest.mark.parametrize("bias", [torch.tensor(1.0), torch.ones(3), torch.ones(2, 2)])
def test_a_head_without_a_fitting_bias_keeps_the_fresh_one(bias: Tensor) -> None:
    other = network(2)
    fit = fit_weights(other, network(2).state_dict() | {"fc.bias": bias}, "FILE")
    assert "fc.weight" in fit.loaded
    assert [name.partition(" ")[0] for name in fit.replaced] == ["fc.bias"]


def pictures(root: Path, *names: str) -> Path:
    generator = np.random.default_rng(0)
    for name in names:
        (root / name).mkdir(parents=True)
        for number in range(20):
            pixels = generator.integers(0, 60, (16, 16, 3))
            pixels[..., 0 if "red" in name else 2] += 150
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{number}.png")
    return root


def test_a_run_begins_with_the_rows_of_its_classes(
    tmp_path: Path, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    """Folders are sorted by name: blue, red become a_green, blue, red."""
    quick = ("model=simple_cnn", "data=folder", "data.image_size=16", "data.augment=null", "trainer=cpu")
    quick += ("callbacks=none", "logger=none", "cost=false", "trainer.precision=32-true", "trainer.max_epochs=1")
    one, two = pictures(tmp_path / "one", "blue", "red"), pictures(tmp_path / "two", "a_green", "blue", "red")
    caplog.set_level(logging.INFO, "src")
    train(config(*quick, f"data.root={one}"), tmp_path / "first")
    for weights in (tmp_path / "first", RunFolder(tmp_path / "first").best_checkpoint):
        train(config(*quick, f"data.root={two}", f"weights={weights}"), tmp_path / f"from {weights.name}")
        assert "; its head: 2 of 3 classes by name (blue, red), made anew: a_green" in caplog.text
        caplog.clear()
    train(config(*quick, f"data.root={one}", f"weights={weights}", "head=new"), tmp_path / "new")
    assert "; made anew: fc (head=new)" in caplog.text
