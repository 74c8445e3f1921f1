"""The Grad-CAMs that runs have kept: the same images, explained by several networks side by side."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from ..analysis.intervals import mean_interval
from ..analysis.maps import half_energy_area, map_similarity
from ..analysis.tasks import MULTILABEL
from ..errors import first_line
from ..names import together
from ..runs.arrays import read_arrays
from .finished import Problem, Replicate, Run
from .groups import Group

MOST = 2**29
"""Bytes of all maps of a run."""


@dataclass(frozen=True, eq=False)
class Maps:
    """One run's maps of its fixed validation images.

    Attributes:
        images: (N, C, H, W) uint8, with N `paths` and `true` class names.
        epochs: in order, 0 for the untrained network.
        maps, predicted, explained: for each epoch raw maps (N, h, w) and N class names.
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
        """The index in `epochs` of the best checkpoint's epoch; of the last epoch if that one has no maps."""
        return self.epochs.index(self.best_epoch) if self.best_epoch in self.epochs else len(self.epochs) - 1

    @property
    def areas(self) -> dict[str, float]:
        """`half_energy_area` at the best epoch, by path, of each image whose map has any energy."""
        areas = half_energy_area(self.maps[self.best], self.images.shape[2:])
        return {path: float(area) for path, area in zip(self.paths, areas, strict=True) if np.isfinite(area)}

    @property
    def movement(self) -> list[tuple[int, float]]:
        """For each epoch, how much its maps resemble those of the last one (`map_similarity`)."""
        pairs = zip(self.epochs, self.maps, strict=True)
        return [(epoch, map_similarity(maps, self.maps[-1])) for epoch, maps in pairs]


Areas = Mapping[Replicate, Mapping[str, float]]
"""`Maps.areas` of each run of a group, by seed, fold and split."""


@dataclass(frozen=True, eq=False)
class Looks:
    """The Grad-CAMs of a test set's groups.

    Attributes:
        maps: one a group, of the same images and of one `replicate`, to be shown side by side.
        areas: the sharpness of the maps of each group that kept any, by label.
        problems: runs whose maps can't be read.
    """

    maps: list[Maps]
    replicate: Replicate
    areas: Mapping[str, Areas]
    problems: list[Problem]

    @property
    def shares(self) -> dict[str, float]:
        """For each label, the mean smallest share of an image, in (0, 1], that holds half of a map's energy."""
        by_run = {label: [fmean(run.values()) for run in runs.values() if run] for label, runs in self.areas.items()}
        return {label: fmean(means) for label, means in by_run.items() if means}


def read_maps(label: str, run: Run) -> Maps | None:
    """Return the maps of one run; None if it kept none. Damaged files can raise nearly anything."""
    # Not attribution.archive: it imports torch, which takes longer than making a report.
    folder = run.folder.gradcam
    files = sorted(folder.glob("epoch_*.npz"))
    if run.kept or not files:
        return None
    several = run.task is MULTILABEL
    wanted = ("images", "targets", "paths", "class_names")
    kept = read_arrays(run.folder.path, "gradcam/images.npz", (*wanted, "labels") if several else wanted)
    images, targets, paths = kept["images"], kept["targets"], kept["paths"]
    names = [str(name) for name in kept["class_names"]]
    if images.dtype != np.uint8 or images.ndim != 4 or not 0 < len(images) == len(targets) == len(paths):
        raise ValueError(f"images of {images.dtype} {images.shape}")
    found, total = [], images.nbytes
    for file in files:
        arrays = read_arrays(run.folder.path, f"gradcam/{file.name}", ("maps", "logits", "explained", "epoch"))
        total += sum(array.nbytes for array in arrays.values())
        if total > MOST:
            raise ValueError(f"its maps would take more than {MOST >> 20:,} MiB")
        said = (
            _decided(arrays["logits"], kept["labels"], run)
            if several
            else [names[i] for i in arrays["logits"].argmax(axis=1)]
        )
        found.append((int(arrays["epoch"]), arrays["maps"], said, [names[i] for i in arrays["explained"]]))
    found = [epoch for epoch in found if epoch[1].shape == found[-1][1].shape]
    for _, array, said, of in found:
        if array.dtype.kind != "f" or array.shape[:-2] != (len(images),) or not len(said) == len(of) == len(images):
            raise ValueError(f"maps of {array.dtype} {array.shape} for {len(images)} images")
    true, places = [names[i] for i in targets], [str(path) for path in paths]
    if several:  # an image may be here once for each of its labels
        places = [f"{path} {name}" for path, name in zip(places, true, strict=True)]
        true = together(kept["labels"] == 1, names)
    epochs, maps, predicted, explained = map(list, zip(*found, strict=True))
    return Maps(label, places, images, true, epochs, maps, predicted, explained, int(run.metrics["best_epoch"]))


def _decided(logits: NDArray[np.floating], labels: NDArray[np.floating], run: Run) -> list[str]:
    """Return the labels that the thresholds of the best epoch decide for, but for those that are unknown (NaN)."""
    from scipy.special import logit

    known = ~np.isnan(labels)
    return together((logits >= logit(run.per_class["threshold"].to_numpy())) & known, run.class_names)


def look(groups: Sequence[Group]) -> Looks:
    """Return the maps of all groups, reading each archive once, which may take longer than the rest of a report.

    Shown side by side are those of the seed, fold and images that most groups have maps of.
    """
    found: dict[tuple[Replicate, tuple[str, ...]], list[Maps]] = {}
    problems, areas = [], {}
    for group in groups:
        by_run = {}
        for run in group.runs:
            try:
                maps = read_maps(group.label, run)
                if maps is None:
                    continue
                by_run[run.replicate] = maps.areas
            except Exception as error:  # zipfile raises nearly anything on flipped bytes
                reason = f"its Grad-CAMs can't be read ({first_line(error)}): they are left out"
                problems.append(Problem(run.name, reason))
                continue
            found.setdefault((run.replicate, tuple(maps.paths)), []).append(maps)
        if by_run:
            areas[group.label] = by_run
    (replicate, _), shown = max(
        found.items(), key=lambda item: len(item[1]), default=((groups[0].runs[0].replicate, ()), [])
    )
    return Looks(shown, replicate, areas, problems)


def sharper(one: Areas, other: Areas) -> tuple[float, float, float, float, int] | None:
    """Return how much more of an image `other` needs for half of a map's energy, paired by image and run.

    That is the mean difference of the shares over the images, its 95 % interval (NaN where there is none), the p-value
    of Wilcoxon's signed-rank test, and the number of images; an image of several runs counts once. None if no image has
    energy in maps of both.
    """
    from scipy.stats import wilcoxon  # half a second to import

    differences = defaultdict(list)
    for replicate in one.keys() & other.keys():
        for path in one[replicate].keys() & other[replicate].keys():
            differences[path].append(other[replicate][path] - one[replicate][path])
    if not differences:
        return None
    values = np.array([fmean(differences[path]) for path in sorted(differences)])
    p = float(wilcoxon(values).pvalue) if values.any() else 1.0
    return float(values.mean()), *mean_interval(values), p, len(values)
