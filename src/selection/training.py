"""A candidate's training, one piece after the other: its configuration, its pictures, its figures."""

import gc
import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Timer
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torch.nn import functional as F

from ..data import ImageDataModule
from ..files import write_text
from ..logs import LogFile
from ..runs.folder import RunFolder
from ..settings.check import check_config
from ..settings.composing import composing_beside
from ..settings.trust import without_hydra
from ..training.assemble import Parts, to_dict
from ..training.session import advance, measure_validation
from .candidates import HEAD, TUNED, Candidate
from .record import Measured

WARM_UP = 50
"""Steps, but no more than an epoch."""

ALWAYS = (
    "scheduler=trapezoid", "ema=0.998", "cost=false", "baseline=false", "test=false", "logger=none",
    "callbacks.gradcam=null", "trainer.num_sanity_val_steps=0", "trainer.enable_progress_bar=false",
    "trainer.max_epochs=-1",
)  # fmt: skip
"""A constant rate whose average is validated, so that rounds of any length can be compared."""


def compose(words: Sequence[str]) -> DictConfig:
    """Return the configuration that these words are to `src.train`, checked."""
    with composing_beside("train") as composer:
        cfg = composer.compose(words)
        composer.check(cfg)
        plain: DictConfig = without_hydra(cfg)
        return plain


def until(seconds: float) -> str:
    """Return whole seconds as `trainer.max_time` takes them."""
    whole = max(1, int(seconds))
    return f"{whole // 86400:02}:{whole // 3600 % 24:02}:{whole // 60 % 60:02}:{whole % 60:02}"


class Watch(L.Callback):
    """Sees how long steps take, and what the last validation answered."""

    def __init__(self) -> None:
        self.logits: list[Tensor] = []
        self.targets: list[Tensor] = []
        self.times: list[float] = []
        self.validation_seconds = float("nan")
        self._start = self._validation = 0.0

    def on_train_batch_start(self, *_: Any) -> None:
        self._start = time.perf_counter()

    def on_train_batch_end(self, *_: Any) -> None:
        self.times.append(time.perf_counter() - self._start)

    def on_validation_start(self, *_: Any) -> None:
        self.logits, self.targets, self._validation = [], [], time.perf_counter()

    def on_validation_end(self, *_: Any) -> None:
        self.validation_seconds = time.perf_counter() - self._validation

    def on_validation_batch_end(
        self, trainer: L.Trainer, _: L.LightningModule, outputs: Any, batch: Any, *__: Any
    ) -> None:
        if not trainer.sanity_checking:
            self.logits.append(outputs.float().cpu())
            self.targets.append(batch[1].cpu())

    @property
    def step_seconds(self) -> float:
        """Of the steps behind the first two, which warm up; NaN without any."""
        return float(np.median(self.times[2:] or self.times)) if self.times else float("nan")


class Pictures:
    """The images of all candidates: looked for once, decoded once a size, features kept with their candidate."""

    def __init__(self, found: ImageDataModule) -> None:
        self.first = found
        self._modules: dict[str, ImageDataModule] = {}

    def of(self, candidate: Candidate, cfg: DictConfig) -> ImageDataModule:
        """Return the images as a candidate's configuration has them."""
        data = self._modules.get(candidate.name)
        if data is None:
            data = ImageDataModule(**to_dict(cfg)["data"], seed=cfg.seed)
            data.take(self.first.found)
            self._modules[candidate.name] = data
        if candidate.how == TUNED and (head := self._modules.get(replace(candidate, how=HEAD).name)) is not None:
            data.seen = head.features
        if not data.shelves:
            others = (
                other
                for other in self._modules.values()
                if other.shelves and other.geometry == data.geometry and other.augmentation == data.augmentation
            )
            data.shelves = dict(next((other.shelves for other in others), {}))
        return data

    def forget(self, name: str) -> None:
        self._modules.pop(name, None)


@contextmanager
def quiet(folder: Path) -> Iterator[None]:
    """Let what a training says go to the train.log in its folder alone."""
    folder.mkdir(parents=True, exist_ok=True)
    handler = LogFile(folder / "train.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root, before = logging.getLogger(), list(logging.getLogger().handlers)
    root.handlers = [handler]
    try:
        yield
    finally:
        root.handlers = before
        handler.close()


def keep_settings(run: RunFolder, cfg: DictConfig, words: Sequence[str]) -> None:
    """Write `.hydra/` as for a run that was typed: what a piece trains with is what the run says of itself."""
    write_text(run.hydra / "config.yaml", OmegaConf.to_yaml(cfg))
    write_text(run.hydra / "overrides.yaml", OmegaConf.to_yaml(list(words)))


def train_on(
    candidate: Candidate,
    run: RunFolder,
    words: Sequence[str],
    pictures: Pictures,
    before: Measured | None,
    *,
    command: str,
    by: float,
) -> Measured:
    """Train a candidate as far as `words` say, from where it stands, and measure it on the validation images."""
    start = time.monotonic()
    cfg = compose(words)
    check_config(cfg)
    watch = Watch()
    with quiet(run.path):
        keep_settings(run, cfg, words)
        parts = advance(cfg, run, command, data=pictures.of(candidate, cfg), callbacks=[watch], again="", by=by)
        logits, targets = watch.logits, watch.targets
        if not logits:  # the round was over when the search was stopped
            logits, targets = measure_validation(parts)
    wall = time.monotonic() - start
    every, true = torch.cat(logits), torch.cat(targets)
    measured = Measured(
        steps=parts.trainer.global_step,
        seconds=trained_seconds(parts),
        right=(every.argmax(dim=1) == true).numpy(),
        losses=F.cross_entropy(every, true, reduction="none").numpy(),
        wall=wall,
        around=max(0.0, wall - trained_seconds(parts) + (before.seconds if before else 0.0)),
        step_seconds=watch.step_seconds,
        image_seconds=_image_seconds(parts, watch, wall, before),
    )
    del parts
    gc.collect()  # Trainer, module and network refer to each other
    return measured


def _image_seconds(parts: Parts, watch: Watch, wall: float, before: Measured | None) -> float:
    """Return what an image costs in evaluation the first time, decoding included: test images are yet to be seen.

    Of kept features it is what it took to compute them.
    """
    if not parts.caches_features:
        now = watch.validation_seconds / max(1, parts.data.size("val"))
        known = [one for one in (now, before.image_seconds if before else math.nan) if not math.isnan(one)]
        return max(known, default=math.nan)
    if before is not None:  # it has them since then
        return before.image_seconds
    return (wall - trained_seconds(parts)) / (parts.data.size("train") + parts.data.size("val"))


def trained_seconds(parts: Parts) -> float:
    """Return how long a candidate has been trained so far, by the clock that `trainer.max_time` goes by."""
    callbacks: list[L.Callback] = parts.trainer.callbacks  # type: ignore[attr-defined]
    timers = [callback.time_elapsed() for callback in callbacks if isinstance(callback, Timer)]
    return max(timers, default=float(sum(row["seconds"] for row in parts.history.rows)))
