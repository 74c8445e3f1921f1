"""The mistakes that a network is surest of, on a sheet: its evidence for the wrong class and for the right one."""

from pathlib import PurePosixPath

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..attribution.cam import Attribution
from ..explanation.image_maps import Explained, dark_note, explain_images, panel_rows
from ..figures import shorten
from ..figures.panels import panel_sheet
from ..trained.checkpoint import Trained
from ..trained.examples import Examples

METHOD = "gradcam"
PANELS = 3  # image, predicted and true class; their difference would leave room for one small image a row


def mistakes_sheet(
    trained: Trained, examples: Examples, shown: NDArray[np.int64], probabilities: NDArray[np.floating], title: str
) -> Figure:
    """Draw images with the Grad-CAMs of the predicted and the true class, in the order of `shown` (n,), n > 0.

    The captions quote `probabilities` (N, K), those of all examples.

    Raises:
        InputError: the network has no layer with a map.
    """
    dataset = examples.dataset(shown)
    images, targets = zip(*(dataset[i] for i in range(len(dataset))), strict=True)
    pixels, true = torch.stack(images), torch.stack(targets).numpy()
    predicted = probabilities[shown].argmax(axis=1)
    maps, others = (explain_images(trained, pixels, METHOD, classes, None) for classes in (predicted, true))
    names = [examples.paths[i] for i in shown]
    rows, headings, _ = panel_rows(Explained(pixels.numpy(), names, true, maps), others)
    captions = [
        f"{PurePosixPath(name).name} · true {shorten(trained.class_names[target])} · predicted "
        f"{shorten(trained.class_names[said])} {probabilities[i, said]:.3f}"
        for name, target, said, i in zip(names, true, predicted, shown, strict=True)
    ]
    note = "The two maps of an image share one scale." + (
        dark_note(maps, others) if isinstance(maps, Attribution) and isinstance(others, Attribution) else ""
    )
    return panel_sheet([row[:PANELS] for row in rows], captions, headings[:PANELS], title, note)
