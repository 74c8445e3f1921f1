"""A head under another name: beside the network's layers, or beside the network itself."""

import re
from collections.abc import Mapping

from torch import Tensor

from . import Network

HEADS = re.compile(r"(fc|linear|last_linear|classifier|head|head\.fc|classifier\.1)\.(weight|bias)")
"""What others call the last linear layer."""


def find_head(
    prefix: str, tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], row: Network, state: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the head of the network that lies under `prefix` in `state`, by our names; empty if none can be told.

    It is the one layer with a head's name, or whatever its name, as in `nn.Sequential(backbone, nn.Linear(512, 5))`,
    the only layer, with weight and bias, that the file has besides the network's.

    Args:
        tensors: What lies under the prefix, by our names.
        own: The network's tensors.
    """
    weight = f"{row.head}.weight"
    if weight in tensors or weight not in own:
        return {}
    width = own[weight].shape[1]
    inner = prefix
    for place in (prefix, _above(prefix)):
        names = [name for name in state if name.startswith(place) and HEADS.fullmatch(name.removeprefix(place))]
        heads = _linear({name: state[name] for name in names}, row, width)
        if len(heads) == 1:
            return heads[0]
    beside = {name: tensor for name, tensor in tensors.items() if name not in own}
    while not beside and prefix:
        prefix = _above(prefix)
        beside = {n: t for n, t in state.items() if n.startswith(prefix) and not n.startswith(inner)}
    heads = _linear(beside, row, width)
    return heads[0] if len(heads) == 1 and len(heads[0]) == len(beside) == 2 else {}


def _above(prefix: str) -> str:
    return prefix[: prefix.removesuffix(".").rfind(".") + 1]


def _linear(tensors: Mapping[str, Tensor], row: Network, width: int) -> list[dict[str, Tensor]]:
    """Return the linear layers among the tensors that take so many features."""
    layers: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        layer, _, kind = name.rpartition(".")
        if kind in ("weight", "bias"):
            layers.setdefault(layer, {})[f"{row.head}.{kind}"] = tensor
    weight = f"{row.head}.weight"
    return [layer for layer in layers.values() if weight in layer and layer[weight].shape[1:] == (width,)]
