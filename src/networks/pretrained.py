"""Pretrained weights: read from a file or from torchvision, and fitted to a network with other classes or channels."""

import contextlib
import io
import logging
import socket
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from . import NETWORKS, build_network
from .saved import SavedFileError, check_tensors, load_saved

log = logging.getLogger(__name__)

HEAD = "fc."
"""What the names of a head's weights begin with, in torchvision's ResNets and in all of our networks."""

LEAST_SHARE = 0.9
"""Of what lies between first convolution and head so much must be the same in file and network. Less is another
architecture: ResNet-18 and ResNet-34 share half, and a network would be left half untrained."""

KEYS = ("state_dict", "model", "model_state_dict")
"""Under which training scripts keep the state dict."""

WRAPPERS = ("module.", "_orig_mod.", "network.", "model.", "net.", "backbone.", "encoder.", "resnet.")
"""Put before all names by DataParallel, torch.compile, our own checkpoints and other people's."""

SECONDS_WITHOUT_A_BYTE = 30


@dataclass(frozen=True)
class Fit:
    """What became of the tensors, by name.

    Attributes:
        loaded: those that the network took.
        adapted: those of them that were changed to fit other channels.
        replaced: those of another shape in the file, with both shapes; here they stay as they were made.
        absent: those that the file doesn't have; they too.
        unused: those that only the file has.
    """

    loaded: list[str]
    adapted: list[str]
    replaced: list[str]
    absent: list[str]
    unused: list[str]


def read_weights(path: Path | str, model: str | None = None) -> dict[str, Tensor]:
    """The state dict in a `.safetensors` file, or in what `torch.save` wrote (`.pth`, `.pt`, `.ckpt`).

    Nothing in the file is executed (`weights_only`). What training scripts wrap around a state dict is taken off: a
    dictionary with one of `KEYS` in it, and the prefixes `WRAPPERS`.

    Raises `InputError` for a file that is missing, damaged, no state dict or not finite, and for a checkpoint of ours
    that says that it is of another network than `model`.
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
    try:
        check_tensors(state, path)
    except SavedFileError as error:
        raise InputError(f"weights={path} can't be used, {error}: take another checkpoint of that training") from error
    return state


def _own_name(content: Any) -> str | None:
    """The network that a checkpoint of ours is of; None for what others wrote."""
    try:
        return content["hyper_parameters"]["architecture"]["name"]
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
    """Torchvision's ImageNet weights of that ResNet, its best ones; downloaded once, into torch's own cache.

    Raises `InputError` for a network that has none, and offline, with the file that can be put there by hand.
    """
    from torchvision.models import get_model_weights, list_models

    if name not in list_models():
        raise InputError(f"weights=imagenet: there are none for model={name}; take model=resnet18 to resnet152")
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
    """Raise `InputError` where network and weights are not of one architecture; `source` names the weights in it.

    The network may be on the meta device. Two networks whose weights have the same names and shapes, such as
    cifar_resnet20 and cifar_plain20, can't be told apart.
    """
    own = network.state_dict()
    share = common_share(own, state, _first_convolution(network))
    if share >= LEAST_SHARE:
        return
    if own.keys() == state.keys():
        name = next(name for name in own if own[name].shape != state[name].shape and not name.startswith(HEAD))
        raise InputError(
            f"weights={source} are of such a network, but of other sizes ({name} is {_shape(state[name])} there and "
            f"{_shape(own[name])} here): take the data.image_size and the model settings of that training"
        )
    raise InputError(
        f"weights={source} fit the model to {share:.0%} only, so they are another network's{_suggestion(state)}"
    )


def fit_weights(network: nn.Module, state: Mapping[str, Tensor], source: str) -> Fit:
    """Load `state` into `network` where names and shapes agree; say what did not.

    A head for other classes stays fresh. A first convolution for other channels is adapted so that a grey image gives
    the same response as its colour copy did: summed over the channels for one, repeated and divided for more.

    Raises `InputError` as `check_fit` does.
    """
    check_fit(network, state, source)
    own = network.state_dict()
    first = _first_convolution(network)
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


def stem_of(state: Mapping[str, Tensor]) -> str | None:
    """Which `stem` a ResNet's weights were trained with: `imagenet` (7×7) or `small` (3×3); None: neither."""
    conv1 = state.get("conv1.weight")
    return None if conv1 is None else {7: "imagenet", 3: "small"}.get(conv1.shape[-1])


def describe_fit(fit: Fit, source: str) -> str:
    """One line for people."""
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


def common_share(own: Mapping[str, Tensor], state: Mapping[str, Tensor], first: str) -> float:
    """The part of all that lies between first convolution and head that file and network have in common.

    It is counted in tensors and in single weights, and the smaller part counts: the Mini-ResNets with the norm before
    and behind the convolution have nearly all weights in common, and ResNet-18 and 34 many tensors.
    """
    mine, theirs = (
        {
            (name, tensor.shape)
            for name, tensor in tensors.items()
            if name != first and not name.startswith(HEAD) and not name.endswith("num_batches_tracked")
        }
        for tensors in (own, state)
    )
    tensors = len(mine & theirs) / max(len(mine), len(theirs), 1)
    weights = _numel(mine & theirs) / max(_numel(mine), _numel(theirs), 1)
    return min(tensors, weights)


def _numel(shapes: Iterable[tuple[str, torch.Size]]) -> int:
    return sum(shape.numel() for _, shape in shapes)


def _first_convolution(network: nn.Module) -> str:
    return next(f"{name}.weight" for name, module in network.named_modules() if isinstance(module, nn.Conv2d))


def _suggestion(state: Mapping[str, Tensor]) -> str:
    """The network of the table whose weights these are, in words; nothing where there is none."""
    with torch.device("meta"):
        for name in NETWORKS:
            network = build_network(name, num_classes=2, image_size=64)
            if common_share(network.state_dict(), state, _first_convolution(network)) >= LEAST_SHARE:
                return f": say model={name}"
    return ": take the file of the same model"


def _few(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
