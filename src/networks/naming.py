"""The same network under other names: where in a file its tensors are, and which is which.

Programs put a prefix in front of all names (`module.`, `backbone.`, `encoder_q.`), keep several networks in one file,
and transformers, fastai and others give the layers names of their own.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ..logs import escaped
from . import Network, row_of
from .other_heads import find_head
from .shortcuts import Shortcuts, told_by_names

LEAST_SHARE = 0.9
"""The share of the weights between first convolution and head that file and network must have in common. With less it
is another architecture: ResNet-18 and ResNet-34 share half, and a network would be left half untrained."""

PROBES = 8
"""How many of the network's names are looked for under a prefix, half of them in vain at most."""

MOST_NETWORKS = 16
"""How many networks of one file are looked at."""

SECOND = re.compile(r"(^|[._])(student|encoder_k|key_encoder|target|momentum|ema)", re.IGNORECASE)
"""Of two networks in a file the second choice, where the papers evaluate the other one: DINO's teacher, MoCo's query
encoder, BYOL's online network, and what was trained instead of its moving average."""

TRANSFORMERS = (
    (r"^conv1\.", "embedder.embedder.convolution."),
    (r"^bn1\.", "embedder.embedder.normalization."),
    (r"^layer(\d+)\.(\d+)\.downsample\.0\.", "encoder.stages.{0}.layers.{1}.shortcut.convolution."),
    (r"^layer(\d+)\.(\d+)\.downsample\.1\.", "encoder.stages.{0}.layers.{1}.shortcut.normalization."),
    (r"^layer(\d+)\.(\d+)\.conv(\d+)\.", "encoder.stages.{0}.layers.{1}.layer.{2}.convolution."),
    (r"^layer(\d+)\.(\d+)\.bn(\d+)\.", "encoder.stages.{0}.layers.{1}.layer.{2}.normalization."),
)
"""torchvision's names of a ResNet, and those of transformers' `ResNetModel`, which counts stages and layers from 0."""


class Weights(dict[str, Tensor]):
    """A state dict, and what its file says besides.

    Attributes:
        class_names: Of the head's rows, where the file names them.
        origin: Which part of the file it is, and in whose names; empty where that is plain.
        shortcuts: How those without weights pad, where file or names tell.
    """

    class_names: tuple[str, ...] | None = None
    origin: str = ""
    shortcuts: Shortcuts | None = None


@dataclass(frozen=True)
class Layout:
    """Whose names, and what they call a tensor of ours."""

    title: str
    theirs: Callable[[str], str]


@dataclass(frozen=True)
class Found:
    """A network in a file: its prefix, its tensors by our names, and the share that is in common with ours."""

    layout: Layout
    prefix: str
    tensors: dict[str, Tensor]
    share: float


def named_as(network: nn.Module, state: Mapping[str, Tensor]) -> Weights:
    """Return the part of `state` that is such a network, by the network's names; all of it where there is none.

    Of several that fit equally the first is taken that isn't `SECOND`. The network may be on the meta device.
    """
    own, row = network.state_dict(), row_of(network)
    found: list[Found] = []
    for layout in _layouts(network):
        found += _find(layout, own, row, state)
        if any(one.share >= LEAST_SHARE for one in found):
            break
    ordered = sorted(found, key=lambda one: (-one.share, SECOND.search(one.prefix) is not None))
    weights = Weights(ordered[0].tensors if ordered else state)
    weights.class_names = getattr(state, "class_names", None)
    weights.origin = _origin(ordered) or getattr(state, "origin", "")
    weights.shortcuts = getattr(state, "shortcuts", None) or told_by_names(network, state, weights)
    return weights


def common_share(own: Mapping[str, Tensor], state: Mapping[str, Tensor], row: Network) -> float:
    """Return the share of all that lies between first convolution and head that file and network have in common.

    It is counted in tensors and in single weights, and the smaller share counts: Mini-ResNets with the norm before and
    after the convolution share nearly all weights, and ResNet-18 and 34 many tensors. What the file has beside the
    network's own children, such as a projection head, is no part of it.
    """
    children = {name.partition(".")[0] for name in own}
    mine, theirs = (
        {(name, tensors[name].shape) for name in _body(tensors, row) if name.partition(".")[0] in children}
        for tensors in (own, state)
    )
    tensors = len(mine & theirs) / max(len(mine), len(theirs), 1)
    weights = _numel(mine & theirs) / max(_numel(mine), _numel(theirs), 1)
    return min(tensors, weights)


def in_head(name: str, row: Network) -> bool:
    return name.startswith(f"{row.head}.")


def _body(tensors: Mapping[str, Tensor], row: Network) -> list[str]:
    """Return the names between first convolution and head."""
    first = f"{row.first}.weight"
    return [n for n in tensors if n != first and not in_head(n, row) and not n.endswith("num_batches_tracked")]


def _numel(shapes: Any) -> int:
    return sum(shape.numel() for _, shape in shapes)


def _layouts(network: nn.Module) -> Iterator[Layout]:
    yield Layout("", lambda name: name)
    yield Layout("transformers' names", _transformers)
    yield Layout("names with shortcut instead of downsample", lambda name: name.replace(".downsample.", ".shortcut."))
    numbers = {name: str(number) for number, (name, _) in enumerate(network.named_children())}

    def numbered(name: str) -> str:
        child, dot, rest = name.partition(".")
        return numbers.get(child, child) + dot + rest

    yield Layout("numbers, as in nn.Sequential and fastai", numbered)


def _transformers(name: str) -> str:
    for pattern, theirs in TRANSFORMERS:
        if match := re.match(pattern, name):
            return (
                theirs.format(*(int(number) - (place != 1) for place, number in enumerate(match.groups())))
                + (name[match.end() :])
            )
    return name


def _find(layout: Layout, own: Mapping[str, Tensor], row: Network, state: Mapping[str, Tensor]) -> list[Found]:
    names = {layout.theirs(name): name for name in own}
    children = {theirs.partition(".")[0]: name.partition(".")[0] for theirs, name in names.items()}
    prefixes = _prefixes(layout, own, row, state)
    found = []
    for prefix in prefixes:
        inside = [other for other in prefixes if other != prefix and other.startswith(prefix)]
        tensors: dict[str, Tensor] = {}
        for name, tensor in state.items():
            if name.startswith(prefix) and not name.startswith(tuple(inside)):
                theirs = name.removeprefix(prefix)
                child, dot, rest = theirs.partition(".")
                tensors[names.get(theirs) or children.get(child, child) + dot + rest] = tensor
        if head := find_head(prefix, tensors, own, row, state):
            tensors = {n: v for n, v in tensors.items() if all(v is not part for part in head.values())} | head
        found.append(Found(layout, prefix, tensors, common_share(own, tensors, row)))
    return found


def _prefixes(layout: Layout, own: Mapping[str, Tensor], row: Network, state: Mapping[str, Tensor]) -> list[str]:
    """Return under which prefixes the first convolution is found, and half of the other names at least."""
    stem = "." + layout.theirs(f"{row.first}.weight")
    body = _body(own, row)
    probes = [layout.theirs(name) for name in body[:: max(1, len(body) // PROBES)]]
    prefixes = []
    for name in state:
        if f".{name}".endswith(stem):
            prefix = name[: len(name) - len(stem) + 1]
            likely = (
                prefix + probes[0] in state or prefix + probes[-1] in state
            )  # the rest would take four times as long
            if likely and 2 * sum(prefix + probe in state for probe in probes) >= len(probes):
                prefixes.append(prefix)
    return prefixes[:MOST_NETWORKS]


def _origin(found: list[Found]) -> str:
    """Say which part of the file was taken, where that isn't plain."""
    if not found:
        return ""
    taken = found[0]
    others = [one for one in found[1:] if one.share == taken.share >= LEAST_SHARE and not _same(one, taken)]
    words = []
    if others:
        there = ", ".join(map(_shown, others[:3])) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
        words.append(f"its {_shown(taken)} (it also holds {there}: save that part alone to take it)")
    return ", ".join([*words, *([f"in {taken.layout.title}"] if taken.layout.title else [])])


def _shown(found: Found) -> str:
    return escaped(found.prefix)[:60].removesuffix(".") or "network without a prefix"


def _same(one: Found, other: Found) -> bool:
    """Return whether all tensors are the same memory."""
    return all(
        name in other.tensors and tensor.data_ptr() == other.tensors[name].data_ptr()
        for name, tensor in one.tensors.items()
    )
