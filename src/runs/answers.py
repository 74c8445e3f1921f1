"""All that a network said about labelled images, in one compressed file: `probabilities.npz`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .arrays import read_arrays, save_arrays
from .contents import UnusableError

PARTS = ("paths", "targets", "class_names", "logits", "probabilities")


@dataclass(frozen=True, eq=False)
class Answers:
    """What a network said about N images of K classes.

    Attributes:
        paths: of the images.
        targets: (N,) int64, indices into `class_names`; of several labels an image (N, K) float32, 1, 0 or NaN.
        logits: (N, K) float32. The probabilities of a sure network are 0 where its logits still say how sure it is:
            likelihood and temperature need these.
        probabilities: (N, K) float32, their softmax.
    """

    paths: list[str]
    targets: NDArray[np.int64]
    class_names: list[str]
    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]


def write_answers(
    file: Path,
    paths: Sequence[str],
    targets: NDArray[np.int64],
    class_names: Sequence[str],
    logits: NDArray[np.float32],
    probabilities: NDArray[np.float32],
) -> None:
    """Write the file; `numpy.load` reads it without pickle."""
    save_arrays(
        file,
        paths=np.array(list(paths), dtype=np.str_),
        targets=targets.astype(np.int64 if targets.ndim == 1 else np.float32),
        class_names=np.array(list(class_names), dtype=np.str_),
        logits=logits.astype(np.float32),
        probabilities=probabilities.astype(np.float32),
    )


def read_answers(folder: Path, name: str) -> Answers:
    """Read the file; raise `UnusableError` where it is missing, damaged, or its parts don't belong together."""
    found = read_arrays(folder, name, PARTS)
    targets, logits, probabilities = found["targets"], found["logits"], found["probabilities"]
    images, classes = len(found["paths"]), len(found["class_names"])
    of_one = targets.shape == (images,) and targets.dtype.kind == "i"
    of_labels = targets.shape == (images, classes) and targets.dtype == np.float32
    whole = (
        found["paths"].dtype.kind == found["class_names"].dtype.kind == "U"
        and (of_one or of_labels)
        and logits.dtype == probabilities.dtype == np.float32
        and logits.shape == probabilities.shape == (images, classes)
        and (images == 0 or of_labels or (targets.min() >= 0 and targets.max() < classes))
        and (of_one or bool((np.isnan(targets) | (targets == 0) | (targets == 1)).all()))
    )
    if not whole:
        raise UnusableError(f"{name} is damaged (its arrays don't belong together)")
    return Answers(
        found["paths"].tolist(),
        targets.astype(np.int64 if of_one else np.float32),
        found["class_names"].tolist(),
        logits,
        probabilities,
    )
