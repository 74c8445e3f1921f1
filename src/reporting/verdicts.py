"""The best group of a test set against each of the others, image by image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..analysis.significance import exact_mcnemar, holm, paired_bootstrap
from ..frames import pd
from .finished import Problem, Run
from .groups import Group, TestSet


@dataclass(frozen=True)
class Comparison:
    """What the best group is ahead of another by, on the images that both were tested on.

    Attributes:
        best, other: their labels.
        images: how many different test images they were paired on.
        replicates: how many pairs of runs, of the same seed and fold.
        difference: accuracy of the best less that of the other, the mean over the pairs.
        low, high: the bootstrap's 95 % interval of it, images resampled.
        better, worse: images that the best gets right in more runs than the other, and in fewer.
        p: of the exact test of better against worse: McNemar's, with several pairs the sign test, each image once.
        p_holm: corrected for the comparisons of this test set.
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


def compare(test_set: TestSet) -> tuple[list[Comparison], list[Problem]]:
    """The best group against each other one, in the order of the test set, and those it can't be compared with.

    Interval and test take the runs as they are: they say what other images would change, not what other seeds would.
    The best was chosen by these same images, which flatters it a little.
    Raises ValueError where two runs of a pair were tested on different images.
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
    counts = [(int((images["sum"] > 0).sum()), int((images["sum"] < 0).sum())) for _, _, images in paired]
    p_values = [exact_mcnemar(images["sum"].to_numpy()) for _, _, images in paired]
    comparisons = []
    for (label, replicates, images), (better, worse), p, p_holm in zip(
        paired, counts, p_values, holm(p_values), strict=True
    ):
        weights, weighted = images["weight"].to_numpy(), images["weighted"].to_numpy()
        low, high = paired_bootstrap(weighted / weights, weights)
        difference = float(weighted.sum() / replicates)
        comparisons.append(
            Comparison(
                best.label, label, len(images), replicates, difference, low, high, better, worse, p, p_holm
            )
        )  # fmt: skip
    return comparisons, problems


def _same_replicates(best: Group, other: Group) -> list[tuple[Run, Run]]:
    """Runs of the same seed and fold."""
    others = {run.replicate: run for run in other.runs}
    return [(run, others[run.replicate]) for run in best.runs if run.replicate in others]


def _by_image(pairs: Sequence[tuple[Run, Run]]) -> pd.DataFrame:
    """One row an image: `sum`, `weight` and `weighted` of its differences, 1 where only the best is right, −1 where
    only the other is.

    Where the test images follow the seed, or are parts of a cross-validation, an image is in some pairs only. Each
    pair counts alike in the mean of the differences of accuracy, so a difference weighs 1 / images of its pair:
    Σ weighted / Σ weight is that mean exactly.
    """
    tables = []
    for one, another in pairs:
        difference = _correct(one).to_frame("mine").join(_correct(another).rename("theirs"), how="outer")
        if difference.isna().any(axis=None):
            raise ValueError(f"{one.name} and {another.name} were tested on different images")
        sums = difference["mine"].astype(np.int64) - difference["theirs"].astype(np.int64)
        tables.append(pd.DataFrame({"sum": sums, "weight": 1 / len(sums), "weighted": sums / len(sums)}))
    return pd.concat(tables).groupby(level=0, sort=False).sum()


def _correct(run: Run) -> pd.Series:
    """Whether each image was classified correctly, by its path."""
    predictions = run.predictions.set_index("path")
    return predictions["target"] == predictions["predicted"]
