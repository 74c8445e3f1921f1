"""scikit-learn's 8×8 digits, which come with the package."""

from pathlib import Path

import numpy as np
import torch

from ..collection import ImageCollection
from ..in_memory import in_memory


def find(root: Path, *, download: bool) -> ImageCollection:  # noqa: ARG001
    """Return the digits, their grey values 0…16 stretched to 0…255."""
    from sklearn.datasets import load_digits  # takes a second: only those who ask for digits wait

    pixels, targets = load_digits(return_X_y=True)
    images = torch.from_numpy(np.rint(pixels * (255 / 16)).astype(np.uint8)).reshape(-1, 1, 8, 8)
    return in_memory("digits", root, [str(digit) for digit in range(10)], {"train": (images, targets)})
