"""Attributions on disk: one `.npz` an epoch, so that maps can be compared and drawn again without the network."""

from pathlib import Path
from typing import Any

import numpy as np

from ..runs.arrays import read_arrays
from ..runs.arrays import save_arrays as save_arrays
from .cam import Attribution


def save_attribution(path: Path, attribution: Attribution, **more: Any) -> None:
    """Write `maps`, `logits`, `explained` (class indices), `layer` and `more` (arrays or numbers) to `path`.

    Whenever the process dies, the file is whole or absent. `numpy.load(path)` reads it without pickle.
    """
    save_arrays(
        path,
        maps=attribution.maps,
        logits=attribution.logits,
        explained=attribution.targets,
        layer=np.array(attribution.layer),
        **more,
    )


def load_attribution(path: Path) -> Attribution:
    """Read the attribution from a file that `save_attribution` wrote; raise `UnusableError` where it can't be used."""
    arrays = read_arrays(path.parent, path.name, ("maps", "logits", "explained", "layer"))
    return Attribution(arrays["maps"], arrays["logits"], arrays["explained"], str(arrays["layer"]))
