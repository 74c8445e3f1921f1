"""Judges of class images: networks of another architecture, trained from another seed, that say what they see.

A class image is made to convince one network, and always does. Whether it shows the class or only that network's
weakness is told by another one, which had no part in it.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from rich.table import Table
from torch import Tensor

from ..attribution.snapshot import device_of, frozen_copy
from ..errors import InputError
from ..runs.folder import RunFolder
from ..runs.saved_settings import run_settings
from ..settings.composing import CONF
from ..trained.pictures import open_data
from ..training.classifier import ImageClassifier
from .controls import train_beside

log = logging.getLogger(__name__)

EPOCHS, IMAGES = 6, 10_000
"""Of a judge's training, unless the run had fewer: a minute for digits, some for photographs of 128 pixels."""

BATCH = 64


@dataclass(frozen=True, eq=False)
class Verdict:
    """What a network says about n images: `targets`, `predicted` (n,) int64, `confidences` (n,) of the predicted."""

    targets: NDArray[np.int64]
    predicted: NDArray[np.int64]
    confidences: NDArray[np.float32]

    @property
    def share(self) -> float:
        """How many of the images are named as their class, in [0, 1]: top-1."""
        return float((self.predicted == self.targets).mean())

    @property
    def per_class(self) -> dict[int, float]:
        """`share` of each class that there are images of."""
        return {
            int(target): float((self.predicted[self.targets == target] == target).mean())
            for target in np.unique(self.targets)
        }


@dataclass(frozen=True, eq=False)
class Judgement:
    """One judge's verdicts on class images, and on what they have to be compared with.

    `pixel_ascent` are images of the same network by plain gradient ascent on pixels, from noise, `ascent_from_mean`
    from where class images start, too; `random_weights` class images of a network that has learned nothing, `real`
    images of the data set that the judge was not trained on.
    """

    class_images: Verdict
    pixel_ascent: Verdict
    ascent_from_mean: Verdict
    random_weights: Verdict
    real: Verdict

    @property
    def figures(self) -> dict[str, float]:
        """`Verdict.share` of all four, by their names."""
        return {name: verdict.share for name, verdict in vars(self).items()}

    def table(self) -> Table:
        """Who was named right how often, a row each."""
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
        for name, justify in (("", "left"), ("named right", "right"), ("confidence", "right"), ("images", "right")):
            table.add_column(name, justify=justify)  # type: ignore[arg-type]
        for name, verdict in vars(self).items():
            confidence = f"{verdict.confidences.mean():.2f}"
            table.add_row(name.replace("_", " "), f"{verdict.share:.3f}", confidence, str(len(verdict.targets)))
        return table


@dataclass(frozen=True, eq=False)
class Judge:
    """A trained judge: its `module`, the `checkpoint` it came from, its test `accuracy` in [0, 1], its `seconds`."""

    module: ImageClassifier
    checkpoint: Path
    accuracy: float
    seconds: float

    @property
    def name(self) -> str:
        return str(self.module.hparams["architecture"]["name"])


def judged(judge: ImageClassifier, images: NDArray[np.uint8] | Tensor, targets: Sequence[int] | NDArray) -> Verdict:
    """What `judge` says about `images` uint8 (n, C, S, S), of which `targets` (n,) are the classes that are meant.

    The images are resized to the judge's own size and normalised as it was trained. The judge is left as it was.
    Raises `InputError` where images and judge can't be of the same data set.
    """
    pixels = torch.as_tensor(np.asarray(images))
    wanted = np.asarray(targets, dtype=np.int64)
    settings, classes = judge.hparams["preprocessing"], len(judge.class_names)
    if pixels.dtype != torch.uint8 or pixels.ndim != 4 or len(pixels) != len(wanted) or len(pixels) == 0:
        raise InputError(f"a judge wants uint8 (n, C, S, S) and n targets, not {tuple(pixels.shape)} {pixels.dtype}")
    if pixels.shape[1] != settings["in_channels"]:
        raise InputError(
            f"the judge sees {settings['in_channels']} channels and the images have {pixels.shape[1]}: "
            "name a judge=CHECKPOINT of the same data set"
        )
    if wanted.min() < 0 or wanted.max() >= classes:
        raise InputError(f"the judge knows {classes} classes, not class {wanted.max()}: name another judge=CHECKPOINT")
    with frozen_copy(judge.network) as network, torch.no_grad():
        slices = [_resized(part, settings["image_size"]) for part in pixels.split(BATCH)]
        logits = [network(judge.normalise(part).to(device_of(network)).float()) for part in slices]
    best = torch.cat(logits).cpu().softmax(dim=1).max(dim=1)
    return Verdict(wanted, best.indices.numpy(), best.values.numpy())


def train_judge(
    run: RunFolder,
    folder: Path,
    *,
    model: str | None = None,
    epochs: int = EPOCHS,
    images: int = IMAGES,
    data_root: str | None = None,
) -> Judge:
    """A judge for the class images of `run`, trained on its data in `folder`; one that lies there whole is taken.

    It follows the run's own configuration, with another architecture (`model`, by default simple_cnn, or resnet18 where
    the run is one itself), from scratch and with the next seed, hence on another division of the data as well, for at
    most `epochs` and on at most `images` training images. `data_root` says where these lie now. Raises `InputError`
    without the run's configuration, or where `folder` holds a judge for other classes.
    """
    settings = judge_settings(run, model=model, epochs=epochs, images=images)
    if data_root is not None:
        settings.data.root = data_root
    target = RunFolder(folder)
    if not target.is_whole:
        log.info("trains a judge: %s, seed %d, in %s", settings.model.name, settings.seed, target.shown)
        train_beside(settings, target, "judge")
    judge = read_judge(folder)
    own = run_settings(target)
    moved = data_root is not None
    if own.data.name != settings.data.name or (str(own.data.root) != str(settings.data.root) and not moved):
        raise InputError(f"{folder} holds a judge for {own.data.name}, not {settings.data.name}: name another folder")
    return judge


def read_judge(folder: Path) -> Judge:
    """The judge that `train_judge` left in `folder`."""
    run = RunFolder(folder)
    if not run.is_whole or not run.best_checkpoint.exists():
        raise InputError(f"{folder} holds no trained judge: train one, or name a judge=CHECKPOINT")
    module = ImageClassifier.load_from_checkpoint(run.best_checkpoint, map_location="cpu")
    metrics = run.metrics()
    return Judge(module.eval(), run.best_checkpoint, metrics["test/accuracy"], metrics["train_seconds"])


def unseen_images(folder: Path, n: int, data_root: str | None = None) -> tuple[Tensor, NDArray[np.int64]]:
    """At most `n` test images of the judge in `folder`, uint8 (n, C, S, S), the classes in turn, and their classes.

    Not the run's test images: another seed divides the data anew, and the judge was trained on most of those.
    """
    images, targets, _ = open_data(RunFolder(folder), data_root).sample("test", n)
    return images, targets


def judge_settings(run: RunFolder, *, model: str | None, epochs: int, images: int) -> DictConfig:
    """The configuration of a judge for `run`: its own, with another network and nothing that a judge doesn't need."""
    settings = run_settings(run)
    model = model or ("resnet18" if settings.model.name == "simple_cnn" else "simple_cnn")
    description = CONF / "model" / f"{model}.yaml"
    if not description.exists():
        raise InputError(f"judge {model!r} is unknown: take one of conf/model/, or name a judge=CHECKPOINT")
    settings.update({"study": None, "sweep": None, "callbacks": {}, "logger": {}, "baseline": False, "cost": False})
    settings.update({"weights": None, "freeze": "none", "compile": False, "test": True, "seed": settings.seed + 1})
    settings.model = OmegaConf.load(description)
    settings.data.max_images = min(images, settings.data.get("max_images") or images)
    settings.trainer.max_epochs = min(epochs, settings.trainer.max_epochs)
    settings.trainer.update({"devices": 1, "num_nodes": 1, "strategy": "auto", "enable_checkpointing": True})
    settings.optimizer.layer_decay = 1.0  # of fine-tuning; a judge begins with random weights
    return settings


def _resized(images: Tensor, size: int) -> Tensor:
    """uint8 (n, C, size, size), antialiased."""
    if images.shape[-2:] == (size, size):
        return images
    resized = F.interpolate(images.float(), (size, size), mode="bilinear", align_corners=False, antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8)
