"""Do maps know what each piece of an image counts, so that the maps of two networks can be compared?

The in-domain single-deletion score, IDSDS: Hesse, Schaub-Meyer and Roth 2024, https://arxiv.org/abs/2407.11910.
Deletion and ROAD ask about images that a network has never seen the like of, and how it takes them differs from network
to network. Here one piece goes at a time, and the network has learned to do without one.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..figures import upsample
from .intervals import Interval, between, mean_interval
from .maps import rank_correlation
from .perturbation import centre_blob

GRID = 4
"""As its authors have it: 4×4 pieces."""

Logits = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Normalised images (n, C, H, W) → logits (n, K)."""


@dataclass(frozen=True)
class SingleDeletion:
    """How well maps rank the pieces of an image by what the class's logit loses without them.

    Attributes:
        values: (N,), Spearman's correlation over the 16 pieces of each image, in [-1, 1]; NaN of a constant map.
        blob: (N,), the same of a Gaussian in the middle.
        accuracy: of the network on whole images, in [0, 1].
        accuracy_deleted: on images without a piece, averaged over the pieces; near to `accuracy` where the network has
            learned to do without one.
    """

    values: NDArray[np.float64]
    blob: NDArray[np.float64]
    accuracy: float
    accuracy_deleted: float

    @property
    def score(self) -> float:
        """IDSDS: the mean over the images."""
        return float(np.nanmean(self.values))

    @property
    def interval(self) -> Interval:
        return mean_interval(self.values[np.isfinite(self.values)])

    @property
    def lead(self) -> Interval:
        """The 95 % interval of the map's lead over the blob, image by image."""
        lead = self.values - self.blob
        return mean_interval(lead[np.isfinite(lead)])

    def as_json(self) -> dict[str, Any]:
        values = [None if value != value else round(float(value), 6) for value in self.values]
        told = {key: value for key, value in asdict(self).items() if key.startswith("accuracy")}
        return {
            "score": self.score, "interval": self.interval, "blob": float(np.nanmean(self.blob)), "lead": self.lead,
            **told, "verdict": str(self), "values": values,
        }  # fmt: skip

    def __str__(self) -> str:
        low, high = self.lead
        word = "more than" if low > 0 else "less than" if high < 0 else "not told apart from"
        return (
            f"The pieces that the maps put first are those that count with a rank correlation of {self.score:.3f} "
            f"{between(*self.interval)} (IDSDS, {int(np.isfinite(self.values).sum())} images; networks can be compared "
            f"by it), {word} a centre blob's {float(np.nanmean(self.blob)):.3f}; without a piece the network "
            f"is right on {self.accuracy_deleted:.3f}, on whole images {self.accuracy:.3f}."
        )


def single_deletion(
    logits: Logits,
    images: NDArray[np.float32],
    targets: NDArray[np.integer],
    maps: NDArray[np.floating],
    progress: Callable[[int], None] | None = None,
) -> SingleDeletion:
    """Measure raw `maps` (N, h, w) of the classes `targets` (N,) in normalised `images` (N, C, H, W).

    A piece that goes takes the image's own mean colour. `progress` gets the number of pieces done so far.
    """
    height, width = images.shape[2:]
    rows, columns = (np.linspace(0, side, GRID + 1).round().astype(int) for side in (height, width))
    mean = np.broadcast_to(images.mean(axis=(2, 3), keepdims=True), images.shape)
    numbers = np.arange(len(images))
    whole = logits(images)
    lost, right = np.zeros((len(images), GRID, GRID)), []
    for done, (row, column) in enumerate(product(range(GRID), repeat=2)):
        changed, place = images.copy(), np.s_[:, :, rows[row] : rows[row + 1], columns[column] : columns[column + 1]]
        changed[place] = mean[place]
        left = logits(changed)
        lost[:, row, column] = (whole - left)[numbers, targets]
        right.append((left.argmax(axis=1) == targets).mean())
        if progress is not None:
            progress(done + 1)
    blob = np.broadcast_to(centre_blob((height, width)), (len(images), height, width))
    ours, theirs = (
        rank_correlation(_pieces(one, rows, columns), lost) for one in (upsample(maps, (height, width)), blob)
    )
    return SingleDeletion(ours, theirs, float((whole.argmax(axis=1) == targets).mean()), float(np.mean(right)))


def _pieces(maps: NDArray[np.floating], rows: NDArray[np.integer], columns: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the sums of maps (N, H, W) over each piece, (N, 4, 4)."""
    summed = np.add.reduceat(np.add.reduceat(maps.astype(np.float64), rows[:-1], axis=1), columns[:-1], axis=2)
    return np.asarray(summed)
