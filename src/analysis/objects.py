"""Do maps lie on the objects? Their energy and their peaks, where the objects' places are known.

Energy: Wang et al. 2020 (Score-CAM), https://arxiv.org/abs/1910.01279. Peaks, the pointing game without its tolerance:
Zhang et al. 2016, https://arxiv.org/abs/1608.00507.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..figures import upsample
from .intervals import Interval, between, mean_interval, wilson
from .perturbation import centre_blob


@dataclass(frozen=True)
class OnObjects:
    """How much of maps lies on objects: means over `images` with 95 % intervals, in [0, 1].

    Attributes:
        energy: the share of a map's positive part that lies on the object.
        peaks: the share of maps whose highest value does.
        covered: the share of an image that its object covers: what a constant map would have of energy.
        blob: the energy of a Gaussian in the middle.
        lead: the map's energy minus the blob's, image by image.
        without: images that were left out: their place is unknown, or their map has no positive evidence.
    """

    images: int
    energy: float
    energy_interval: Interval
    peaks: float
    peaks_interval: Interval
    covered: float
    blob: float
    lead: float
    lead_interval: Interval
    without: int

    def __str__(self) -> str:
        better = "more" if self.lead_interval[0] > 0 else "less" if self.lead_interval[1] < 0 else "not told apart"
        return (
            f"On the objects, whose places are known in {self.images} images and cover {self.covered:.3f} of them, lie "
            f"{self.energy:.3f} {between(*self.energy_interval)} of the maps' energy, and {self.peaks:.3f} "
            f"{between(*self.peaks_interval)} of their peaks; of a centre blob's energy {self.blob:.3f} ({better})."
        )


def on_objects(maps: NDArray[np.floating], masks: NDArray[np.bool_], known: NDArray[np.bool_]) -> OnObjects | None:
    """Measure raw maps (N, h, w) against objects (N, S, S), `known` (N,) of which are; None where no image is left."""
    used = known & masks.any(axis=(1, 2)) & (maps.max(axis=(1, 2)) > 0)
    if not used.any():
        return None
    energy, peaks = shares(maps[used], masks[used])
    blob = blob_energies(masks[used])
    n = len(energy)
    return OnObjects(
        images=n,
        energy=float(energy.mean()), energy_interval=mean_interval(energy),
        peaks=float(peaks.mean()), peaks_interval=wilson(float(peaks.mean()), n),
        covered=float(masks[used].mean()), blob=float(blob.mean()),
        lead=float((energy - blob).mean()), lead_interval=mean_interval(energy - blob),
        without=len(maps) - n,
    )  # fmt: skip


def energies(maps: NDArray[np.floating], masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of each map's positive part (N, h, w) on its object (N, S, S), (N,); NaN where there is none."""
    found = np.full(len(maps), np.nan)
    some = masks.any(axis=(1, 2)) & (maps.max(axis=(1, 2)) > 0)
    if some.any():
        found[some], _ = shares(maps[some], masks[some])
    return found


def blob_energies(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of a Gaussian in the middle of the image that lies on each object (N, S, S), (N,)."""
    side = (masks.shape[1], masks.shape[2])
    found, _ = shares(np.broadcast_to(centre_blob(side), (len(masks), *side)), masks)
    return found


def shares(maps: NDArray[np.floating], masks: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the share of each map's positive part that lies in its mask (N, S, S), and whether its peak does: (N,)."""
    heat = upsample(np.maximum(maps.astype(np.float64), 0), (masks.shape[1], masks.shape[2])).reshape(len(maps), -1)
    inside = masks.reshape(len(masks), -1)
    energy = (heat * inside).sum(axis=1) / heat.sum(axis=1)
    return energy, inside[np.arange(len(heat)), heat.argmax(axis=1)]
