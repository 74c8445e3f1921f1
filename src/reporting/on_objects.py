"""What a run's page says of how much of its Grad-CAMs lies on the objects."""

import numpy as np

from ..analysis.intervals import between, mean_interval
from ..runs.contents import UnusableError
from ..runs.kept_energy import read_energy
from .finished import Run


def on_objects_said(run: Run) -> list[str]:
    """Return a paragraph about the best epoch, and before; none where no place is known."""
    try:
        kept = read_energy(run.folder.path)
    except UnusableError:  # its picture is there, or isn't
        return []
    if kept is None:
        return []
    at = kept.at(int(run.metrics["best_epoch"]))
    images = int(np.isfinite(kept.energy[at]).sum())
    if not images:
        return []
    even, blob = (kept.beyond(at, other) for other in (kept.covered, kept.blob))
    known_before = kept.epochs[0] == 0 < at and np.isfinite(kept.leads[0])
    before = f" (before training {kept.leads[0]:+.3f})" if known_before else ""
    return [
        f"After epoch {kept.epochs[at]}, {kept.means[at]:.3f} of the Grad-CAMs' positive evidence lies on the object, "
        f"in {images} validation images whose places are known. That is {even.mean():+.3f} "
        f"{between(*mean_interval(even), '+.3f')} compared with a map that is the same everywhere{before}, and "
        f"{blob.mean():+.3f} {between(*mean_interval(blob), '+.3f')} compared with a centre blob, image by image."
    ]
