"""scikit-learn's 8×8 digits, which come with the package."""

import gzip
import logging
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ...settings.defaults import read_defaults
from ..collection import ImageCollection
from ..in_memory import in_memory

log = logging.getLogger(__name__)


def find(root: Path, *, download: bool) -> ImageCollection:  # noqa: ARG001
    """Return the digits, their grey values 0…16 stretched to 0…255."""
    if root.is_dir() and root != Path(read_defaults("data")["root"]):  # it was typed
        log.warning("data=digits looks at no folder: data=folder data.root=%s takes the images there", root)
    pixels, targets = read_digits()
    images = torch.from_numpy(np.rint(pixels * (255 / 16)).astype(np.uint8)).reshape(-1, 1, 8, 8)
    return in_memory("digits", root, [str(digit) for digit in range(10)], {"train": (images, targets.tolist())})


def read_digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return what `sklearn.datasets.load_digits` does, pixels (1797, 64) and targets, without the second it takes.

    Of scikit-learn only the file is needed, and importing it takes longer than an epoch of digits on a GPU.
    """
    spec = find_spec("sklearn")  # imports nothing
    folders = [] if spec is None else spec.submodule_search_locations or []
    for file in (Path(folder, "datasets", "data", "digits.csv.gz") for folder in folders):
        if file.is_file():
            with gzip.open(file, "rt") as lines:
                table = np.loadtxt(lines, delimiter=",")
            return table[:, :-1], table[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits  # which knows where another version has it

    pixels, targets = load_digits(return_X_y=True)
    return pixels, targets
