"""A network that others have trained, with its classes and its preprocessing, as a checkpoint of ours."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from ..data import ImageDataModule
from ..data.value_range import said_range
from ..errors import InputError
from ..files import replacing
from ..networks import build_network, row_of
from ..networks.head import few
from ..networks.naming import Weights, named_as
from ..networks.pretrained import describe_fit, fit_weights
from ..networks.shortcuts import cannot_be_told
from ..networks.weights_file import own_name
from ..runs.folder import ADOPTED
from ..settings.schema.data import channel_values
from ..trained.checkpoint import load_trained
from ..trained.temperature import digest
from ..training.assemble import Plan, build_module, plan_training, to_dict
from ..training.classifier import ImageClassifier
from .classes import REMEDY, read_class_names

log = logging.getLogger(__name__)

TRAINER = {"accelerator": "cpu", "precision": "32-true"}
"""What nothing is trained with."""


@dataclass(frozen=True, eq=False)
class Adopted:
    """A foreign network in a module of ours; `record` is what adopt.json says of it, without the command."""

    module: ImageClassifier
    record: dict[str, Any]


def adopt_network(cfg: DictConfig) -> Adopted:
    """Build the network that the settings name, with all of its weights from the file.

    Raises:
        InputError: The file is none, unsafe, of another network, a checkpoint of ours, or lacks a part; the names of
            the classes are missing, or not as many as the head has rows; what the file can't tell was not said.
    """
    settings = to_dict(cfg)
    model, data = settings["model"], settings["data"]
    source = str(settings["weights"])
    _refuse_ours(settings["weights"])
    plan = plan_training(model, data, TRAINER)
    part = _named(plan)
    _check_shortcuts(model, part, source)
    names = _class_names(settings, _count_rows(plan, part, source), source)
    preprocessing = {
        "image_size": data["image_size"],
        "in_channels": data["in_channels"],
        **{name: channel_values(name, data[name], data["in_channels"]) for name in ("mean", "std")},
        "interpolation": data["interpolation"],
        "decode": "exact",  # as torchvision and timm read pictures
        "resize": data["resize"],
        "range": list(said) if isinstance(said := said_range(data["range"]), tuple) else said,
        "color": data["color"],
    }
    module = build_module(plan, class_names=names, preprocessing=preprocessing, optimizer={}, scheduler={}).eval()
    _check_whole(module.network, part, source)
    fit = fit_weights(module.network, part, source)
    _check_answer(module, source)
    log.info("%s", describe_fit(replace(fit, head=""), source))
    log.info("classes      %d, in the order of the head's rows: %s", len(names), few(names))
    log.info("images       %s", _shown(preprocessing))
    architecture = module.hparams["architecture"]
    sha256 = None if source == "imagenet" else digest(Path(source).expanduser())
    record = {
        "weights": source,
        "sha256": sha256,
        "architecture": architecture,
        "class_names": names,
        "preprocessing": preprocessing,
    }
    return Adopted(module, {**record, "left_out": fit.unused})


def write_adopted(adopted: Adopted, folder: Path) -> Path:
    """Write the checkpoint to `folder`, load it as every verb does, and return its path."""
    module = adopted.module
    content = {
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": L.__version__,
        "state_dict": module.state_dict(),
        "hyper_parameters": dict(module.hparams),
    }
    path = folder / ADOPTED
    with replacing(path) as temporary:
        torch.save(content, temporary)
    load_trained(path)
    return path


def _refuse_ours(weights: str | None) -> None:
    if weights is None:
        raise InputError("weights=null names nothing: say weights=FILE")
    path = Path(weights).expanduser()
    if path.is_dir():
        raise InputError(
            f"weights={weights} is a folder: name a file; a run of ours needs no adoption: say checkpoint={weights}"
        )
    if weights != "imagenet" and own_name(path) is not None:
        raise InputError(f"weights={weights} is a checkpoint of ours already: say checkpoint={weights} to any verb")


def _named(plan: Plan) -> Weights:
    """Return the file's tensors by the network's names."""
    with torch.device("meta"):
        network = build_network(**plan.architecture | {"num_classes": 2})
    return named_as(network, plan.pretrained or {})


def _check_shortcuts(model: Mapping[str, Any], part: Weights, source: str) -> None:
    """Raise `InputError` where two networks have the same weights and nobody has said which it is."""
    if model.get("shortcut_padding") == "auto" and part.shortcuts is None:
        raise InputError(
            f"weights={source}: {cannot_be_told()}; say model.shortcut_padding=both, as in most published networks for "
            "CIFAR, or behind, as in the ResNet paper"
        )


def _count_rows(plan: Plan, part: Weights, source: str) -> int:
    with torch.device("meta"):
        row = row_of(build_network(**plan.architecture | {"num_classes": 2}))
    weight = part.get(f"{row.head}.weight")
    if weight is None or weight.ndim != 2:
        raise InputError(
            f"weights={source} lack the head ({row.head}.weight), without which a network answers nothing: train one "
            f"with src.train weights={source}"
        )
    if len(weight) < 2:
        raise InputError(
            f"weights={source}: the head has {len(weight)} row{'s' * (len(weight) != 1)}, but a classifier has one for "
            "each of at least 2 classes: take another file"
        )
    return len(weight)


def _class_names(settings: Mapping[str, Any], rows: int, source: str) -> list[str]:
    """Return the names of the head's rows."""
    classes, data = settings["classes"], settings["data"]
    if classes is not None:
        names = read_class_names(classes)
        said = f"classes={classes}" if isinstance(classes, str) and not classes.startswith("[") else "classes"
    elif data.get("name") is not None:
        names = ImageDataModule(**data).find(download=False).class_names
        said = f"data={data['name']}"
    else:
        raise InputError(f"classes=null, but the head of weights={source} has {rows} rows, which need names: {REMEDY}")
    if len(names) != rows:
        raise InputError(
            f"{said} has {len(names)} names, the head of weights={source} {rows} rows: name each, in the file's order"
        )
    return list(names)


def _check_whole(network: nn.Module, part: Mapping[str, Tensor], source: str) -> None:
    """Raise `InputError` unless all of the network is in the file, in the same shapes."""
    own, name = network.state_dict(), getattr(network, "name", "the network")
    missing = [key for key in own if key not in part and not key.endswith("num_batches_tracked")]
    if missing:
        raise InputError(
            f"weights={source} lack {few(missing)}, and an adopted network has all of its weights from the file: take "
            f"a whole file of {name}, or train with src.train weights={source}"
        )
    for key in (key for key in own if key in part):
        mine, theirs = own[key], part[key]
        if mine.shape != theirs.shape or mine.is_floating_point() != theirs.is_floating_point():
            raise InputError(
                f"weights={source} don't fit {name}: {key} is {_kind(theirs)} there and {_kind(mine)} here: "
                f"{_remedy(network, key, theirs)}"
            )


def _kind(tensor: Tensor) -> str:
    numbers = "" if tensor.is_floating_point() else " whole numbers"
    return ("×".join(map(str, tensor.shape)) or "one number") + numbers


def _remedy(network: nn.Module, key: str, theirs: Tensor) -> str:
    if not theirs.is_floating_point() and network.state_dict()[key].is_floating_point():
        return "take the file from before it was quantised"
    if key == f"{row_of(network).first}.weight" and theirs.ndim == 4:
        channels = theirs.shape[1]
        if channels != network.get_parameter(key).shape[1]:
            return f"say data.in_channels={channels}"
        return "leave model.stem out, which follows the file"
    return f"take a file of {getattr(network, 'name', 'this network')}"


def _check_answer(module: ImageClassifier, source: str) -> None:
    """Raise `InputError` unless a grey picture gets logits: weights may not fit into float32, variances be negative."""
    size, channels = (module.hparams["preprocessing"][key] for key in ("image_size", "in_channels"))
    with torch.inference_mode():
        logits = module(torch.full((1, channels, size, size), 128, dtype=torch.uint8))
    if not logits.isfinite().all():
        raise InputError(f"weights={source} give no finite logits: take another file of that training")


def _shown(preprocessing: Mapping[str, Any]) -> str:
    size, channels = preprocessing["image_size"], preprocessing["in_channels"]
    mean, std = ("[" + ", ".join(f"{value:g}" for value in preprocessing[name]) + "]" for name in ("mean", "std"))
    ways = f"{preprocessing['interpolation']}, {preprocessing['resize']}"
    return f"{size}×{size}×{channels}, mean {mean}, std {std}, {ways}, decoded in full"
