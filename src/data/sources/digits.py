"""scikit-learn's 8×8 digits, which come with the package."""

import logging
from pathlib import Path

import numpy as np
import torch

from ...settings.defaults import read_defaults
from ..collection import ImageCollection
from ..in_memory import in_memory

log = logging.getLogger(__name__)


def find(root: Path, *, download: bool) -> ImageCollection:  # noqa: ARG001
    """Return the digits, their grey values 0…16 stretched to 0…255."""
    if root.is_dir() and root != Path(read_defaults("data")["root"]):  # it was typed
        log.warning("data=digits looks at no folder: data=folder data.root=%s takes the images there", root)
    from sklearn.datasets import load_digits  # takes a second: only those who ask for digits wait

    pixels, targets = load_digits(return_X_y=True)
    images = torch.from_numpy(np.rint(pixels * (255 / 16)).astype(np.uint8)).reshape(-1, 1, 8, 8)
    return in_memory("digits", root, [str(digit) for digit in range(10)], {"train": (images, targets)})
