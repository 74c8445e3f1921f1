"""What a composed configuration may say: ranges and choices, checked in milliseconds and without torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from numbers import Real
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.errors import InputError


@dataclass(frozen=True)
class Number:
    """A number in [low, high], or in the open interval where `open` is set; a whole one where `whole` is set."""

    low: float
    high: float
    whole: bool = False
    open: bool = False
    words: tuple[str, ...] = ()
    """Words that are allowed in place of a number."""

    def problem(self, value: Any) -> str | None:
        """What is wrong with the value, in words; None when nothing is."""
        if value in self.words and isinstance(value, str):
            return None
        number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
        if number and self.whole:
            number = float(value) == int(value) and not isinstance(value, float)
        inside = number and (self.low < value < self.high if self.open else self.low <= value <= self.high)
        if inside:
            return None
        kind = "a whole number" if self.whole else "a number"
        limits = f"{_plain(self.low)} and {_plain(self.high)}"
        between = f"strictly between {limits}" if self.open else f"between {limits}"
        return f"take {kind} {between}" + "".join(f", or {word}" for word in self.words)


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    options: tuple[Any, ...]

    def problem(self, value: Any) -> str | None:
        if any(value == option and type(value) is type(option) for option in self.options):  # True is not 1
            return None
        return "take " + " or ".join(str(option).lower() for option in self.options)


MONITORS = tuple(
    f"{split}/{name}" for split in ("val", "train") for name in ("accuracy", "loss", "precision", "recall", "f1")
)
SWITCH = Choice((True, False))

RULES: Mapping[str, Number | Choice] = {
    "seed": Number(0, 2**32 - 1, whole=True),
    "monitor": Choice(MONITORS),
    "mode": Choice(("max", "min")),
    "baseline": SWITCH,
    "test": SWITCH,
    "compile": SWITCH,
    "quick": SWITCH,
    "strict": SWITCH,
    "samples": Number(1, 64, whole=True),
    "budget": Number(0, 86_400, open=True),
    "cost": SWITCH,
    "memory_format": Choice(("auto", "channels_last", "contiguous")),
    "label_smoothing": Number(0, 0.99),
    "model.num_classes": Number(2, 100_000, whole=True),
    "model.in_channels": Choice((1, 3)),
    "model.stem": Choice(("auto", "imagenet", "small")),
    "model.stem_pool": Choice(("auto", True, False)),
    "model.width": Number(1, 4096, whole=True),
    "model.freeze": Number(1, 1_000_000, whole=True, words=("none", "backbone")),
    "data.image_size": Number(4, 4096, whole=True),
    "data.in_channels": Choice((1, 3)),
    "data.num_classes": Number(2, 100_000, whole=True),
    "data.batch_size": Number(2, 65_536, whole=True),  # batch norm can't train on one image
    "data.num_workers": Number(0, 256, whole=True, words=("auto",)),
    "data.val_fraction": Number(0, 1, open=True),
    "data.test_fraction": Number(0, 1, open=True),
    "data.max_skipped": Number(0, 1),
    "data.interpolation": Choice(("bilinear", "bicubic")),
    "data.folds": Number(2, 1000, whole=True),
    "data.fold": Number(0, 999, whole=True),
    "data.train_fraction": Number(0.0001, 1),
    "data.max_images": Number(2, 1_000_000_000, whole=True),
    "data.imbalance": Number(1, 1_000_000),
    "data.balance": Choice(("none", "loss", "sampler")),
    "data.shuffle_labels": SWITCH,
    "data.classes": Number(2, 100_000, whole=True, words=("animals",)),
    "data.class_seed": Number(0, 2**32 - 1, whole=True),
    "data.cache_features": Choice(("auto", True, False)),
    "data.augment.shift": Number(0, 1024, whole=True),
    "data.augment.flip": SWITCH,
    "data.augment.scale": Number(0.01, 1),
    "data.augment.color": Number(0, 1),
    "trainer.max_epochs": Number(1, 1_000_000, whole=True),
    "trainer.accumulate_grad_batches": Number(1, 1_000_000, whole=True),
    "trainer.check_val_every_n_epoch": Number(1, 1_000_000, whole=True),
    "trainer.gradient_clip_val": Number(0, 1e9),
    "trainer.limit_train_batches": Number(0, 1e9, open=True),
    "trainer.limit_val_batches": Number(0, 1e9, open=True),
    "trainer.limit_test_batches": Number(0, 1e9, open=True),
    "trainer.log_every_n_steps": Number(1, 1_000_000, whole=True),
    "optimizer.lr": Number(0, 1000, open=True),
    "optimizer.momentum": Number(0, 0.9999),
    "optimizer.weight_decay": Number(0, 100),
    "optimizer.layer_decay": Number(0.001, 1),
    "scheduler.warmup_epochs": Number(0, 1_000_000),
    "scheduler.final": Number(0, 1),
    "scheduler.warmup": Number(0, 1, open=True),
    "scheduler.every": Number(1, 1_000_000, whole=True),
    "scheduler.gamma": Number(0, 1, open=True),
    "callbacks.gradcam.images": Number(1, 256, whole=True),
    "batch_size": Number(1, 65_536, whole=True),  # behind data.batch_size, which it is by default
    "callbacks.gradcam.target": Choice(("predicted", "true")),
    "misclassified": SWITCH,
    "faithfulness": SWITCH,
    "max_images": Number(1, 1_000_000, whole=True),
    "channels": Number(1, 100_000, whole=True),
    "per_class": Number(1, 64, whole=True),
    "steps": Number(1, 100_000, whole=True),
    "accelerator": Choice(("auto", "cpu", "gpu")),
}

NULLABLE = {
    "model.num_classes",
    "data.num_classes",
    "budget",
    "max_images",
    "channels",
    "steps",
    "data.folds",
    "data.fold",
    "data.max_images",
    "data.classes",
    "trainer.gradient_clip_val",
    "trainer.log_every_n_steps",
    "trainer.limit_train_batches",
    "trainer.limit_val_batches",
    "trainer.limit_test_batches",
}
"""Settings whose `null` means: counted, or Lightning's own default."""


def check_config(cfg: DictConfig) -> None:
    """Raise `InputError` for the first setting of a composed configuration that can't be meant.

    Keys that a configuration doesn't have are passed over: each verb, and each option of a group, has its own.
    """
    try:
        values = {key: OmegaConf.select(cfg, key, default=_ABSENT) for key in RULES}
        missing = sorted(OmegaConf.missing_keys(cfg))
        OmegaConf.resolve(cfg.copy())
    except OmegaConfBaseException as error:
        line = str(error).splitlines()[0]
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
            raise InputError(f"{key}={_plain(value)} is not possible: {problem}")
    try:
        _check_kinds(cfg)
        if "data" in cfg and set(cfg.data) != {"root"}:  # src.explain knows the rest from the run
            _check_data(cfg)
        if "monitor" in cfg:
            _check_direction(cfg)
    except OmegaConfBaseException as error:  # a group or a key was taken out with ~
        raise InputError(f"{str(error).splitlines()[0]}: the configuration needs it") from error


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
    layer = OmegaConf.select(cfg, "callbacks.gradcam.layer")
    if not isinstance(layer, str | None):
        raise InputError(f"callbacks.gradcam.layer={layer} is not possible: take a name such as layer3, or null")


def _check_data(cfg: DictConfig) -> None:
    if not isinstance(cfg.data.root, str) or not cfg.data.root.strip():
        raise InputError(f"data.root={cfg.data.root!r} names no folder: say data.root=FOLDER")
    if not isinstance(cfg.data.augment, DictConfig | None):
        raise InputError(f"data.augment={cfg.data.augment} is not possible: take null or settings such as flip")
    folds, fold = OmegaConf.select(cfg, "data.folds"), OmegaConf.select(cfg, "data.fold")
    if (folds is None) != (fold is None) or (folds is not None and fold >= folds):
        raise InputError(
            f"data.folds={_plain(folds)} data.fold={_plain(fold)} is not possible: say which of how many parts is the "
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
    wanted = "min" if cfg.monitor.endswith("loss") else "max"
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


def _plain(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"{value:,.12g}".replace(",", "") if isinstance(value, float) else str(value)
