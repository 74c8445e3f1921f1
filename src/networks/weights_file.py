"""A file of weights: the tensors in it, by name, whatever a training script has put around them."""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..logs import visible
from . import NETWORKS, build_network
from .calls import MORE
from .naming import LEAST_SHARE, Weights, common_share, named_as
from .saved import SavedFileError, check_tensors, load_saved
from .shortcuts import own_shortcuts
from .unsafe import UnsafePickleError

DEEPEST, MOST_VALUES, LONGEST = 6, 20_000, 1_000
"""Dictionaries inside each other, values in all of them together, and characters of a name: a file may have one
dictionary in a thousand places. ResNet-152 has 932 tensors; among 20,000 all networks are looked for in some 5 s."""

OURS = "state_dict.network."
"""Where a checkpoint of ours has its network."""

BESIDES = re.compile(r"(^|.*\.)(opt|optim\w*|\w*scheduler\w*|\w*scaler\w*|callbacks|loops)\.", re.IGNORECASE)
"""Of optimizers, schedulers and the like, which are no part of a network."""

OLD_NAMES = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
"""`norm.1`: so torchvision's files of DenseNets still call the network's `norm1`; its own loader renames them too."""

WRAPPED = re.compile(r"(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""What torch puts into the names of layers that are compiled, divided among devices or computed again."""

SAVE = "save network.state_dict()"

SAVE_AGAIN = (
    'python -c "import sys,torch;r=lambda c:{k:r(v)for k,v in c.items()}if isinstance(c,dict)else c if '
    "torch.is_tensor(c)else 0;f=torch.load(sys.argv[1],'cpu',weights_only=False);"
    "torch.save(r(getattr(f,'state_dict',lambda:f)()),'safe.pth')\" "
)
"""The command that keeps the tensors alone of a file. It runs whatever the file asks for."""

SAVE_SCRIPT = "python -c \"import sys,torch;torch.save(torch.jit.load(sys.argv[1],'cpu').state_dict(),'safe.pth')\" "


def read_weights(path: Path | str, model: str | None = None) -> Weights:
    """Return the state dict in a `.safetensors` file, or in what `torch.save` wrote (`.pth`, `.pt`, `.ckpt`).

    Nothing in the file is executed (`weights_only`). Dictionaries inside each other become names with dots; of those
    under which a `model` is found, `naming.named_as` takes that part alone, by the model's names.

    Raises:
        InputError: The file is missing, damaged, no state dict or not finite, or a checkpoint of ours that names
            another network than `model`.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"weights={path} is no file: name a .pth or .safetensors file, or a run")
    content = _read(path)
    own = _own_name(content)
    if model is not None and own not in (None, model):
        raise InputError(f"weights={path} are those of {own}: say model={own}, or take the weights of {model}")
    if not isinstance(content, Mapping):
        raise InputError(f"weights={path} holds {type(content).__name__}, not a state dict: {SAVE}")
    state = Weights(_tensors(content, path))
    if own is not None and any(name.startswith(OURS) for name in state):
        state = Weights({name.removeprefix(OURS): value for name, value in state.items() if name.startswith(OURS)})
        state.class_names = _class_names(content)
        state.shortcuts = own_shortcuts(content["hyper_parameters"]["architecture"])
    if not state:
        raise InputError(f"weights={path} holds no tensors: {SAVE}")
    part = _part(state, model or own)
    try:
        check_tensors(part or {n: v for n, v in state.items() if not BESIDES.match(n)}, path)
    except SavedFileError as error:
        remedy = "save it in float32" if "no plain" in str(error) else "take another checkpoint of that training"
        raise InputError(f"weights={path} can't be used, {error}: {remedy}") from error
    return part or state


def own_name(path: Path) -> str | None:
    """Return which network a checkpoint of ours holds, None of another file; raise `InputError` as `read_weights`."""
    return _own_name(_read(path)) if path.is_file() else None


def _part(state: Weights, model: str | None) -> Weights | None:
    """Return the part of the file that is such a network, in its usual sizes; None if that can't be told."""
    if model not in NETWORKS:
        return None
    with torch.device("meta"):
        network = build_network(model, num_classes=2, image_size=64)
    part = named_as(network, state)
    fits = common_share(network.state_dict(), part, NETWORKS[model]) >= LEAST_SHARE
    return part if fits else None


def _own_name(content: Any) -> str | None:
    """Return which network a checkpoint of ours holds; None for what others wrote."""
    try:
        name = content["hyper_parameters"]["architecture"]["name"]
    except (KeyError, TypeError, IndexError):
        return None
    return name if type(name) is str and name in NETWORKS else None


def _class_names(content: Any) -> tuple[str, ...] | None:
    """Return the classes of a checkpoint of ours, in the order of the head's rows."""
    names = content["hyper_parameters"].get("class_names")
    known = isinstance(names, list) and all(type(name) is str for name in names) and len(set(names)) == len(names)
    return tuple(names) if known else None


def _tensors(content: Mapping[Any, Any], path: Path) -> dict[str, Tensor]:
    """Return all tensors in dictionaries whose keys are words, with dots between the keys."""
    state: dict[str, Tensor] = {}
    for count, (name, value) in enumerate(_values(content, "", 0)):
        if count > MOST_VALUES:
            raise InputError(f"weights={path} holds more than {MOST_VALUES:,} values: {SAVE} alone")
        if isinstance(value, Tensor):
            state.setdefault(OLD_NAMES.sub(r"\1\2", WRAPPED.sub("", name)), value)
    return state


def _values(content: Mapping[Any, Any], prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        name = prefix + key if type(key) is str else ""
        yield name, None if name == "" or len(name) > LONGEST else value
        if isinstance(value, Mapping) and name and len(name) <= LONGEST and depth < DEEPEST:
            yield from _values(value, f"{name}.", depth + 1)


def _read(path: Path) -> Any:
    try:
        return load_saved(path)
    except SavedFileError as error:
        if not error.unsafe:
            remedy = "name one of torch.save" if "did not write it" in str(error) else "get it again"
            raise InputError(f"weights={path} is damaged or no file of weights ({error}): {remedy}") from error
        raise InputError(
            f"weights={path} can't be loaded safely ({visible(str(error))}): {_remedy(error, path)}"
        ) from error


def _remedy(error: SavedFileError, path: Path) -> str:
    """Return how to get at the tensors of a file that one trusts; what is forged has none."""
    asks = isinstance(error.__cause__, UnsafePickleError) and MORE not in str(error)
    if asks or "TorchScript" in str(error):
        line = SAVE_AGAIN if asks else SAVE_SCRIPT
        return f"if you trust it, {line}{shlex.quote(str(path))}"
    return "get it again"
