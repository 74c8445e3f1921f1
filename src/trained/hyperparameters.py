"""Whether a checkpoint's hyper-parameters are what src.train writes, checked before anything is built from them."""

import math
from collections.abc import Mapping
from typing import Any

import torch

from ..analysis.tasks import MULTILABEL, TASKS
from ..data.transforms import INTERPOLATIONS
from ..networks import build_network
from ..settings.check import problem

DEEPEST = 8
"""Levels of dictionaries and lists; src.train writes three."""

MOST_VALUES = 400_000
"""A list that holds a list ten times, which holds one ten times, and so on, can have any number of values."""

LONGEST_NAME = 1_000
"""Characters of a class name, which is the name of a folder: file systems allow 255 bytes."""

GROUPS = {
    "architecture": ("model", "data"),
    "preprocessing": ("model", "data"),
    "optimizer": ("optimizer",),
    "scheduler": ("scheduler",),
}
"""The groups of hyper-parameters, and where their settings stand in the schema."""

ALONE = {"label_smoothing", "freeze", "mixup", "cutmix", "progressive_size", "test_flip", "convolutions", "seed"}


def check_hyperparameters(settings: Any) -> None:
    """Raise `ValueError`, in a few words, for settings from which `ImageClassifier` can't be built safely.

    Nothing is allocated: the sizes of a network are limited as on the command line.
    """
    _check_plain(settings)
    architecture, preprocessing = (_mapping(settings, key) for key in ("architecture", "preprocessing"))
    for group, names in GROUPS.items():
        for key, value in _mapping(settings, group).items():
            _check(f"{group}.{key}", value, [f"{name}.{key}" for name in names])
    for key in settings.keys() & ALONE:
        _check(key, settings[key], [key])
    size, channels = preprocessing["image_size"], preprocessing["in_channels"]
    if (architecture.get("image_size", size), architecture.get("in_channels", channels)) != (size, channels):
        raise ValueError("network and preprocessing disagree on the image")
    if settings.get("task", MULTILABEL.name) not in TASKS:
        raise ValueError("task is unknown")
    names = settings["class_names"]
    if not _are(names, str) or len(names) != architecture["num_classes"] or len(set(names)) < len(names):
        raise ValueError(f"class_names are not the names of {architecture['num_classes']} classes")
    if max(map(len, names)) > LONGEST_NAME or any("\0" in name for name in names):
        raise ValueError(f"class_names have one of more than {LONGEST_NAME:,} characters, or with a zero in it")
    for key in ("mean", "std"):
        values = preprocessing[key]
        if not _are(values, int | float) or len(values) != channels or not all(map(math.isfinite, values)):
            raise ValueError(f"preprocessing.{key} is not {channels} numbers")
    if min(preprocessing["std"]) <= 0:
        raise ValueError("preprocessing.std is not above 0")
    if preprocessing.get("range") == "auto":
        raise ValueError("preprocessing.range=auto says nothing")
    if settings["optimizer"].get("lr") == "auto":
        raise ValueError("optimizer.lr=auto says nothing")
    if preprocessing["interpolation"] not in INTERPOLATIONS:
        raise ValueError(f"preprocessing.interpolation={preprocessing['interpolation']} is unknown")
    weights = settings.get("class_weights")
    if weights is not None and not (_are(weights, float) and len(weights) == len(names)):
        raise ValueError(f"class_weights are not {len(names)} numbers")
    if not all(0 <= weight < math.inf for weight in weights or ()):
        raise ValueError("class_weights are not finite, or below 0")


def check_shapes(settings: Mapping[str, Any], state: Mapping[str, torch.Tensor]) -> None:
    """Raise `ValueError` if the tensors are not those of the network, which is built without memory to compare."""
    architecture = settings["architecture"]
    with torch.device("meta"):
        own = build_network(**architecture).state_dict()
    expected = {f"network.{name}": tensor for name, tensor in own.items()}
    if settings.get("task") == MULTILABEL.name:
        expected["thresholds"] = torch.empty(architecture["num_classes"], device="meta")
    for words, names in (("lacks", expected.keys() - state.keys()), ("has an unknown", state.keys() - expected.keys())):
        if names:
            raise ValueError(f"it {words} {min(map(str, names))[:60]}")
    for name, tensor in expected.items():
        if state[name].shape != tensor.shape or state[name].is_floating_point() != tensor.is_floating_point():
            raise ValueError(f"{name} is of another shape than {architecture['name']} has")


def _check_plain(settings: Any) -> None:
    """Raise `ValueError` unless all values are dictionaries, lists, numbers or words, not too deep and not too many."""
    waiting, count = [(settings, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if depth > DEEPEST or count > MOST_VALUES:
            raise ValueError("hyper_parameters hold too much")
        if isinstance(value, dict) and all(type(key) is str for key in value):
            waiting += [(inner, depth + 1) for inner in value.values()]
        elif isinstance(value, list | tuple):
            waiting += [(inner, depth + 1) for inner in value]
        elif value is not None and type(value) not in (str, bool, int, float):
            raise ValueError(f"hyper_parameters hold a {type(value).__name__}")
        elif type(value) is int and abs(value) >= 2**63:
            raise ValueError("hyper_parameters hold a number without end")


def _check(name: str, value: Any, keys: list[str]) -> None:
    """Raise `ValueError` if the schema of settings has one of these keys, and not this value for it."""
    for key in keys:
        if wrong := problem(key, value):
            raise ValueError(f"{name}={str(value)[:40]}: {wrong}")


def _mapping(settings: dict[str, Any], key: str) -> dict[str, Any]:
    value = settings.get(key)
    if not isinstance(value, dict):
        raise ValueError(f"hyper_parameters lack {key}")
    return value


def _are(values: Any, kind: Any) -> bool:
    return isinstance(values, list | tuple) and all(isinstance(value, kind) for value in values)
