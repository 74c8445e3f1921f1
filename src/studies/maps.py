"""The Grad-CAMs that runs have kept, side by side: the same images, explained by several networks."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from src.analysis.maps import half_energy_area, map_similarity
from src.studies.groups import Group
from src.studies.runs import Run

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Maps:
    """What one run said about its fixed validation images.

    `images` (N, C, H, W) uint8; `true` N class names; `epochs` in order, 0 for the untrained network; for each of them
    raw maps (N, h, w), and N class names each of what was predicted and what was explained.
    """

    label: str
    paths: list[str]
    images: NDArray[np.uint8]
    true: list[str]
    epochs: list[int]
    maps: list[NDArray[np.float32]]
    predicted: list[list[str]]
    explained: list[list[str]]
    best_epoch: int

    @property
    def best(self) -> int:
        """The place of the best checkpoint's epoch in `epochs`; of the last one where it has no maps."""
        return self.epochs.index(self.best_epoch) if self.best_epoch in self.epochs else len(self.epochs) - 1

    @property
    def area(self) -> float:
        """The mean smallest share of an image that holds half of a map's energy, at the best epoch; NaN without any."""
        areas = half_energy_area(self.maps[self.best], self.images.shape[2:])
        return float(np.nanmean(areas)) if np.isfinite(areas).any() else float("nan")

    @property
    def movement(self) -> list[tuple[int, float]]:
        """For each epoch how like its maps are to those of the last one (`map_similarity`)."""
        pairs = zip(self.epochs, self.maps, strict=True)
        return [(epoch, map_similarity(maps, self.maps[-1])) for epoch, maps in pairs]


def read_maps(label: str, run: Run) -> Maps | None:
    """The maps of one run; None where it kept none, or none that can be read."""
    try:
        return _read(label, run)
    except (OSError, EOFError, ValueError, KeyError, IndexError, TypeError, BadZipFile) as error:
        log.info("no Grad-CAM of run %s: %s", run.name, error)
        return None


def _read(label: str, run: Run) -> Maps | None:
    # Not src.attribution.archive: it needs torch, which takes longer to import than a report to make.
    folder = run.folder.gradcam
    with np.load(folder / "images.npz", allow_pickle=False) as arrays:
        images, targets, paths = arrays["images"], arrays["targets"], arrays["paths"]
        names = [str(name) for name in arrays["class_names"]]
    found = []
    for file in sorted(folder.glob("epoch_*.npz")):
        with np.load(file, allow_pickle=False) as arrays:
            predicted = [names[i] for i in arrays["logits"].argmax(axis=1)]
            found.append((int(arrays["epoch"]), arrays["maps"], predicted, [names[i] for i in arrays["explained"]]))
    found = [epoch for epoch in found if epoch[1].shape == found[-1][1].shape]
    if not found:
        return None
    epochs, maps, said, explained = map(list, zip(*found, strict=True))
    true = [names[i] for i in targets]
    best = int(run.metrics["best_epoch"])
    return Maps(label, [str(path) for path in paths], images, true, epochs, maps, said, explained, best)


def look(groups: Sequence[Group]) -> tuple[list[Maps], dict[str, float]]:
    """Maps side by side, one a group, and for each group that has maps `Maps.area`, the mean over its runs.

    Side by side are those of the same images: of the first group's first seed, and of whoever saw the same. All is
    found in one go, for the arrays of a run may take longer to read than everything else.
    """
    found, shares = [], {}
    for group in groups:
        areas = []
        for run in group.runs:
            maps = read_maps(group.label, run)
            if maps is None:
                continue
            areas.append(maps.area)
            if run.replicate == groups[0].runs[0].replicate:
                found.append(maps)
        if np.isfinite(areas).any():
            shares[group.label] = float(np.nanmean(areas))
    return [maps for maps in found if maps.paths == found[0].paths], shares
