"""How a report decides "a difference shown" or "no difference shown" between groups of runs.

The best group of a test set is compared with each of the others, image by image. A difference is shown where test and
interval agree: the p-value, corrected for the number of comparisons, is below `SIGNIFICANT`, and the 95 % interval
(Tango's) excludes 0. `is_shown` is the rule; everything in a report that says so asks it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..analysis.intervals import difference_interval
from ..analysis.significance import exact_mcnemar, holm
from ..frames import pd
from .finished import Problem, Run
from .groups import Group, TestSet

SIGNIFICANT = 0.05


def is_shown(p: float, low: float = float("nan"), high: float = float("nan")) -> bool:
    """Return whether a difference with this p-value and interval is shown; by the p-value alone without an interval."""
    return p < SIGNIFICANT and not low <= 0 <= high


@dataclass(frozen=True)
class Comparison:
    """By how much the best group leads another one, on the images that both were tested on.

    Attributes:
        best, other: their labels.
        images: how many different test images they were paired on.
        replicates: how many pairs of runs, of the same seed and fold.
        difference: accuracy of the best minus that of the other, averaged over the pairs.
        low, high: its 95 % interval, Tango's, over several pairs of runs by effective images.
        better, worse: images that the best gets right in more runs than the other, and in fewer.
        p: of the exact test of better against worse: McNemar's, or over several pairs its extension, each image once.
        p_holm: corrected for the number of comparisons in this test set.
    """

    best: str
    other: str
    images: int
    replicates: int
    difference: float
    low: float
    high: float
    better: int
    worse: int
    p: float
    p_holm: float

    @property
    def shown(self) -> bool:
        return is_shown(self.p_holm, self.low, self.high)

    def __str__(self) -> str:
        """`resnet50 is 0.4 points below resnet18 (95 % interval −1.1 to 0.3, …): no difference shown`."""
        side = "below" if self.difference > 0 else "above"
        apart = f"{abs(100 * self.difference):.1f} points {side}" if self.difference else "equal to"
        runs = "of one seed each" if self.replicates == 1 else f"of {self.replicates} pairs of runs"
        return (
            f"{self.other} is {apart} {self.best} (95 % interval {points(-self.high)} to {points(-self.low)}, {runs}): "
            f"{'a difference' if self.shown else 'no difference'} shown"
        )


def points(share: float, sign: str = "") -> str:
    """Return a share in percentage points, with a true minus; `sign="+"` marks what is above 0."""
    return f"{round(100 * share, 1) + 0.0:{sign}.1f}".replace("-", "−")  # + 0.0 turns −0.0 into 0.0


def p_value(p: float) -> str:
    """Return `= 0.012`, or `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def compare(test_set: TestSet) -> tuple[list[Comparison], list[Problem]]:
    """Compare the best group with each other one, in the test set's order; name those it can't be compared with.

    Interval and test take the runs as given: they tell what other images would change, not what other seeds would. The
    best was chosen on these same images, which flatters it a little.

    Raises:
        ValueError: two runs of a pair were tested on different images.
    """
    best, *others = test_set.groups
    paired, problems = [], []
    for other in others:
        pairs = _same_replicates(best, other)
        if pairs:
            paired.append((other.label, len(pairs), _by_image(pairs)))
        else:
            reason = f"no seed in common with {best.label}, the best of {test_set.name}: not compared with it"
            problems.append(Problem(other.label, reason))
    p_values = [exact_mcnemar(images["sum"].to_numpy()) for _, _, images in paired]
    comparisons = []
    for (label, replicates, images), p, p_holm in zip(paired, p_values, holm(p_values), strict=True):
        weights, weighted, better, worse = (
            images[name].to_numpy() for name in ("weight", "weighted", "better", "worse")
        )
        counts = (int((images["sum"] > 0).sum()), int((images["sum"] < 0).sum()))
        interval = difference_interval(better / weights, worse / weights, weights)
        figures = (float(weighted.sum() / replicates), *interval, *counts)
        comparisons.append(Comparison(best.label, label, len(images), replicates, *figures, p, p_holm))
    return comparisons, problems


def _same_replicates(best: Group, other: Group) -> list[tuple[Run, Run]]:
    """Return the pairs of runs of the same seed and fold."""
    others = {run.replicate: run for run in other.runs}
    return [(run, others[run.replicate]) for run in best.runs if run.replicate in others]


def _by_image(pairs: Sequence[tuple[Run, Run]]) -> pd.DataFrame:
    """Return one row an image: `sum`, `weight` and `weighted` of its differences over the pairs.

    `better` and `worse` are the weights of the pairs in which only the best, or only the other is right.

    A difference is 1 where only the best is right, −1 where only the other is. Where the test images follow the seed,
    or are parts of a cross-validation, an image is in some pairs only. Each pair counts alike in the mean difference of
    accuracy, so a difference weighs 1 / images of its pair: Σ weighted / Σ weight is that mean exactly.
    """
    tables = []
    for one, another in pairs:
        difference = _correct(one).to_frame("mine").join(_correct(another).rename("theirs"), how="outer")
        if difference.isna().any(axis=None):
            raise ValueError(f"{one.name} and {another.name} were tested on different images")
        sums = difference["mine"].astype(np.int64) - difference["theirs"].astype(np.int64)
        columns = {"sum": sums, "weight": 1.0, "weighted": sums, "better": sums > 0, "worse": sums < 0}
        table = pd.DataFrame(columns).astype({name: float for name in columns if name != "sum"})
        table.loc[:, table.columns != "sum"] /= len(sums)
        tables.append(table)
    return pd.concat(tables).groupby(level=0, sort=False).sum()


def _correct(run: Run) -> pd.Series:
    """Return whether each image was classified correctly, by its path."""
    predictions = run.predictions.set_index("path")
    return predictions["target"] == predictions["predicted"]
