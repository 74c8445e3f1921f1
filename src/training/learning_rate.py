"""What `optimizer.lr=auto` comes to: Lightning's learning-rate finder on a copy of the network, before it is trained.

The loss is followed while the rate rises by a factor at each step (Smith 2015, https://arxiv.org/abs/1506.01186,
section 3.3). The copy has a Trainer, loader and random state of its own, so that the training that follows is, bit by
bit, that of the same rate typed.
"""

import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.tuner.tuning import Tuner
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor
from torch.optim import Optimizer

from ..data import ImageDataModule
from .classifier import ImageClassifier
from .optimizers import build_optimizer
from .processes import leave_signals_to_us

STEPS = 100
LOWEST, HIGHEST = 1e-3, 1e2
"""The rates that are tried, as multiples of the usual one."""

SKIPPED = 10
"""First steps, whose running mean is of too few losses: those that Lightning's `suggestion` leaves out, too."""

HALF = 5
"""A fall is measured over twice as many steps, half a decade of rates."""

NEARLY = 0.8
"""Share of the steepest fall."""

LEAST_FALL = 0.02
"""A loss that falls by a smaller share says nothing."""

TAKEN_OVER = ("accumulate_grad_batches", "benchmark", "detect_anomaly", "deterministic", "gradient_clip_algorithm",
              "gradient_clip_val", "limit_train_batches", "overfit_batches")  # fmt: skip
"""Settings of the Trainer that a step depends on, or that are the whole process's."""


@dataclass(frozen=True)
class RateCurve:
    """What the finder has seen: `losses` (N,), smoothed, at `rates` (N,), which rise, and the rate that is taken.

    `found` is None where the losses don't tell.
    """

    rates: Sequence[float]
    losses: Sequence[float]
    found: float | None


class RateFinding(L.LightningModule):
    """Steps of a classifier's training at the finder's rates, of which each group of weights gets its own multiple."""

    def __init__(self, classifier: ImageClassifier) -> None:
        super().__init__()
        self.classifier = classifier
        self._multiples: list[float] = []

    def configure_optimizers(self) -> Optimizer:
        settings = self.classifier.hparams["optimizer"]
        optimizer = build_optimizer(self.classifier.network, **settings)
        self._multiples = [group["lr"] / settings["lr"] for group in optimizer.param_groups]
        return optimizer

    def on_train_start(self) -> None:
        callbacks: list[Any] = self.trainer.callbacks  # type: ignore[attr-defined]
        callbacks[0].progress_bar_refresh_rate = 0  # the finder's own bar

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return self.classifier.learn(batch, batch_idx)[0]

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        for group, multiple in zip(optimizer.param_groups, self._multiples, strict=True):
            group["lr"] *= multiple

    def configure_gradient_clipping(self, *arguments: Any, **named: Any) -> None:
        self.classifier.configure_gradient_clipping(*arguments, **named)


def find_rate(
    module: ImageClassifier, data: ImageDataModule, trainer: L.Trainer, settings: Mapping[str, Any]
) -> RateCurve:
    """Return what losses tell of rates around the one that the module has; leave module, data and random state as is.

    Args:
        trainer: Of the training to come. The first of its processes finds the rate, with the images of all of them.
        settings: The group `trainer` of the configuration.
    """
    usual = module.hparams["optimizer"]["lr"]
    before, data.trainer = data.trainer, None  # which would divide the images among its processes
    try:
        with isolate_rng(), quiet_lightning(), tempfile.TemporaryDirectory() as folder:
            torch.manual_seed(module.hparams["seed"])
            tuner = Tuner(_trainer(trainer, settings, folder))
            finder = tuner.lr_find(
                RateFinding(_copy(module)),
                train_dataloaders=data.train_dataloader(),
                min_lr=usual * LOWEST,
                max_lr=usual * HIGHEST,
                num_training=STEPS,
                update_attr=False,
            )
    finally:
        data.trainer = before
    assert finder is not None
    rates, losses = (finder.results[name][SKIPPED:] for name in ("lr", "loss"))
    return RateCurve(rates, losses, pick(rates, losses))


def pick(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """Return the largest rate at which the loss falls nearly as steeply as anywhere before it is lowest; None if none.

    Steep is meant for a factor of the rate. Over a decade or two the loss often falls in a straight line, on which
    noise alone decides where it is steepest. The rate has three digits, so that it can be typed. Lightning's own
    `suggestion` looks for the largest fall divided by the rate, and so takes one of the smallest, at which next to
    nothing is learned (0.0002 for 0.06).
    """
    known = np.asarray(losses)
    known = known[: int(np.argmin(np.isfinite(known))) if not np.isfinite(known).all() else None]
    known = known[: int(known.argmin()) + 1] if len(known) else known
    if len(known) < 3 or known.max() - known[-1] < LEAST_FALL * known.max():
        return None
    half = min(HALF, (len(known) - 1) // 2)
    falls = known[: -2 * half] - known[2 * half :]  # the rates rise by the same factor at each step
    chosen = half + int(np.flatnonzero(falls >= NEARLY * falls.max())[-1])
    return float(f"{rates[chosen]:.3g}")


def _copy(module: ImageClassifier) -> ImageClassifier:
    own = type(module)(**module.hparams)
    own.load_state_dict(module.state_dict())
    own.memory_format = module.memory_format
    own.network.to(memory_format=module.memory_format)
    return own


def _trainer(trainer: L.Trainer, settings: Mapping[str, Any], folder: str) -> L.Trainer:
    """Return a Trainer for the finder's steps in this process alone, which take as many images as those to come."""
    device, taken = trainer.strategy.root_device, {key: settings[key] for key in TAKEN_OVER if key in settings}
    taken["accumulate_grad_batches"] = settings["accumulate_grad_batches"] * trainer.world_size
    own = L.Trainer(
        **taken,
        accelerator="gpu" if device.type == "cuda" else device.type,
        devices=1 if device.index is None else [device.index],
        precision=trainer.precision,
        max_epochs=-1,
        max_steps=STEPS,
        callbacks=None,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )
    leave_signals_to_us(own)
    return own


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's lines about this Trainer from the screen."""
    lightning = logging.getLogger("lightning.pytorch")
    level = lightning.level
    lightning.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        lightning.setLevel(level)
