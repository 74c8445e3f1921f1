"""The settings that are numbers or one of a few words: what each may be."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from ..analysis.metrics import MONITORS


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
        limits = f"{plain(self.low)} and {plain(self.high)}"
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


SWITCH = Choice((True, False))
ANSWERS = ("best", "cost", "levels", "pretraining", "gap", "sharpness", "depth")
"""How a study can be answered: `src.reporting.answers` has the words."""

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
    "data.batch_size": Number(2, 65_536, whole=True, words=("auto",)),  # batch norm can't train on one image
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
    "split": Choice(("test", "val", "train", "all")),
    "calibrate": SWITCH,
    "mistakes": Number(0, 64, whole=True),
    "port": Number(1, 65_535, whole=True),
    "browser": SWITCH,
    "num_workers": Number(0, 256, whole=True, words=("auto",)),
    "top_k": Number(1, 100_000, whole=True),
    "overlays": SWITCH,
    "calibrated": SWITCH,
}

NULLABLE = {
    "model.num_classes",
    "data.num_classes",
    "budget",
    "max_images",
    "channels",
    "steps",
    "split",
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


def plain(value: Any) -> str:
    """The value as it is typed: `true`, `null`, `0.001`."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"{value:,.12g}".replace(",", "") if isinstance(value, float) else str(value)
