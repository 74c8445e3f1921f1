"""Networks: one table from name to constructor, used by the configuration and by every checkpoint."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial
from typing import Any

from torch import nn

from ..errors import InputError
from . import resnet
from .cifar_resnet import DEPTHS, CifarResNet
from .mini_resnet import MiniResNet
from .simple_cnn import SimpleCNN

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "resnet18": resnet.resnet18,
    "resnet34": resnet.resnet34,
    "resnet50": resnet.resnet50,
    "resnet101": resnet.resnet101,
    "resnet152": resnet.resnet152,
    "simple_cnn": SimpleCNN,
    "mini_resnet_basic_post": partial(MiniResNet, "basic", "post"),
    "mini_resnet_bottleneck_post": partial(MiniResNet, "bottleneck", "post"),
    "mini_resnet_basic_pre": partial(MiniResNet, "basic", "pre"),
    "mini_resnet_bottleneck_pre": partial(MiniResNet, "bottleneck", "pre"),
    **{f"cifar_resnet{depth}": partial(CifarResNet, "resnet", depth) for depth in DEPTHS},
    **{f"cifar_plain{depth}": partial(CifarResNet, "plain", depth) for depth in DEPTHS},
}
"""Every one ends in a linear layer called `fc`: its head, the only part that depends on the number of classes."""


def architecture(model: Mapping[str, Any]) -> dict[str, Any]:
    """Of a configuration's model group what `build_network` takes: not where weights come from and which are frozen."""
    return {key: value for key, value in model.items() if key not in ("weights", "freeze")}


def build_network(
    name: str, *, num_classes: int, in_channels: int = 3, image_size: int = 224, **arguments: Any
) -> nn.Module:
    """The network of that name, with fresh weights from torch's global generator: (N, C, H, W) -> logits (N, classes).

    `arguments` are the network's own, such as `stem` of a ResNet or `width` of simple_cnn. Raises `InputError` for an
    unknown name or argument, fewer than two classes, no channels, or an image too small for the network.
    """
    if name not in NETWORKS:
        near = get_close_matches(name, NETWORKS, n=3, cutoff=0.4) or sorted(NETWORKS)
        raise InputError(f"model {name!r} is unknown; nearest: {', '.join(near)}")
    if num_classes < 2:
        raise InputError(f"num_classes={num_classes}: a classifier needs at least 2")
    if in_channels < 1:
        raise InputError(f"in_channels={in_channels}: an image has at least 1")
    try:
        return NETWORKS[name](num_classes=num_classes, in_channels=in_channels, image_size=image_size, **arguments)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        unknown = str(error).rsplit("argument ", 1)[1].split(".")[0]
        raise InputError(f"model {name} has no setting {unknown}; it got {', '.join(sorted(arguments))}") from None
