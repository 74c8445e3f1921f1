"""Pretrained weights: read from a file or from torchvision, and fitted to a network with other classes or channels."""

import contextlib
import io
import logging
import re
import socket
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights

from ..errors import InputError
from . import NETWORKS, Network, build_network, row_of
from .saved import SavedFileError, check_tensors, load_saved

log = logging.getLogger(__name__)

LEAST_SHARE = 0.9
"""The share of the weights between first convolution and head that file and network must have in common. With less it
is another architecture: ResNet-18 and ResNet-34 share half, and a network would be left half untrained."""

KEYS = ("state_dict", "model", "model_state_dict")
"""Under which training scripts keep the state dict."""

WRAPPERS = ("module.", "_orig_mod.", "network.", "model.", "net.", "backbone.", "encoder.", "resnet.")
"""What DataParallel, torch.compile, our own checkpoints and other people's put in front of all names."""

OLD_NAMES = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
"""`norm.1`: so torchvision's files of DenseNets still call the network's `norm1`; its own loader renames them too."""

SECONDS_WITHOUT_A_BYTE = 30


@dataclass(frozen=True)
class Fit:
    """What became of the tensors, by name.

    Attributes:
        loaded: The network took them.
        adapted: Those of `loaded` that were changed to fit other channels.
        replaced: The file has them in another shape; the network keeps its fresh ones. With both shapes.
        absent: The file lacks them; the network keeps its fresh ones.
        unused: Only the file has them.
    """

    loaded: list[str]
    adapted: list[str]
    replaced: list[str]
    absent: list[str]
    unused: list[str]


def read_weights(path: Path | str, model: str | None = None) -> dict[str, Tensor]:
    """Return the state dict in a `.safetensors` file, or in what `torch.save` wrote (`.pth`, `.pt`, `.ckpt`).

    Nothing in the file is executed (`weights_only`). What training scripts wrap around a state dict is taken off: a
    dictionary with one of `KEYS` in it, and the prefixes `WRAPPERS`.

    Raises:
        InputError: The file is missing, damaged, no state dict or not finite, or a checkpoint of ours that names
            another network than `model`.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"weights={path} is no file: name a .pth or .safetensors file, or take imagenet or null")
    content = _read(path)
    own = _own_name(content)
    if model is not None and own not in (None, model):
        raise InputError(f"weights={path} are those of {own}: say model={own}, or take the weights of {model}")
    for key in KEYS:
        content = content[key] if isinstance(content, Mapping) and isinstance(content.get(key), Mapping) else content
    if not isinstance(content, Mapping):
        raise InputError(f"weights={path} holds {type(content).__name__}, not a state dict: save network.state_dict()")
    state = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    while prefix := next((prefix for prefix in WRAPPERS if any(name.startswith(prefix) for name in state)), ""):
        state = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    if not state:
        raise InputError(f"weights={path} holds no tensors: save network.state_dict()")
    state = {OLD_NAMES.sub(r"\1\2", name): value for name, value in state.items()}
    try:
        check_tensors(state, path)
    except SavedFileError as error:
        raise InputError(f"weights={path} can't be used, {error}: take another checkpoint of that training") from error
    return state


def _own_name(content: Any) -> str | None:
    """Return which network a checkpoint of ours holds; None for what others wrote."""
    try:
        return cast(str, content["hyper_parameters"]["architecture"]["name"])  # only compared with a name
    except (KeyError, TypeError, IndexError):
        return None


def _read(path: Path) -> Any:
    try:
        return load_saved(path)
    except SavedFileError as error:
        if error.unsafe:
            raise InputError(
                f"weights={path} can't be loaded safely ({error}): get it again, or save network.state_dict() alone"
            ) from error
        raise InputError(f"weights={path} is damaged or no file of weights ({error}): get it again") from error


def imagenet_weights(name: str) -> dict[str, Tensor]:
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
    share = common_share(own, state, row)
    if share >= LEAST_SHARE:
        return
    other = _network_of(state, besides=getattr(network, "name", None))
    if own.keys() == state.keys() and other is None:
        name = next(name for name in own if own[name].shape != state[name].shape and not _in_head(name, row))
        raise InputError(
            f"weights={source} are of such a network, but of other sizes ({name} is {_shape(state[name])} there and "
            f"{_shape(own[name])} here): take the data.image_size and the model settings of that training"
        )
    remedy = "take the file of the same model" if other is None else f"say model={other}"
    raise InputError(f"weights={source} fit the model to {share:.0%} only, so they are another network's: {remedy}")


def fit_weights(network: nn.Module, state: Mapping[str, Tensor], source: str) -> Fit:
    """Load `state` into `network` where names and shapes agree; return what became of each tensor.

    A head for other classes stays fresh. A first convolution for other channels is adapted so that a grey image gives
    the same response as its colour copy did: summed over the channels for one, repeated and divided for more.
    Raise `InputError` as `check_fit` does.
    """
    check_fit(network, state, source)
    own = network.state_dict()
    first = f"{row_of(network).first}.weight"
    taken, adapted = {}, []
    for name, tensor in own.items():
        given = state.get(name)
        if given is None:
            continue
        if given.shape == tensor.shape:
            taken[name] = given
        elif name == first and given.ndim == 4 and given.shape[::2] == tensor.shape[::2]:
            channels = tensor.shape[1]
            taken[name] = given.float().sum(dim=1, keepdim=True).expand(-1, channels, -1, -1) / channels
            adapted.append(name)
    network.load_state_dict(own | taken)
    left = [name for name in own if name not in taken]
    return Fit(
        loaded=list(taken),
        adapted=adapted,
        replaced=[f"{n} ({_shape(state[n])}, now {_shape(own[n])})" for n in left if n in state],
        absent=[name for name in left if name not in state and not name.endswith("num_batches_tracked")],
        unused=[name for name in state if name not in own],
    )


def stem_of(state: Mapping[str, Tensor], name: str) -> str | None:
    """Return the `stem` with which the weights of that network were trained, by their first convolution's size."""
    first = f"{NETWORKS[name].first}.weight"
    for stem in ("imagenet", "small"):
        with torch.device("meta"):
            network = build_network(name, num_classes=2, stem=stem)
        if first in state and state[first].shape[2:] == network.get_parameter(first).shape[2:]:
            return stem
    return None


def describe_fit(fit: Fit, source: str) -> str:
    """Describe it in one line."""
    parts = [f"weights: {len(fit.loaded)} tensors from {source}"]
    if fit.adapted:
        parts.append(f"adapted to the channels: {_few(fit.adapted)}")
    if fit.replaced:
        parts.append(f"made anew: {_few(fit.replaced)}")
    if fit.absent:
        parts.append(f"not in it, made anew: {_few(fit.absent)}")
    if fit.unused:
        parts.append(f"left out: {_few(fit.unused)}")
    return "; ".join(parts)


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape))


def common_share(own: Mapping[str, Tensor], state: Mapping[str, Tensor], row: Network) -> float:
    """Return the share of all that lies between first convolution and head that file and network have in common.

    It is counted in tensors and in single weights, and the smaller share counts: Mini-ResNets with the norm before and
    after the convolution share nearly all weights, and ResNet-18 and 34 many tensors.
    """
    first = f"{row.first}.weight"
    mine, theirs = (
        {
            (name, tensor.shape)
            for name, tensor in tensors.items()
            if name != first and not _in_head(name, row) and not name.endswith("num_batches_tracked")
        }
        for tensors in (own, state)
    )
    tensors = len(mine & theirs) / max(len(mine), len(theirs), 1)
    weights = _numel(mine & theirs) / max(_numel(mine), _numel(theirs), 1)
    return min(tensors, weights)


def _in_head(name: str, row: Network) -> bool:
    return name.startswith(f"{row.head}.")


def _numel(shapes: Iterable[tuple[str, torch.Size]]) -> int:
    return sum(shape.numel() for _, shape in shapes)


def _network_of(state: Mapping[str, Tensor], besides: str | None) -> str | None:
    """Return the network of the table, `besides` one, whose weights these are, if there is any."""
    with torch.device("meta"):
        for name, row in NETWORKS.items():
            if name == besides:
                continue
            network = build_network(name, num_classes=2, image_size=64)
            if common_share(network.state_dict(), state, row) >= LEAST_SHARE:
                return name
    return None


def _few(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
