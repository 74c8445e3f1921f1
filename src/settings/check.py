"""What a composed configuration may say: ranges and choices, checked in milliseconds and without torch."""

import math
import os
from difflib import get_close_matches
from numbers import Real
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..analysis.metrics import mode_of
from ..errors import InputError, first_line
from .rules import ANSWERS, NULLABLE, RULES, plain


def check_config(cfg: DictConfig) -> None:
    """Raise `InputError` for the first setting of a composed configuration that can't be meant.

    Keys that a configuration doesn't have are passed over: each verb, and each option of a group, has its own.
    """
    try:
        values = {key: OmegaConf.select(cfg, key, default=_ABSENT) for key in RULES}
        missing = sorted(OmegaConf.missing_keys(cfg))
        OmegaConf.resolve(cfg.copy())
    except OmegaConfBaseException as error:
        line = first_line(error)
        if "Missing mandatory value: " not in line:  # of a setting that another one refers to
            raise InputError(line) from error
        missing = [line.rpartition(" ")[2]]
    if missing:
        raise InputError(f"{missing[0]} has no default: say {missing[0]}=…")
    for key, value in values.items():
        if value is _ABSENT or (value is None and key in NULLABLE):
            continue
        problem = RULES[key].problem(value)
        if problem:
            raise InputError(f"{key}={plain(value)} is not possible: {problem}")
    try:
        _check_kinds(cfg)
        if "data" in cfg and set(cfg.data) != {"root"}:  # src.explain knows the rest from the run
            _check_data(cfg)
        if "monitor" in cfg:
            _check_direction(cfg)
    except OmegaConfBaseException as error:  # a group or a key was taken out with ~
        raise InputError(f"{first_line(error)}: the configuration needs it") from error


def _check_kinds(cfg: DictConfig) -> None:
    """What is neither a number nor a choice: groups, paths and names."""
    for group in ("model", "data", "trainer", "optimizer", "scheduler", "callbacks", "logger"):
        if group in cfg and not isinstance(cfg[group], DictConfig):
            raise InputError(f"{group}={cfg[group]} is not possible: choose one of the group's options")
    weights = OmegaConf.select(cfg, "model.weights")
    if not isinstance(weights, str | None):
        raise InputError(f"weights={weights} is not possible: take imagenet, a FILE, or null")
    if weights not in (None, "imagenet") and not Path(weights).expanduser().exists():
        raise InputError(f"weights={weights} is no file: name a .pth or .safetensors file, or take imagenet or null")
    sweep = OmegaConf.select(cfg, "sweep")
    if isinstance(sweep, str) and (not {"/", os.sep}.isdisjoint(sweep) or sweep.startswith(".") or sweep == "report"):
        raise InputError(f"sweep={sweep} is no name: take one without / that doesn't begin with a dot, not report")
    study = OmegaConf.select(cfg, "study")
    if study is not None and (not isinstance(study, DictConfig) or study.get("answer", "best") not in ANSWERS):
        raise InputError(
            f"study={study} is not possible: take null, or a question and its answer: {', '.join(ANSWERS)}"
        )
    layer = OmegaConf.select(cfg, "callbacks.gradcam.layer")
    if not isinstance(layer, str | None):
        raise InputError(f"callbacks.gradcam.layer={layer} is not possible: take a name such as layer3, or null")


def _check_data(cfg: DictConfig) -> None:
    if not isinstance(cfg.data.root, str) or not cfg.data.root.strip():
        raise InputError(f"data.root={plain(cfg.data.root)} names no folder: say data.root=FOLDER")
    if not isinstance(cfg.data.augment, DictConfig | None):
        raise InputError(f"data.augment={cfg.data.augment} is not possible: take null or settings such as flip")
    folds, fold = OmegaConf.select(cfg, "data.folds"), OmegaConf.select(cfg, "data.fold")
    if (folds is None) != (fold is None) or (folds is not None and fold >= folds):
        raise InputError(
            f"data.folds={plain(folds)} data.fold={plain(fold)} is not possible: say which of how many parts is the "
            "test, data.folds=5 data.fold=0 (to 4), or leave both out"
        )
    for key in ("mean", "std"):
        values, channels = OmegaConf.select(cfg, f"data.{key}"), cfg.data.in_channels
        if not isinstance(values, ListConfig) or not all(isinstance(v, Real) and math.isfinite(v) for v in values):
            raise InputError(f"data.{key}={values} is not possible: take a list of numbers, one a channel")
        if len(values) != channels:
            raise InputError(
                f"data.{key} has {len(values)} values for data.in_channels={channels}: give one a channel, "
                f"as data.{key}=[{','.join(['0.5'] * channels)}]"
            )
        if key == "std" and min(values) <= 0:
            raise InputError(f"data.std={values} is not possible: all standard deviations are above 0")


def _check_direction(cfg: DictConfig) -> None:
    wanted = mode_of(cfg.monitor)
    if cfg.mode != wanted:
        raise InputError(f"mode={cfg.mode} would keep the worst checkpoint by {cfg.monitor}: say mode={wanted}")


def keys(cfg: Any, prefix: str = "") -> list[str]:
    """All settings of a configuration as dotted names, inner nodes included."""
    names: list[str] = []
    if isinstance(cfg, DictConfig):
        for key in map(str, cfg):
            name = f"{prefix}{key}"
            names += [name, *keys(cfg._get_node(key), f"{name}.")]
    return names


def nearest(word: str, candidates: list[str]) -> str:
    """The candidates most like a misspelt word, best first: `resnet50, resnet101`. Without any, the first few."""
    near = get_close_matches(word, candidates, n=3, cutoff=0.5)
    # A right key in the wrong place: `lr` instead of `optimizer.lr`.
    near += [name for name in candidates if name.rsplit(".", 1)[-1] == word.rsplit(".", 1)[-1] and name not in near]
    return ", ".join(near[:4] or candidates[:12])


_ABSENT = object()
