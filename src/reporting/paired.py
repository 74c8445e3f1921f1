"""Two groups of runs with one class an image, image by image: in how many more of them is the first right?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..analysis.intervals import difference_interval
from ..analysis.significance import exact_mcnemar
from ..frames import pd
from .finished import Run

Pairs = Sequence[tuple[Run, Run]]
"""Runs of the same seed, fold and split."""


@dataclass(frozen=True)
class Difference:
    """By how much the first of a pair leads, averaged over the pairs.

    Attributes:
        images: how many different test images the pairs share.
        difference: what sums up the task (accuracy, mAP) of the first minus that of the second.
        low, high: its 95 % interval: of accuracies Tango's, over several pairs of runs by effective images.
        better, worse: images that the first gets right in more runs than the second, and in fewer.
        p: of the test that there is none: of accuracies, of the exact test of better against worse, McNemar's, or over
            several pairs its extension, each image once.
    """

    images: int
    difference: float
    low: float
    high: float
    better: int
    worse: int
    p: float


def accuracy_difference(pairs: Pairs) -> Difference:
    """Return the difference in accuracy: Tango's interval, McNemar's exact test.

    Raises:
        ValueError: two runs of a pair were tested on different images.
    """
    images = _by_image(pairs)
    weights, weighted, better, worse = (images[name].to_numpy() for name in ("weight", "weighted", "better", "worse"))
    low, high = difference_interval(better / weights, worse / weights, weights)
    counts = (int((images["sum"] > 0).sum()), int((images["sum"] < 0).sum()))
    p = exact_mcnemar(images["sum"].to_numpy())
    return Difference(len(images), float(weighted.sum() / len(pairs)), low, high, *counts, p)


def _by_image(pairs: Pairs) -> pd.DataFrame:
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
    correct: pd.Series = run.predictions.set_index("path")["right"]
    return correct
