"""What a run leaves behind when it ends: pictures, tables of the test set, and a summary on screen."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import lightning as L
import numpy as np
from numpy.typing import NDArray

from .. import figures
from ..analysis.classification import confusion_among, most_mistaken, per_class
from ..analysis.intervals import FEW_TESTED, beside_guessing, mean_interval, right_of, said, wilson
from ..analysis.metrics import SPLITS
from ..analysis.tasks import ONE_CLASS, Task
from ..callbacks.loggers import WHOLE_RUN, log_picture
from ..callbacks.map_steps import steps
from ..callbacks.test_outputs import Predictions
from ..data import ImageDataModule
from ..figures.object_energy import Line
from ..logs import say_lines
from ..runs.folder import RunFolder
from ..runs.kept_energy import read_energy
from ..tables import as_text, metrics_table
from .animation import FILE as ANIMATION
from .animation import draw_animation

log = logging.getLogger(__name__)

MATRIX = WHOLE_RUN + "confusion_matrix_test"
"""TensorBoard's name for the picture, at the epoch of the checkpoint, as the Grad-CAMs are."""


def draw_epochs(
    folder: RunFolder, best_epoch: int, task: Task = ONE_CLASS, rates: Sequence[tuple[int, float]] = ()
) -> None:
    """Draw `figures/curves.png`, from metrics.csv, and what the maps that were kept by epoch show.

    `rates` are the learning rates by step; without any they are shown by epoch.
    """
    charts = {name: metric.heading for name, metric in task.metrics.items() if metric.curve}
    history = folder.history()
    figures.save(figures.curves(history, best_epoch, charts, rates), folder.figures / "curves.png")
    metric, column = task.score, f"val/{task.first}"
    by_epoch = dict(zip(history["epoch"], history[column], strict=True)) if column in history else {}
    pictures: dict[str, Callable[[], None]] = {
        "gradcam_movement.png": lambda: draw_movement(folder),
        "object_energy.png": lambda: draw_object_energy(folder, by_epoch, best_epoch, metric.title),
        ANIMATION: lambda: draw_animation(folder, by_epoch, best_epoch, task),
    }
    for name, draw in pictures.items():
        try:
            draw()
        except Exception as error:  # as in the callback: no map is worth losing a training for
            log.warning("no %s: %s", name, error)


def draw_movement(folder: RunFolder) -> None:
    """Draw `figures/gradcam_movement.png` from the arrays of all epochs, unless no two epochs follow each other."""
    found = steps(folder.gradcam)
    if found:
        figure = figures.map_movement(
            [step.epoch for step in found],
            np.stack([step.correlations for step in found]),
            np.stack([step.changed for step in found]),
            title="How like each Grad-CAM is to that of the epoch before",
        )
        figures.save(figure, folder.figures / "gradcam_movement.png")


def draw_object_energy(folder: RunFolder, accuracy: Mapping[int, float], best_epoch: int, named: str) -> None:
    """Draw `figures/object_energy.png` beside the validation's `accuracy` by epoch, where places were known.

    The interval is that of what lies beyond an even map: how large the objects are is no uncertainty.
    """
    kept = read_energy(folder.path)
    if kept is None:
        return
    intervals = [mean_interval(kept.beyond(at, kept.covered)) for at in range(len(kept.epochs))]
    low, high = np.array(intervals).T + kept.means - kept.leads
    values = np.array([*accuracy.values()], dtype=float)
    nothing = np.full(len(values), np.nan)
    figure = figures.object_energy(
        Line(kept.epochs, kept.means, low, high),
        Line([*accuracy], values, nothing, nothing),
        float(kept.covered.mean()),
        float(kept.blob.mean()),
        f"Validation {named}",
        best_epoch,
    )
    figures.save(figure, folder.figures / "object_energy.png")


def write_test(
    folder: RunFolder, trainer: L.Trainer, data: ImageDataModule, predictions: Predictions, *, whole: bool = False
) -> None:
    """Write the best checkpoint's answers on the test set, and show the loggers the confusion matrix.

    `whole`: those about all classes, too.
    """
    said = predictions.probabilities
    picture = folder.figures / "confusion_matrix.png"
    matrix = write_answers(folder, picture, data.paths("test"), predictions.targets, said, data.class_names)
    if whole:
        paths, targets = data.paths("test")[: len(predictions.targets)], predictions.targets
        folder.write_probabilities(paths, targets, data.class_names, predictions.logits, said)
    log_picture(trainer, MATRIX, matrix, int(folder.metrics()["best_epoch"]))


def write_answers(
    folder: RunFolder,
    picture: Path,
    paths: Sequence[str],
    targets: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    names: Sequence[str],
) -> NDArray[np.uint8]:
    """Write predictions.csv, per_class.csv and the confusion matrix as a `picture`; return its pixels (H, W, 3).

    `targets` (N,) are those of the first N `paths`, `probabilities` (N, K).
    """
    predicted = probabilities.argmax(axis=1)
    folder.write_predictions(paths[: len(targets)], targets, probabilities, names)
    folder.write_per_class(per_class(targets, predicted, names))
    shown = most_mistaken(targets, predicted, len(names))
    counts = confusion_among(targets, predicted, shown, len(names))
    matrix = figures.to_image(figures.confusion_matrix(counts, [names[place] for place in shown], len(names)))
    figures.save_image(matrix, picture)
    return matrix


def sum_up(metrics: Mapping[str, float], folder: RunFolder, task: Task, seen: Iterable[str] = ()) -> None:
    """Print how good the network is, and where everything is; `seen` are the commands that show its curves."""
    table = metrics_table(metrics, list(SPLITS.items()), list(task.shown))
    if table.row_count:
        say_lines(log, f"\n{as_text(table)}\n")
    tested = folder.images_of_classes()
    there = sum(images > 0 for images in tested)
    if there < len(tested):
        log.info(
            "macro figures of the test set are averages over the %d of %d classes that have images", there, len(tested)
        )
    _say_sample(metrics, folder, task)
    if "test/accuracy" in metrics and tested:
        say_interval(metrics["test/accuracy"], tested)
    log.info("best epoch   %d of %d", metrics["best_epoch"], metrics["epochs"])
    if (early := folder.record().get("stopped_early")) is not None:
        log.info("stopped early: %s", early)
    log.info("run folder   %s", folder.shown)
    for line in seen:
        log.info("%s", line)


def _say_sample(metrics: Mapping[str, float], folder: RunFolder, task: Task) -> None:
    """Say of how many training images the figures are, where they aren't of all."""
    images, measured = folder.train_images
    if not 0 < measured < images:
        return
    interval = f", accuracy {said(wilson(metrics['train/accuracy'], measured))}" if task is ONE_CLASS else ""
    log.info("train figures are of a sample of %s of %s training images%s", f"{measured:,}", f"{images:,}", interval)


def say_interval(accuracy: float, counts: Sequence[int], split: str = "test", *, own: bool = True) -> None:
    """Say how many images of a split are right and what accuracy that shows, where each has one class.

    `counts` (K,) are the images of each class. Of few test images of the run's `own` data, folds say more.
    """
    images = sum(counts)
    log.info("%s %s", f"{split} images".ljust(12), right_of(accuracy, images))
    if guessing := beside_guessing(accuracy, counts):
        log.warning("             %s", guessing)
    if images < FEW_TESTED and split == "test" and own:
        log.info("             so few say little: train -m data.folds=5 data.fold=0,1,2,3,4 tests all images")
