"""`figures/mistakes.png`: the mistakes that the best checkpoint is surest of, each with its Grad-CAM."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .. import figures
from ..analysis.classification import surest_mistakes
from ..analysis.label_scores import surest_label_mistakes
from ..attribution.cam import gradcam
from ..callbacks.test_outputs import Predictions
from ..data import ImageDataModule
from ..errors import InputError
from ..figures.heat_maps import panel_size
from ..figures.panels import heat_panels, panel_sheet
from .classifier import ImageClassifier
from .label_results import probabilities, thresholds_of

MOST = 12
SIDE = 168
"""Pixels of an image's longer side."""


class Mistakes(NamedTuple):
    """Some of what was answered wrongly, the surest first.

    Attributes:
        rows: (n,) which images, of those that were answered.
        classes: (n,) the class that is explained.
        captions: n of them, without the name of the file.
        total: how many mistakes there are.
    """

    rows: NDArray[np.int64]
    classes: NDArray[np.int64]
    captions: Sequence[str]
    total: int


def class_mistakes(module: ImageClassifier, predictions: Predictions, most: int = MOST) -> Mistakes:
    """Return the images that were given another class than their own."""
    said, targets, names = predictions.probabilities, predictions.targets, module.class_names
    rows, predicted = surest_mistakes(said, targets, most), said.argmax(axis=1)
    captions = [
        f"true {figures.shorten(names[targets[row]])} · predicted {figures.shorten(names[predicted[row]])} "
        f"{said[row, predicted[row]]:.2f}"
        for row in rows
    ]
    return Mistakes(rows, predicted[rows], captions, int((predicted != targets).sum()))


def label_mistakes(module: ImageClassifier, predictions: Predictions, most: int = MOST) -> Mistakes:
    """Return images of several labels, each with the one label of whose wrong decision the network is surest."""
    said, targets, names = probabilities(predictions.logits), predictions.targets, module.class_names
    rows, labels, total = surest_label_mistakes(said, targets, thresholds_of(module), most)
    captions = [
        f"{'has' if targets[row, label] == 1 else 'has no'} {figures.shorten(names[label])} · "
        f"{'not ' if targets[row, label] == 1 else ''}predicted, {said[row, label]:.2f}"
        for row, label in zip(rows, labels, strict=True)
    ]
    return Mistakes(rows, labels, captions, total)


def mistakes_sheet(
    mistakes: Mistakes, module: ImageClassifier, data: ImageDataModule, split: str, device: torch.device, where: str
) -> Figure | None:
    """Draw mistakes of a split beside their Grad-CAMs, of the class that was predicted; None without any.

    Where the network has no layer with a map, the images stand alone.

    Args:
        where: what the title calls the images, such as "180 test images".
    """
    if not len(mistakes.rows):
        return None
    dataset = data.dataset(split, None, mistakes.rows)
    images = torch.stack([dataset[i][0] for i in range(len(dataset))])
    size, note = panel_size(images.shape[2:], SIDE), "Each map is scaled to its own maximum."
    try:
        heats = figures.scale_maps(_maps(module, images, mistakes.classes, device), size)
        rows = [heat_panels(image, [heat], size) for image, heat in zip(images.numpy(), heats, strict=True)]
    except InputError as error:
        rows, note = [heat_panels(image, [], size) for image in images.numpy()], f"No maps: {error}"
    paths = data.paths(split)
    names = [PurePosixPath(paths[row]).name for row in mistakes.rows]
    captions = [f"{figures.shorten(name, 30)} · {said}" for name, said in zip(names, mistakes.captions, strict=True)]
    several = "All" if mistakes.total == len(rows) else f"The surest {len(rows)} of"
    which = f"{several} {mistakes.total:,} mistakes" if mistakes.total > 1 else "The only mistake"
    title = f"{which} on {where}"
    return panel_sheet(rows, captions, ["image", "where the evidence is"][: len(rows[0])], title, note)


def _maps(
    module: ImageClassifier, images: torch.Tensor, classes: NDArray[np.int64], device: torch.device
) -> NDArray[np.float32]:
    home = next(module.parameters()).device
    module.to(device)  # where Lightning has taken it from when it was done
    try:
        with torch.no_grad():
            normalised = module.normalise(images.to(device))
        return gradcam(module.network, normalised, torch.from_numpy(classes)).maps
    finally:
        module.to(home)
