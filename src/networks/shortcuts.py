"""The shortcuts of the CIFAR ResNets, which have no weights: how they pad, as far as a file of weights tells."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from .cifar_resnet import CifarResNet

SIDES = {"behind": "behind the channels", "both": "on both sides of the channels"}
OTHER = {"behind": "both", "both": "behind"}

HEAD = "linear"
"""The head of https://github.com/akamaster/pytorch_resnet_cifar10, of which most published weights of these networks
are, and of what was made of it; its shortcuts pad on both sides."""


class Shortcuts(NamedTuple):
    """How the shortcuts pad in the network that a file is of.

    Attributes:
        padding: `behind` or `both`; `none` of a plain network, which has no shortcuts.
        why: What tells it; empty where the file says it itself.
    """

    padding: str
    why: str = ""


def own_shortcuts(architecture: Mapping[str, Any]) -> Shortcuts | None:
    """Return those in a checkpoint of ours; None of other networks than those for CIFAR.

    Before the setting came they padded behind.
    """
    name = str(architecture.get("name"))
    if name.startswith("cifar_plain"):
        return Shortcuts("none")
    both = architecture.get("shortcut_padding") == "both"
    return Shortcuts("both" if both else "behind") if name.startswith("cifar_resnet") else None


def told_by_names(network: nn.Module, state: Mapping[str, Tensor], part: Mapping[str, Tensor]) -> Shortcuts | None:
    """Return what the names in a file tell; None where they tell nothing.

    Args:
        part: The network in `state`, by the names of ours.
    """
    head = part.get("fc.weight")
    if not isinstance(network, CifarResNet) or head is None:
        return None
    names = [name for name, tensor in state.items() if tensor is head]
    if all(name.split(".")[-2:] != [HEAD, "weight"] for name in names):
        return None
    return Shortcuts("both", f"its head is called {HEAD}, as in akamaster's pytorch_resnet_cifar10")


def say_shortcuts(network: nn.Module, told: Shortcuts | None) -> str:
    """Say in words what is not plain about the shortcuts of weights that `network` has taken; empty where all is."""
    if not isinstance(network, CifarResNet):
        return ""
    if network.kind == "plain":
        return _say_plain(str(getattr(network, "name", "")), told)
    here = network.shortcut_padding
    if told is None:
        return f"{cannot_be_told()}; here {SIDES[here]}, model.shortcut_padding={OTHER[here]} for the other"
    if told.padding == "none":
        return "it learned without shortcuts"
    if told.padding != here:
        reason = told.why or "as the checkpoint says"
        return (
            f"its shortcuts pad {SIDES[told.padding]} ({reason}), here {SIDES[here]}: model.shortcut_padding="
            f"{told.padding} is what it learned with"
        )
    return f"its shortcuts pad {SIDES[here]} ({told.why})" if told.why else ""


def _say_plain(name: str, told: Shortcuts | None) -> str:
    if told is None:
        residual = name.replace("plain", "resnet")
        return f"whether it learned with shortcuts, which have no weights, can't be told: take model={residual} if so"
    return "" if told.padding == "none" else f"it learned with shortcuts ({told.why or 'as the checkpoint says'})"


def cannot_be_told() -> str:
    return "its shortcuts have no weights, so that it can't be told apart whether they pad behind or on both sides"
