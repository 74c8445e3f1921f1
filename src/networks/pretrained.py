"""Pretrained weights: read from a file or from torchvision, and fitted to a network with other classes or channels."""

import contextlib
import inspect
import io
import logging
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights

from ..errors import InputError
from . import NETWORKS, Network, build_network, row_of
from .head import few, fit_head
from .naming import LEAST_SHARE, Weights, common_share, in_head, named_as
from .shortcuts import say_shortcuts
from .weights_file import read_weights

log = logging.getLogger(__name__)

SECONDS_WITHOUT_A_BYTE = 30

WIDEST = 4096  # as the settings allow

USUAL_SIZES = (32, 64, 28, 128, 224, 96, 16, 48, 160, 192, 256, 8)
"""Image sizes that are tried for a network whose weights depend on them."""


@dataclass(frozen=True)
class Fit:
    """What became of the tensors, by name.

    Attributes:
        loaded: The network took them.
        adapted: Those of `loaded` that were changed to fit other channels.
        replaced: The file has them in another shape; the network keeps its fresh ones. With both shapes.
        absent: The file lacks them; the network keeps its fresh ones.
        unused: Only the file has them.
        head: What became of the head, in words; empty where the lists say it.
        origin: Which part of the file it was, and in whose names; empty where that is plain.
        shortcuts: What is not plain about shortcuts without weights, in words.
    """

    loaded: list[str]
    adapted: list[str]
    replaced: list[str]
    absent: list[str]
    unused: list[str]
    head: str = ""
    origin: str = ""
    shortcuts: str = ""


def imagenet_weights(name: str) -> Weights:
    """Return torchvision's best ImageNet weights of that network; downloaded once, into torch's own cache.

    Raises:
        InputError: The network has none, or the download fails; then the line says which file to put where.
    """
    if name not in NETWORKS or not NETWORKS[name].pretrained:
        having = ", ".join(key for key, row in NETWORKS.items() if row.pretrained)
        raise InputError(f"weights=imagenet: there are none for model={name}; take one of {having}")
    weights = get_model_weights(name).DEFAULT
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    if not path.exists():
        log.info("downloading %s", weights.url)
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(SECONDS_WITHOUT_A_BYTE)  # torch's downloader would wait for ever
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # torch says there what we have said
                weights.get_state_dict(progress=sys.stderr.isatty(), check_hash=True)
        except (OSError, RuntimeError) as error:
            reason = str(getattr(error, "reason", error)).splitlines()[0]
            raise InputError(
                f"weights=imagenet: can't download {weights.url} ({reason}): put that file at {path}"
            ) from error
        finally:
            socket.setdefaulttimeout(before)
    return read_weights(path)


def check_fit(network: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Raise `InputError` unless network and weights are of one architecture; `source` names the weights in it.

    The network may be on the meta device. Two networks whose weights have the same names and shapes, such as
    cifar_resnet20 and cifar_plain20, can't be told apart.
    """
    own, row = network.state_dict(), row_of(network)
    part = named_as(network, state)
    share = common_share(own, part, row)
    here = getattr(network, "name", None)
    if share >= LEAST_SHARE:
        _refuse_more_layers(own, part, row, f"weights={source}", here)
        return
    other = _network_of(state, besides=here)
    others = [name for name in own if name in part and own[name].shape != part[name].shape and not in_head(name, row)]
    if own.keys() <= part.keys() and others and other is None:
        sizes = f"{others[0]} is {_shape(part[others[0]])} there and {_shape(own[others[0]])} here"
        raise InputError(
            f"weights={source} are of such a network, but of other sizes ({sizes}): {_sizes(network, part)}"
        )
    if other is not None:
        remedy = f"say model={other}"
    elif share == 0:
        names = f"its names begin {few(list(state)[:3])}, and those of {here} {few(list(own)[:3])}"
        remedy = f"{names}: take a file of {here}, or rename them"
    elif lacking := [name for name in own if name not in part and not in_head(name, row) and own[name].ndim]:
        if part.keys() <= own.keys() and not others:
            raise InputError(
                f"weights={source} lack {few(lacking)} of {here}, and fit it to {share:.0%} only: take a whole file"
            )
        remedy = f"they lack {few(lacking)}: take a file of {here}"
    else:
        remedy = f"take a file of {here}"
    raise InputError(f"weights={source} fit the model to {share:.0%} only, so they are another network's: {remedy}")


def _refuse_more_layers(
    own: Mapping[str, Tensor], part: Mapping[str, Tensor], row: Network, source: str, here: str | None
) -> None:
    """Raise `InputError` where the file has layers inside the network's own that the network doesn't compute."""
    children = {name.partition(".")[0] for name in own}
    inside = [name for name in part if name.partition(".")[0] in children and not in_head(name, row)]
    more = [name for name in inside if name not in own and part[name].ndim > 1]
    if any("shortcut" in name or "downsample" in name for name in more) and str(here).startswith("cifar_"):
        raise InputError(
            f"{source} are of a network whose shortcuts have weights ({more[0]}: option B of the ResNet paper); {here} "
            f"has none, and ResLens builds no such network: take weights of {here}"
        )
    if more:
        raise InputError(
            f"{source} are another network's, with layers that {here} has not ({few(more)}): take weights of {here}"
        )


def _sizes(network: nn.Module, state: Mapping[str, Tensor]) -> str:
    """Return what to do about weights of the same names and other shapes."""
    name, row = str(getattr(network, "name", "")), row_of(network)
    channels, width = ([*state[f"{row.first}.weight"].shape, 0, 0][place] for place in (1, 0))
    if "width" in inspect.signature(row.build).parameters and channels > 0 and 0 < width <= WIDEST:
        for size in USUAL_SIZES:
            with torch.device("meta"):
                other = build_network(name, num_classes=2, in_channels=channels, image_size=size, width=width)
            if common_share(other.state_dict(), state, row) >= LEAST_SHARE:
                return (
                    f"take the data.image_size and model.width of that training, such as data.image_size={size} "
                    f"model.width={width}"
                )
    return f"ResLens builds no {name} of these sizes; take a file of {name}"


def fit_weights(
    network: nn.Module,
    state: Mapping[str, Tensor],
    source: str,
    *,
    class_names: Sequence[str] | None = None,
    head: str = "auto",
) -> Fit:
    """Load `state` into `network` where names and shapes agree; return what became of each tensor.

    Names are those of `naming.named_as`. `head.fit_head` says what becomes of the head. A first convolution for other
    channels is adapted so that a grey image gives the same response as its colour copy did: summed over the channels
    for one, repeated and divided for more. Raise `InputError` as `check_fit` does.

    Args:
        class_names: The classes of the network, in the order of its head's rows.
        head: `auto`, or `new`: it stays fresh.
    """
    check_fit(network, state, source)
    own, row = network.state_dict(), row_of(network)
    part = named_as(network, state)
    first = f"{row.first}.weight"
    top = fit_head(own, part, row, part.class_names, class_names, head)
    taken, adapted = dict(top.taken), []
    for name, tensor in own.items():
        given = part.get(name)
        if given is None or in_head(name, row):
            continue
        if given.shape == tensor.shape:
            taken[name] = given
        elif name == first and given.ndim == 4 and given.shape[::2] == tensor.shape[::2]:
            channels = tensor.shape[1]
            taken[name] = given.float().sum(dim=1, keepdim=True).expand(-1, channels, -1, -1) / channels
            adapted.append(name)
    network.load_state_dict(own | taken)
    left = [name for name in own if name not in taken and name not in top.anew]
    return Fit(
        loaded=list(taken),
        adapted=adapted,
        replaced=[f"{n} ({_shape(part[n])}, now {_shape(own[n])})" for n in left if n in part],
        absent=[name for name in left if name not in part and not name.endswith("num_batches_tracked")],
        unused=[name for name in part if name not in own],
        head=top.said,
        origin=part.origin,
        shortcuts=say_shortcuts(network, part.shortcuts),
    )


def stem_of(state: Mapping[str, Tensor], name: str) -> str | None:
    """Return the `stem` with which the weights of that network were trained, by their first convolution's size."""
    first = f"{NETWORKS[name].first}.weight"
    for stem in ("imagenet", "small"):
        with torch.device("meta"):
            network = build_network(name, num_classes=2, stem=stem)
        part = named_as(network, state)
        if first in part and part[first].shape[2:] == network.get_parameter(first).shape[2:]:
            return stem
    return None


def describe_fit(fit: Fit, source: str) -> str:
    """Describe it in one line."""
    parts = [f"weights: {len(fit.loaded)} tensors from {source}" + (f", {fit.origin}" if fit.origin else "")]
    if fit.head:
        parts.append(fit.head)
    if fit.shortcuts:
        parts.append(fit.shortcuts)
    if fit.adapted:
        parts.append(f"adapted to the channels: {few(fit.adapted)}")
    if fit.replaced:
        parts.append(f"made anew: {few(fit.replaced)}")
    if fit.absent:
        parts.append(f"not in it, made anew: {few(fit.absent)}")
    if fit.unused:
        parts.append(f"left out: {few(fit.unused)}")
    return "; ".join(parts)


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape))


def _network_of(state: Mapping[str, Tensor], besides: str | None) -> str | None:
    """Return the network of the table, `besides` one, whose weights these are, if there is any."""
    with torch.device("meta"):
        for name, row in NETWORKS.items():
            if name == besides:
                continue
            network = build_network(name, num_classes=2, image_size=64)
            if common_share(network.state_dict(), named_as(network, state), row) >= LEAST_SHARE:
                return name
    return None
