"""How much of the Grad-CAMs' positive evidence lies on the objects, where their places are known."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..analysis.objects import blob_energies, energies
from ..attribution.archive import save_arrays
from ..attribution.cam import class_activation_maps
from ..data.located import Located, sample_located
from ..errors import InputError
from ..runs.kept_energy import OBJECTS

log = logging.getLogger(__name__)

TAG = "val/object_energy"
"""The mean over the images, in curves and in metrics.csv; see `src.analysis.objects`."""

BATCH = 8
"""Images in one pass: no more than the callback's own, so that it needs no more memory."""


@dataclass(frozen=True, eq=False)
class ObjectEnergy:
    """Measures maps of fixed validation images against the places of their objects."""

    located: Located
    by_true: bool

    @classmethod
    def prepare(cls, data: Any, most: int | None, folder: Path, *, by_true: bool) -> "ObjectEnergy | None":
        """Choose at most `most` validation images, and write `OBJECTS`; None where no place is known, or `most` is 0.

        A `boxes.csv` that can't be read, which may be of something else, is a warning.
        """
        if not most:
            return None
        try:
            located = sample_located(data, "val", most)
        except InputError as error:
            log.warning("how much of the maps lies on objects isn't measured: %s", error)
            return None
        if located is None:
            return None
        covered, blob = located.masks.mean(axis=(1, 2)), blob_energies(located.masks)
        save_arrays(folder / OBJECTS, paths=np.array(located.paths), covered=covered, blob=blob)
        return cls(located, by_true)

    def measure(self, module: Any, layer: str) -> NDArray[np.float64]:
        """Return the energy of each map (n,) of the module's network as it is now; NaN without positive evidence."""
        with torch.no_grad():
            normalised = module.normalise(self.located.images.to(module.device))
        targets = torch.from_numpy(self.located.targets) if self.by_true else None
        found = class_activation_maps(module.answering(), normalised, "gradcam", targets, layer, batch_size=BATCH)
        return energies(found.maps, self.located.masks)
