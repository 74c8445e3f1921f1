"""Groups whose runs cross splits with seeds: what their accuracy, and the lead of the best, varies by.

Splits are those of `data.split_seed`, or the folds of one; each has one run of each seed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from ..analysis.tasks import ONE_CLASS
from ..analysis.variance_components import (
    Component,
    Crossed,
    ImageParts,
    crossed,
    image_parts,
    images_interval,
    images_needed,
    runs_needed,
)
from ..frames import pd
from .groups import Group, TestSet

Split = tuple[int, int | None]
"""`data.split_seed` and fold."""

Answers = Mapping[Split, pd.DataFrame]
"""Of each split, what its test images (rows, by path) get from each seed's run (columns): 1 where it is right."""

NAMES = {"images": "test images", "split": "split", "seed": "seed", "rest": "seed × split"}


@dataclass(frozen=True, eq=False)
class Sources:
    """What one group's accuracy varies by, or the difference of two groups'.

    Attributes:
        label: the group's.
        minus: the group whose accuracy is taken off; "" for none.
        splits, seeds: how many of each, all of them crossed.
        mean: the accuracy, or the difference.
        images: test images of a run, on average.
        published: whether all runs have the same test images; otherwise these follow the split.
        scores: the components of the runs' accuracies, luck of the test images included.
        parts: by `NAMES`, apart from one another: of split and seed what would be left with many test images.
        luck: what the test images add to each.
    """

    label: str
    minus: str
    splits: int
    seeds: int
    mean: float
    images: float
    published: bool
    scores: Crossed
    parts: Mapping[str, Component]
    luck: ImageParts

    @property
    def title(self) -> str:
        return f"{self.label} − {self.minus}" if self.minus else self.label

    @property
    def sd(self) -> float:
        """The standard deviation of a new run, on a new split and new test images."""
        return sqrt(max(0.0, self.scores.run.variance + self.luck.common))

    @property
    def shares(self) -> dict[str, float]:
        """The share of each part in all, negative estimates as 0; all 0 where nothing varies."""
        variances = {name: max(0.0, part.variance) for name, part in self.parts.items()}
        return {name: value / (sum(variances.values()) or 1) for name, value in variances.items()}

    def pairs(self, difference: float) -> list[int | None]:
        """Return how many pairs of runs show a true difference, each on a split of its own, and the ends of that."""
        run, stays = self.scores.run, max(0.0, self.luck.common)
        # An estimate of the split's part below 0 takes nothing off.
        likely = max(run.variance, self.scores.on_one_split.variance)
        return [runs_needed(difference, variance, stays) for variance in (likely, run.low, max(likely, run.high))]

    @property
    def stays_on_one_split(self) -> float:
        """The variance that its test images leave to the mean over any number of seeds."""
        return max(0.0, self.luck.common + self.luck.split)

    def seeds_on_one_split(self, difference: float) -> int | None:
        """Return how many seeds show it on one split and its test images; None where no number of them does."""
        return runs_needed(difference, self.scores.on_one_split.variance, self.stays_on_one_split)

    def images_needed(self, difference: float) -> int:
        """Return how many test images show it, however many seeds there are."""
        return images_needed(difference, self.stays_on_one_split * self.images)

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of components.csv."""
        same = {"label": self.label, "minus": self.minus, "mean": self.mean, "splits": self.splits, "seeds": self.seeds}
        return [
            {**same, "test_images": self.images, "component": NAMES[name], "variance": part.variance, "low": part.low,
             "high": part.high, "sd": part.sd, "share": self.shares[name]}
            for name, part in self.parts.items()
        ]  # fmt: skip


# From runs to figures -------------------------------------------------------------------------------------------------


def find_sources(test_set: TestSet) -> list[Sources]:
    """Return those of each group with 2 splits × 2 seeds or more, then of the best one's difference to each other."""
    if test_set.task is not ONE_CLASS:
        return []
    known = {group.label: _answers(group) for group in test_set.groups}
    found = {label: answers for label, known_of in known.items() if (answers := _whole(known_of))}
    best, *others = found or [""]
    leads = {other: lead for other in others if (lead := _lead(known[best], known[other]))}
    alone = [_sources(label, "", answers) for label, answers in found.items()]
    return alone + [_sources(best, other, lead) for other, lead in leads.items()]


def _answers(group: Group) -> Answers:
    """Return whether the runs are right, of all splits and seeds."""
    columns: dict[Split, dict[int, pd.Series]] = {}
    for run in group.runs:
        seed, fold, split = run.replicate
        if split is not None:
            right = run.predictions.set_index("path")["right"].astype(np.float64)
            columns.setdefault((split, fold), {})[seed] = right
    return {split: pd.DataFrame(of_seeds) for split, of_seeds in columns.items()}


def _lead(one: Answers, other: Answers) -> Answers:
    return _whole({split: one[split] - other[split] for split in one if split in other})


def _whole(answers: Answers) -> Answers:
    """Return the largest part that has each of its seeds on each of its splits; nothing below two of each.

    Where runs are missing, splits with few seeds go, or seeds that are on few splits.
    """
    known = {split: table.dropna(axis=1, how="all").sort_index() for split, table in answers.items()}
    seeds_of: dict[Split, set[Any]] = {split: set(table.columns) for split, table in known.items()}
    order = sorted(known, key=lambda split: -len(seeds_of[split]))
    best: Answers = {}
    size = 0
    for count in range(2, len(order) + 1):
        seeds = sorted(set.intersection(*(seeds_of[split] for split in order[:count])))
        if len(seeds) > 1 and count * len(seeds) >= size:
            best, size = {split: known[split][seeds] for split in order[:count]}, count * len(seeds)
    return {} if any(table.isna().any(axis=None) for table in best.values()) else best  # other images in one run


def _sources(label: str, minus: str, answers: Answers) -> Sources:
    tables = list(answers.values())
    published = all(table.index.equals(tables[0].index) for table in tables)
    asked = tables[0].index if published else sorted(set().union(*(table.index for table in tables)))
    right = np.stack([table.reindex(asked).to_numpy().T for table in tables])
    scores = np.nanmean(right, axis=2)
    found, luck = crossed(scores), image_parts(right)
    parts = {
        "images": Component(luck.run, *images_interval(right)),
        "split": found.split.without(luck.split),
        "seed": found.seed.without(luck.seed),
        "rest": found.rest.without(luck.rest),
    }
    size, mean, images = scores.shape, float(scores.mean()), float(np.mean([len(table) for table in tables]))
    return Sources(label, minus, size[0], size[1], mean, images, published, found, parts, luck)


def components_table(found: Mapping[str, Sequence[Sources]]) -> pd.DataFrame | None:
    """Return the rows of components.csv, by test set; None where no sweep is crossed."""
    rows = [{"test_set": name} | row for name, some in found.items() for sources in some for row in sources.rows()]
    return pd.DataFrame(rows) if rows else None
