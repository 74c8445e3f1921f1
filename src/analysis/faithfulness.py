"""Is the map true? What the network says once the pixels that a map calls important are gone, or nothing else is left.

Deletion and insertion: Petsiuk et al. 2018 (RISE), https://arxiv.org/abs/1806.07421. ROAD: Rong et al. 2022,
https://arxiv.org/abs/2202.00449. Not the average drop of Grad-CAM++: it falls with every pixel that a mask lets
through, true or not.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..frames import pd
from .intervals import between, mean_interval
from .perturbation import EXPLANATIONS, Predict, Scores, ordered, probabilities

MEASURES = {"deletion": -1, "insertion": 1, "road": 1}
"""Each measure, with 1 where more is better and −1 where less is. The verdict counts them all."""

TITLES = {"deletion": "deletion", "insertion": "insertion", "road": "ROAD"}

MEANINGS = {
    "deletion": "the class's probability while the pixels that the map puts first are greyed, averaged; less is better",
    "insertion": "the same while they are put into the blurred image; more is better",
    "road": "how much lower it is with the map's first 20, 40, 60 and 80 % of the pixels made up from their neighbours "
    "than with its last, halved; more is better",
}


@dataclass(frozen=True)
class Row:
    """One measure of one explanation, and the map's lead over it: means over images with 95 % intervals.

    `difference` is the map's minus the explanation's, image by image; NaN for the map itself. `verdict` says whether
    the map is `better` or `worse` than the explanation, or `not told apart` where the interval includes 0 or there is
    none: NaN, of fewer than six images or of equal values.
    """

    measure: str
    explanation: str
    mean: float
    low: float
    high: float
    difference: float
    difference_low: float
    difference_high: float
    verdict: str


@dataclass(frozen=True)
class Faithfulness:
    """What became of the explained class's probability, for a set of maps and for three baselines.

    Attributes:
        rows: one for each measure and explanation, in the order of `MEASURES`.
        values: (N,) by measure and explanation. deletion, insertion: area under the curve, in [0, 1]; road: half the
            difference in probability without the least and without the most relevant pixels, averaged over the shares
            removed.
        curves: (N, steps + 1), deletion and insertion over `fractions` in [0, 1], by measure and explanation.
        skipped: images whose map is constant or not finite, and so orders no pixels. They are NaN in all of the above,
            for the baselines too, so that all are measured on the same images.
    """

    rows: list[Row]
    values: Scores
    curves: Scores
    fractions: NDArray[np.float64]
    skipped: int

    @property
    def images(self) -> int:
        """How many images were measured."""
        return len(self.values["road"]["map"]) - self.skipped

    def table(self) -> pd.DataFrame:
        """Return `rows` as a table with one column for each field of `Row`."""
        return pd.DataFrame([asdict(row) for row in self.rows])

    def as_json(self) -> dict[str, Any]:
        """Return figures, mean curves and the verdict in JSON's own types, null for NaN."""
        rows = [{key: None if value != value else value for key, value in asdict(row).items()} for row in self.rows]
        curves = {
            measure: {name: np.nanmean(values, axis=0).tolist() for name, values in by_name.items()}
            for measure, by_name in self.curves.items()
        }
        told = {"images": self.images, "skipped": self.skipped, "verdict": self.verdict()}
        return {**told, "rows": rows, "fractions": self.fractions.tolist(), "curves": curves}

    def verdict(self, baseline: str = "centre blob") -> str:
        """Say in one sentence whether the maps are better than the baseline, by which measures, and by how much."""
        groups: dict[str, list[str]] = {"better": [], "worse": [], "not told apart": []}
        for measure in MEASURES:
            ours, theirs = (self.row(measure, name) for name in ("map", baseline))
            interval = f"{theirs.difference:+.3f} {between(theirs.difference_low, theirs.difference_high, '+.3f')}"
            groups[theirs.verdict].append(f"{TITLES[measure]} {ours.mean:.3f} against {theirs.mean:.3f}, {interval}")
        parts = "; ".join(f"{verdict} by {' and '.join(by)}" for verdict, by in groups.items() if by)
        count = len(groups["better"])
        which = "are" if count == len(MEASURES) else "are in part, and in part not," if count else "are not"
        article = "an" if baseline == "inverted" else "a"
        what = baseline if baseline == "centre blob" else f"{baseline} map"
        return (
            f"These maps {which} better than {article} {what}: {parts} "
            f"({self.images} images, 95 % intervals; less is better in deletion, more in the others)."
        )

    def row(self, measure: str, explanation: str) -> Row:
        return next(row for row in self.rows if (row.measure, row.explanation) == (measure, explanation))


def faithfulness(
    predict: Predict,
    images: NDArray[np.float32],
    targets: NDArray[np.integer],
    maps: NDArray[np.floating],
    *,
    steps: int = 20,
    removed: Sequence[float] = (0.2, 0.4, 0.6, 0.8),
    seed: int = 0,
    batch_size: int = 64,
    progress: Callable[[float], None] | None = None,
) -> Faithfulness:
    """Measure raw `maps` (N, h, w) that explain the class `targets` (N,) of normalised `images` (N, C, H, W).

    Pixels are ordered by the raw values, upsampled. Deletion replaces the most relevant pixels by the data's mean (0),
    insertion puts them into the blurred image, both in `steps` equal shares; ROAD imputes the shares `removed`.

    The baselines are a random map on the same grid for each image, a Gaussian in the middle, and the inverted map: the
    reverse order.

    `predict` gets at most `batch_size` images at a time, and only these are held in memory. `progress` gets the share
    done so far, in [0, 1]. The same `seed` gives the same figures.
    """
    usable = _usable(images, targets, maps, removed)
    scores = probabilities(predict, images, targets, maps, usable, steps, removed, seed, batch_size, progress)
    values = _values(scores)
    rows = [_row(measure, name, values[measure]) for measure in MEASURES for name in EXPLANATIONS]
    curves = {measure: scores[measure] for measure in ("deletion", "insertion")}
    return Faithfulness(rows, values, curves, np.linspace(0, 1, steps + 1), len(images) - len(usable))


def _usable(
    images: NDArray[np.float32], targets: NDArray[np.integer], maps: NDArray[np.floating], removed: Sequence[float]
) -> NDArray[np.int64]:
    """Return the indices of the images whose maps can be measured."""
    if images.ndim != 4 or maps.ndim != 3 or not len(images) == len(targets) == len(maps):
        raise InputError(
            "faithfulness needs images (N, C, H, W) with a class and a map (h, w) each, "
            f"not {images.shape}, {targets.shape} and {maps.shape}"
        )
    if not all(0 < share < 1 for share in removed):
        raise InputError(f"faithfulness: ROAD removes shares between 0 and 1 of the pixels, not {list(removed)}")
    usable = np.flatnonzero(ordered(maps))
    if not len(usable):
        raise InputError(f"faithfulness: all {len(maps)} maps are constant or not finite; explain another layer")
    return usable


def _values(scores: Scores) -> Scores:
    """Return the figure of each image, (N,), by measure and explanation."""
    values: Scores = {measure: {} for measure in MEASURES}
    for name in EXPLANATIONS:
        for measure in ("deletion", "insertion"):
            curve = scores[measure][name]
            values[measure][name] = (curve[:, 1:] + curve[:, :-1]).mean(axis=1) / 2  # trapezoids of equal widths
        values["road"][name] = (scores["least"][name] - scores["most"][name]).mean(axis=1) / 2
    return values


def _row(measure: str, name: str, values: dict[str, NDArray[np.float64]]) -> Row:
    ours, theirs = (by[np.isfinite(by)] for by in (values["map"], values[name]))
    mean = (float(theirs.mean()), *mean_interval(theirs))
    if name == "map":
        return Row(measure, name, *mean, float("nan"), float("nan"), float("nan"), "")
    low, high = mean_interval(ours - theirs)
    signs = sorted((MEASURES[measure] * low, MEASURES[measure] * high))
    verdict = "better" if signs[0] > 0 else "worse" if signs[1] < 0 else "not told apart"
    return Row(measure, name, *mean, float((ours - theirs).mean()), low, high, verdict)
