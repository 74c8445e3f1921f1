"""Networks: one table from name to constructor and parts, used by the configuration and by every checkpoint."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any

from torch import nn

from ..errors import InputError
from .airbench import Airbench
from .cifar_resnet import DEPTHS, CifarResNet
from .convnext import build_convnext
from .densenet import build_densenet121
from .mini_resnet import MiniResNet
from .resnet import build_resnet
from .simple_cnn import SimpleCNN


@dataclass(frozen=True)
class Network:
    """A row of the table: how a network is built, and what its parts are called, as `named_modules` has them.

    Attributes:
        build: Takes `num_classes`, `in_channels`, `image_size` and the network's own settings, such as `width`.
        head: The linear layer that gives the logits, the only part that depends on the number of classes.
        first: The convolution that sees the image, the only part that depends on the number of channels.
        layers: From the image to the head, each a name or several with spaces between. Class activation maps choose
            among them; layer decay and sanity checks go through them. Empty stands for the direct children.
        pretrained: Whether torchvision has ImageNet weights for it, under the same name.
    """

    build: Callable[..., nn.Module]
    head: str = "fc"
    first: str = "conv1"
    layers: tuple[str, ...] = ()
    pretrained: bool = False


NETWORKS: dict[str, Network] = {
    "resnet18": Network(partial(build_resnet, "resnet18"), pretrained=True),
    "resnet34": Network(partial(build_resnet, "resnet34"), pretrained=True),
    "resnet50": Network(partial(build_resnet, "resnet50"), pretrained=True),
    "resnet101": Network(partial(build_resnet, "resnet101"), pretrained=True),
    "resnet152": Network(partial(build_resnet, "resnet152"), pretrained=True),
    "wide_resnet50_2": Network(partial(build_resnet, "wide_resnet50_2"), pretrained=True),
    "resnext50_32x4d": Network(partial(build_resnet, "resnext50_32x4d"), pretrained=True),
    "convnext_tiny": Network(
        partial(build_convnext, "convnext_tiny"),
        head="classifier.2",
        first="features.0.0",
        layers=(
            "features.0",
            "features.1",
            "features.2 features.3",
            "features.4 features.5",
            "features.6 features.7 classifier.0",
            "classifier.2",
        ),
        pretrained=True,
    ),
    "densenet121": Network(
        build_densenet121,
        head="classifier",
        first="features.conv0",
        layers=(
            "features.conv0 features.norm0",
            "features.denseblock1",
            "features.transition1 features.denseblock2",
            "features.transition2 features.denseblock3",
            "features.transition3 features.denseblock4 features.norm5",
            "classifier",
        ),
        pretrained=True,
    ),
    "airbench": Network(Airbench, layers=("conv1", "layer1", "layer2", "layer3", "fc")),
    "simple_cnn": Network(SimpleCNN, first="block1.conv"),
    "mini_resnet_basic_post": Network(partial(MiniResNet, "basic", "post")),
    "mini_resnet_bottleneck_post": Network(partial(MiniResNet, "bottleneck", "post")),
    "mini_resnet_basic_pre": Network(partial(MiniResNet, "basic", "pre")),
    "mini_resnet_bottleneck_pre": Network(partial(MiniResNet, "bottleneck", "pre")),
    **{f"cifar_resnet{depth}": Network(partial(CifarResNet, "resnet", depth)) for depth in DEPTHS},
    **{f"cifar_plain{depth}": Network(partial(CifarResNet, "plain", depth)) for depth in DEPTHS},
}

FOREIGN = Network(nn.Module)
"""The row of a network that isn't in the table: its layers are its direct children."""


def architecture(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `build_network` takes of a configuration's model group: all but `weights`, `head` and `freeze`."""
    return {key: value for key, value in model.items() if key not in ("weights", "head", "freeze")}


def build_network(
    name: str, *, num_classes: int, in_channels: int = 3, image_size: int = 224, **arguments: Any
) -> nn.Module:
    """Build the network of that name, (N, C, H, W) -> logits (N, classes), with weights from torch's global generator.

    Args:
        arguments: The network's own settings, such as `stem` of a ResNet or `width` of simple_cnn.

    Raises:
        InputError: The name or an argument is unknown, there are fewer than two classes or no channels, or the image is
            too small for the network.
    """
    if name not in NETWORKS:
        near = get_close_matches(name, NETWORKS, n=3, cutoff=0.4) or sorted(NETWORKS)
        raise InputError(f"model {name!r} is unknown; nearest: {', '.join(near)}")
    if num_classes < 2:
        raise InputError(f"num_classes={num_classes}: a classifier needs at least 2")
    if in_channels < 1:
        raise InputError(f"in_channels={in_channels}: an image has at least 1")
    try:
        network = NETWORKS[name].build(
            num_classes=num_classes, in_channels=in_channels, image_size=image_size, **arguments
        )
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        unknown = str(error).rsplit("argument ", 1)[1].split(".")[0]
        raise InputError(f"model {name} has no setting {unknown}; it got {', '.join(sorted(arguments))}") from None
    vars(network)["name"] = name  # for `row_of`; copies keep it
    vars(network)["fixed"] = {key for key, weight in network.named_parameters() if not weight.requires_grad}
    return network


def row_of(network: nn.Module) -> Network:
    """Return the row of the table that `network` was built from, or `FOREIGN`."""
    return NETWORKS.get(getattr(network, "name", ""), FOREIGN)


def fixed_weights(network: nn.Module) -> set[str]:
    """Return the names of the weights that are never trained, whatever is frozen or thaws; most networks have none."""
    names: set[str] = getattr(network, "fixed", set())
    return names


def layers_of(network: nn.Module) -> list[list[str]]:
    """Return the names of the modules in each layer, from the image to the head."""
    layers = row_of(network).layers or [name for name, _ in network.named_children()]
    return [layer.split() for layer in layers]
