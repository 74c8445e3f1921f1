"""How the shortcuts of a CIFAR ResNet pad, as far as a file of weights tells, and what is said where it doesn't."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from src.errors import InputError
from src.networks import build_network
from src.networks.pretrained import describe_fit, fit_weights, read_weights
from src.training.transfer import as_begun, resolve_architecture


def network(name: str = "cifar_resnet20", **arguments: Any) -> nn.Module:
    return build_network(name, num_classes=10, image_size=32, **arguments)


def renamed(old: str = "fc.", new: str = "fc.", prefix: str = "module.") -> dict[str, Tensor]:
    return {prefix + name.replace(old, new): value for name, value in network().state_dict().items()}


def said(state: dict[str, Tensor], name: str = "cifar_resnet20", **arguments: Any) -> str:
    return describe_fit(fit_weights(network(name, **arguments), state, "FILE"), "FILE")


def test_names_that_tell_nothing_are_said_to_and_the_other_setting_is_named() -> None:
    assert "shortcuts have no weights" in said(renamed())
    assert "here behind the channels, model.shortcut_padding=both for the other" in said(renamed())
    assert "model.shortcut_padding=behind for the other" in said(renamed(), shortcut_padding="both")


@pytest.mark.parametrize("prefix", ["", "module.", "net.module."])
def test_the_head_of_the_most_used_ones_tells(prefix: str, tmp_path: Path) -> None:
    torch.save({"state_dict": renamed("fc.", "linear.", prefix)}, tmp_path / "x.th")
    state = read_weights(tmp_path / "x.th", "cifar_resnet20")
    model = {"name": "cifar_resnet20", "shortcut_padding": "auto", "weights": "x.th"}
    assert resolve_architecture(model, state)["shortcut_padding"] == "both"
    assert resolve_architecture(model | {"shortcut_padding": "behind"}, state)["shortcut_padding"] == "behind"
    assert "its shortcuts pad on both sides" in said(state, shortcut_padding="both")
    assert "here behind the channels: model.shortcut_padding=both is what it learned with" in said(state)
    assert "it learned with shortcuts" in said(state, "cifar_plain20")


def test_without_weights_and_where_nothing_tells_they_pad_as_in_the_paper() -> None:
    model = {"name": "cifar_resnet20", "shortcut_padding": "auto"}
    assert resolve_architecture(model, None)["shortcut_padding"] == "behind"
    assert resolve_architecture(model, renamed())["shortcut_padding"] == "behind"
    assert "shortcut_padding" not in resolve_architecture({"name": "cifar_plain20"}, renamed())


@pytest.mark.parametrize(("saved", "padding"), [({}, "behind"), ({"shortcut_padding": "both"}, "both")])
def test_a_checkpoint_of_ours_tells_in_silence(saved: dict[str, str], padding: str, tmp_path: Path) -> None:
    settings = {"architecture": {"name": "cifar_resnet20", **saved}, "class_names": list("abcdefghij")}
    torch.save({"hyper_parameters": settings, "state_dict": renamed(prefix="network.")}, tmp_path / "best.ckpt")
    state = read_weights(tmp_path / "best.ckpt", "cifar_resnet20")
    model = {"name": "cifar_resnet20", "shortcut_padding": "auto"}
    assert resolve_architecture(model, state)["shortcut_padding"] == padding
    assert "shortcut" not in said(state, shortcut_padding=padding)
    other = "both" if padding == "behind" else "behind"
    assert f"model.shortcut_padding={padding} is what it learned with" in said(state, shortcut_padding=other)


def test_a_plain_network_may_be_of_weights_that_learned_with_shortcuts(tmp_path: Path) -> None:
    assert "whether it learned with shortcuts" in said(renamed(), "cifar_plain20")
    torch.save(
        {"hyper_parameters": {"architecture": {"name": "cifar_plain20"}}, "state_dict": renamed(prefix="network.")},
        tmp_path / "best.ckpt",
    )
    state = read_weights(tmp_path / "best.ckpt")
    assert "shortcut" not in said(state, "cifar_plain20")
    assert "it learned without shortcuts" in said(state)


def test_a_run_goes_on_with_the_shortcuts_that_it_began_with(tmp_path: Path) -> None:
    """Also one from before the setting came, whose weights are recognised today."""
    model = {"name": "cifar_resnet20", "shortcut_padding": "auto"}
    for saved, padding in (({}, "behind"), ({"shortcut_padding": "both"}, "both")):
        content = {"hyper_parameters": {"architecture": {"name": "cifar_resnet20", **saved}}}
        torch.save(content, tmp_path / "last.ckpt")
        assert as_begun(model, tmp_path / "last.ckpt")["shortcut_padding"] == padding
    assert as_begun(model, None) == model
    assert as_begun({"name": "resnet18"}, tmp_path / "last.ckpt") == {"name": "resnet18"}


@pytest.mark.parametrize("depth", [20, 56])
@pytest.mark.parametrize("word", ["shortcut", "downsample"])
def test_shortcuts_with_weights_are_of_another_network(depth: int, word: str) -> None:
    """Option B adds so little that nearly all weights of the file fit."""
    state = network(f"cifar_resnet{depth}").state_dict()
    for layer, planes in ((2, 32), (3, 64)):
        state[f"layer{layer}.0.{word}.0.weight"] = torch.ones(planes, planes // 2, 1, 1)
        state |= {f"layer{layer}.0.{word}.1.{name}": torch.ones(planes) for name in ("weight", "bias")}
    for kind in ("resnet", "plain"):
        own = network(f"cifar_{kind}{depth}")
        with pytest.raises(InputError, match=rf"shortcuts have weights \(layer2.0.{word}.0.weight: option B"):
            fit_weights(own, state, "FILE")


def test_layers_that_a_network_does_not_compute_are_of_another_network() -> None:
    state = build_network("resnet18", num_classes=5).state_dict()
    state["layer4.1.se.fc1.weight"] = torch.ones(8, 512)
    with pytest.raises(InputError, match=r"with layers that resnet18 has not \(layer4.1.se.fc1.weight\)"):
        fit_weights(build_network("resnet18", num_classes=5), state, "FILE")
