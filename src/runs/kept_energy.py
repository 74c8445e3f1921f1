"""How much of a run's Grad-CAMs lay on the objects after each epoch, as `gradcam/` keeps it."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .arrays import read_arrays
from .contents import UnusableError

OBJECTS = "objects.npz"
"""In `gradcam/`: `paths` (n,), how much of each image its object covers, `covered`, and of a centre blob, `blob`."""

ENERGY = "object_energy"
"""In `gradcam/epoch_NNN.npz`: the share of each map's positive part that lies on the object, (n,)."""


@dataclass(frozen=True, eq=False)
class KeptEnergy:
    """Of n validation images the share of the positive evidence on their objects, after each of E epochs.

    Attributes:
        covered, blob: (n,) the share of the image that the object covers, which a map that is the same everywhere has,
            and that of a Gaussian in the middle.
        epochs: ascending, 0 for the untrained network.
        energy: (E, n) in [0, 1], NaN for a map without positive evidence.
        cells: rows and columns of the maps.
    """

    paths: list[str]
    covered: NDArray[np.float64]
    blob: NDArray[np.float64]
    epochs: list[int]
    energy: NDArray[np.float64]
    cells: tuple[int, int]

    @property
    def means(self) -> NDArray[np.float64]:
        """(E,) the means over the images that have a figure; NaN where none has."""
        return _means(self.energy)

    @property
    def leads(self) -> NDArray[np.float64]:
        """(E,) the means over the same images of the energy beyond that of an even map: large objects count no more."""
        return _means(self.energy - self.covered)

    def beyond(self, at: int, other: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the energy of an epoch's index minus `covered` or `blob`, of the images that have one."""
        found: NDArray[np.float64] = (self.energy[at] - other)[np.isfinite(self.energy[at])]
        return found

    def at(self, epoch: int) -> int:
        """Return the index of an epoch; of the last one where that has no maps."""
        return self.epochs.index(epoch) if epoch in self.epochs else len(self.epochs) - 1


def _means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.isfinite(values)
    counts = known.sum(axis=1)
    return np.where(counts > 0, np.where(known, values, 0).sum(axis=1) / np.maximum(counts, 1), np.nan)


def read_energy(run: Path) -> KeptEnergy | None:
    """Return what a run has kept; None if nothing. An epoch without figures is left out.

    Raises:
        UnusableError: a file is damaged.
    """
    if not (run / "gradcam" / OBJECTS).is_file():
        return None
    kept = read_arrays(run, f"gradcam/{OBJECTS}", ("paths", "covered", "blob"))
    found: dict[int, NDArray[np.float64]] = {}
    cells = (0, 0)
    names = sorted(path.name for path in (run / "gradcam").glob("epoch_*.npz"))
    for name in (name for name in names if re.fullmatch(r"epoch_\d{1,9}\.npz", name)):
        try:
            arrays = read_arrays(run, f"gradcam/{name}", (ENERGY, "epoch", "maps"))
        except UnusableError:  # of a time when nothing was measured, or what reading the maps will say
            continue
        found[int(arrays["epoch"])] = arrays[ENERGY]
        cells = (int(arrays["maps"].shape[-2]), int(arrays["maps"].shape[-1]))
    columns = [kept["covered"], kept["blob"], *found.values()]
    if any(column.shape != kept["paths"].shape or column.dtype.kind != "f" for column in columns):
        raise UnusableError(f"gradcam/{OBJECTS} is damaged (it is of other images than the maps)")
    if not found or not len(kept["paths"]):
        return None
    epochs = sorted(found)
    energy = np.stack([found[epoch] for epoch in epochs])
    return KeptEnergy([str(path) for path in kept["paths"]], kept["covered"], kept["blob"], epochs, energy, cells)
