"""Judges of class images: networks of another architecture, trained from another seed, that say what they see.

A class image is made to convince one network, and always does. Only another network, which had no part in it, can tell
whether it shows the class or just the first one's weakness.
"""

import logging
import math
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

from ..attribution.ascent import mixed
from ..attribution.naturalness import StatisticsLoss
from ..attribution.snapshot import device_of, frozen_copy
from ..errors import InputError
from ..runs.folder import RunFolder
from ..runs.saved_settings import run_settings
from ..settings.composing import CONF
from ..trained.checkpoint import load_trained
from ..trained.pictures import open_data
from ..training.assemble import all_settings_needed
from ..training.classifier import ImageClassifier
from .controls import ALONE, begin_from_scratch, train_beside

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
        """Top-1: the share of the images that are named as their class, in [0, 1]."""
        return float((self.predicted == self.targets).mean())

    @property
    def per_class(self) -> dict[int, float]:
        """The `share` of each class that has images."""
        return {
            int(target): float((self.predicted[self.targets == target] == target).mean())
            for target in np.unique(self.targets)
        }


@dataclass(frozen=True, eq=False)
class Judgement:
    """One judge's verdicts on class images, and on what they must be compared with.

    Attributes:
        class_images: Those of the network.
        pixel_ascent: Images of the same network by plain gradient ascent on pixels, from noise.
        ascent_from_mean: The same, from where class images start.
        random_weights: Class images of a network that has learned nothing.
        real: Images of the data set that the judge was not trained on.
    """

    class_images: Verdict
    pixel_ascent: Verdict
    ascent_from_mean: Verdict
    random_weights: Verdict
    real: Verdict

    @property
    def figures(self) -> dict[str, float]:
        """The `Verdict.share` of each, by name."""
        return {name: verdict.share for name, verdict in vars(self).items()}

    def table(self) -> Table:
        """Return a row for each: how often it was named right."""
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
        table.add_column("")
        for name in ("named right", "confidence", "images"):
            table.add_column(name, justify="right")
        for name, verdict in vars(self).items():
            confidence = f"{verdict.confidences.mean():.2f}"
            table.add_row(name.replace("_", " "), f"{verdict.share:.3f}", confidence, str(len(verdict.targets)))
        return table


def weakness(accuracy: float, classes: int) -> str | None:
    """Say why a judge with this test accuracy can't judge; None where it can.

    It must be right more often than half-way between chance and always: 0.75 of two classes, 0.55 of ten.
    """
    enough = (1 + 1 / classes) / 2
    if accuracy >= enough:
        return None
    return (
        f"the judge is too weak to judge: it names {accuracy:.2f} of real images right, chance {1 / classes:.2f}, "
        f"and should {enough:.2f}: train one for longer, and say judge=RUN"
    )


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


def judged(
    judge: ImageClassifier, images: NDArray[np.uint8] | Tensor, targets: Sequence[int] | NDArray[np.int64]
) -> Verdict:
    """Ask `judge` about `images`, uint8 (n, C, S, S), that are meant to show the classes `targets` (n,).

    The images are resized to the judge's own size and normalised as in its training. The judge is left as it was. Raise
    `InputError` where images and judge can't be of the same data set.
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
        logits = [network(_seen(judge, part).to(device_of(network))) for part in torch.split(pixels, BATCH)]
    best = torch.cat(logits).cpu().softmax(dim=1).max(dim=1)
    return Verdict(wanted, best.indices.numpy(), best.values.numpy())


def statistics_distance(
    judge: ImageClassifier, images: NDArray[np.uint8] | Tensor, targets: Sequence[int] | NDArray[np.int64]
) -> float:
    """Return how far images (n, C, S, S) are from the judge's training images by what its batch norms remember.

    `naturalness.StatisticsLoss`, 0 or more, averaged over batches of as many of the classes `targets` (n,) as possible;
    NaN for a judge without batch norms. It depends on n, below 64: compare as many images of the same classes.
    """
    pixels, wanted = torch.as_tensor(np.asarray(images)), torch.as_tensor(np.asarray(targets, dtype=np.int64))
    with frozen_copy(judge.network) as network, torch.enable_grad():  # it measures only where gradients flow
        statistics, found = StatisticsLoss(network), []
        if not statistics.norms:
            return math.nan
        for part in mixed(wanted, BATCH):
            network(_seen(judge, pixels[part]).to(device_of(network)))
            found.append(statistics.take().item())
    return float(np.mean(found))


def train_judge(
    run: RunFolder,
    folder: Path,
    *,
    model: str | None = None,
    epochs: int = EPOCHS,
    images: int = IMAGES,
    data_root: str | None = None,
) -> Judge:
    """Train a judge for the class images of `run` on its data in `folder`, unless it is there already.

    The training follows the run's own settings, but from scratch, with another architecture (`model`, by default
    simple_cnn, or resnet18 where the run is a simple_cnn), the next seed, hence another division of the data, at most
    `epochs` and at most `images` training images. `data_root` is where the data lie now. Raise `InputError` without the
    run's settings, or where `folder` holds a judge for other classes.
    """
    settings = judge_settings(run, model=model, epochs=epochs, images=images)
    if data_root is not None:
        settings.data.root = data_root
    target = RunFolder(folder)
    if not target.is_whole:
        log.info("training a judge: %s, seed %d, in %s", settings.model.name, settings.seed, target.shown)
        epochs, most = settings.trainer.max_epochs, settings.data.max_images
        log.info(
            "%d epochs of at most %s images, with checkpoints on disk; judge=null does without", epochs, f"{most:,}"
        )
        train_beside(settings, target, "judge")
    judge = read_judge(folder)
    own = run_settings(target)
    moved = data_root is not None
    if own.data.name != settings.data.name or (str(own.data.root) != str(settings.data.root) and not moved):
        raise InputError(f"{folder} holds a judge for {own.data.name}, not {settings.data.name}: name another folder")
    return judge


def read_judge(folder: Path) -> Judge:
    """Read the judge that `train_judge` left in `folder`."""
    run = RunFolder(folder)
    if not run.is_whole or not run.best_checkpoint.exists():
        raise InputError(f"{folder} holds no trained judge: train one, or name a judge=CHECKPOINT")
    trained, figures = load_trained(folder, word="judge"), run.metrics()  # it may have come with a stranger's run
    accuracy, seconds = (figures.get(key, math.nan) for key in ("test/accuracy", "train_seconds"))
    return Judge(trained.module, trained.path, accuracy, seconds)


def unseen_images(folder: Path, n: int, data_root: str | None = None) -> tuple[Tensor, NDArray[np.int64]]:
    """Return at most `n` test images of the judge in `folder`, uint8 (n, C, S, S), and their classes, taken in turn.

    They are not the run's test images: another seed divides the data anew, and the judge was trained on most of those.
    """
    images, targets, _ = open_data(RunFolder(folder), data_root).sample("test", n)
    return images, targets


@all_settings_needed()
def judge_settings(run: RunFolder, *, model: str | None, epochs: int, images: int) -> DictConfig:
    """Return the settings of a judge for `run`: the run's own, with another network and only what a judge needs."""
    settings: DictConfig = run_settings(run)
    model = model or ("resnet18" if settings.model.name == "simple_cnn" else "simple_cnn")
    description = CONF / "model" / f"{model}.yaml"
    if not description.exists():
        raise InputError(f"judge {model!r} is unknown: take one of conf/model/, or name a judge=CHECKPOINT")
    settings.update({"study": None, "sweep": None, "callbacks": {}, "logger": {}, "baseline": False, "cost": False})
    begin_from_scratch(settings)
    settings.update({"weights": None, "freeze": "none", "compile": False, "test": True, "seed": settings.seed + 1})
    settings.model = OmegaConf.load(description)
    settings.data.max_images = min(images, settings.data.get("max_images") or images)
    own = settings.trainer.max_epochs
    settings.trainer.update(ALONE | {"max_epochs": min(epochs, own) if own > 0 else epochs})
    settings.optimizer.layer_decay = 1.0  # of fine-tuning; a judge begins with random weights
    return settings


def _seen(judge: ImageClassifier, images: Tensor) -> Tensor:
    """Return uint8 images (n, C, S, S) as the judge sees them: in its own size, normalised as in its training."""
    return judge.normalise(_resized(images, judge.hparams["preprocessing"]["image_size"])).float()


def _resized(images: Tensor, size: int) -> Tensor:
    """Resize to (n, C, size, size), antialiased."""
    if images.shape[-2:] == (size, size):
        return images
    resized = F.interpolate(images.float(), (size, size), mode="bilinear", align_corners=False, antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8)
