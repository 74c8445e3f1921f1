"""How much the Grad-CAMs of the fixed batch still move from one epoch to the next."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..analysis.maps import rank_correlation
from ..attribution.archive import load_attribution


@dataclass(frozen=True, eq=False)
class Step:
    """The step from epoch `epoch` - 1 to `epoch`, for each of N images.

    Attributes:
        correlations: (N,) Spearman's of the raw maps, in [-1, 1], 1 where the map stands still; NaN where one is
            constant.
        changed: (N,) whether the two maps explain different classes, because the prediction has changed: a map may
            have moved for that reason alone.
    """

    epoch: int
    correlations: NDArray[np.float64]
    changed: NDArray[np.bool_]

    @property
    def mean(self) -> float:
        """The mean over the images that have a correlation; NaN if none has."""
        known = self.correlations[np.isfinite(self.correlations)]
        return float(known.mean()) if len(known) else float("nan")


def arrays_file(folder: Path, epoch: int) -> Path:
    """Return where the maps of an epoch lie in `gradcam/`; 0 is the untrained network."""
    return folder / f"epoch_{epoch:03d}.npz"


def step_to(folder: Path, epoch: int) -> Step | None:
    """Return the step to an epoch, from files, so that a resumed run continues as if it had never stopped.

    None where the epoch before has no maps, or maps of another layer or of other images.
    """
    before = arrays_file(folder, epoch - 1)
    if not before.exists():
        return None
    old, new = load_attribution(before), load_attribution(arrays_file(folder, epoch))
    if old.layer != new.layer or old.maps.shape != new.maps.shape:
        return None
    return Step(epoch, rank_correlation(old.maps, new.maps), old.targets != new.targets)


def steps(folder: Path) -> list[Step]:
    """Return all steps that the files in `folder` hold, in order."""
    names = (re.fullmatch(r"epoch_(\d+)\.npz", path.name) for path in folder.glob("epoch_*.npz"))
    epochs = sorted(int(name[1]) for name in names if name)
    return [step for epoch in epochs if (step := step_to(folder, epoch)) is not None]
