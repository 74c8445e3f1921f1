"""Whose maps are truer, by the measures that can tell between networks, and where measures contradict one another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Any

import numpy as np

from ..analysis.intervals import between, mean_interval
from ..frames import pd
from .document import Table

FEWEST = 4
"""Rows below which an order says nothing of another one."""
DISAGREE = 0.3
"""Spearman's correlation below which two measures are said to disagree."""


@dataclass(frozen=True)
class OnObjects:
    """Of one explanation: the share of the maps' energy and peaks on the objects, and how much these cover."""

    energy: float
    peaks: float
    covered: float

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> "OnObjects | None":
        found = record.get("objects")
        return None if found is None else cls(*(float(found[name]) for name in ("energy", "peaks", "covered")))


@dataclass(frozen=True)
class Deleted:
    """Of one explanation: the score of single deletion (IDSDS), and that of each image by its name."""

    score: float
    values: Mapping[str, float]

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> "Deleted | None":
        found = record["faithfulness"].get("single_deletion")
        if found is None:
            return None
        names = (str(one["image"]) for one in record["explained"])
        values = {name: float(value) for name, value in zip(names, found["values"], strict=True) if value is not None}
        return cls(float(found["score"]), values)


@dataclass(frozen=True)
class Row:
    """One row of the table of maps: a model's, by one method at one layer, over its runs.

    `leads`: by measure, how much better than random maps, more is better.
    """

    model: str
    maps: str
    leads: Mapping[str, float]
    objects: Sequence[OnObjects]
    deleted: Sequence[Deleted]

    @property
    def cells(self) -> tuple[str, str]:
        """What the table says of single deletion and of the objects."""
        told = "–"
        if self.deleted:
            images = _by_image(self.deleted)
            interval = mean_interval(np.array(list(images.values())))
            told = f"{fmean(one.score for one in self.deleted):.3f} {between(*interval)}"
        if not self.objects:
            return told, "–"
        figures = (fmean(getattr(one, name) for one in self.objects) for name in ("energy", "peaks", "covered"))
        return told, " / ".join(f"{value:.3f}" for value in figures)

    @property
    def measures(self) -> dict[str, float]:
        return {
            **self.leads,
            **({"IDSDS": fmean(one.score for one in self.deleted)} if self.deleted else {}),
            **({"on objects": fmean(one.energy - one.covered for one in self.objects)} if self.objects else {}),
        }


def _by_image(deleted: Sequence[Deleted]) -> dict[str, float]:
    """Return the mean over the runs of each image that all of them have."""
    names = set.intersection(*(set(one.values) for one in deleted))
    return {name: fmean(one.values[name] for one in deleted) for name in sorted(names)}


def compared(rows: Sequence[Row]) -> list[str]:
    """Say whose maps single deletion puts first, and by how much before each other's, image by image."""
    measured = sorted((row for row in rows if row.deleted), key=lambda row: -row.measures["IDSDS"])
    if len(measured) < 2:
        return []
    first, said = measured[0], []
    ours = _by_image(first.deleted)
    for row in measured[1:]:
        theirs = _by_image(row.deleted)
        shared = sorted(ours.keys() & theirs.keys())
        leads = np.array([ours[name] - theirs[name] for name in shared])
        if not len(leads):
            continue
        low, high = mean_interval(leads)
        word = "truer than" if low > 0 else "not told apart from"
        said.append(f"{word} those of {_named(row, rows)} ({leads.mean():+.3f} {between(low, high, '+.3f')})")
    return [f"By IDSDS the maps of {_named(first, rows)} are {', '.join(said)}."] if said else []


def _named(row: Row, rows: Sequence[Row]) -> str:
    same = sum(other.model == row.model for other in rows)
    return f"{row.model} ({row.maps})" if same > 1 else row.model


def agreement(rows: Sequence[Row]) -> tuple[list[str], list[Table]]:
    """Return Spearman's correlation of each two measures over the rows, and which contradict each other."""
    table = pd.DataFrame([row.measures for row in rows])
    order = table.corr(method="spearman", min_periods=FEWEST) if len(table.columns) > 1 else table
    pairs = [
        (one, other, float(order[one].to_dict()[other]), int(table[[one, other]].dropna().shape[0]))
        for one, other in combinations(table.columns, 2)
    ]
    pairs = [pair for pair in pairs if pair[2] == pair[2]]
    if not pairs:
        return [], []
    apart = [f"{one} and {other} ({value:+.2f})" for one, other, value, _ in pairs if value < DISAGREE]
    said = (
        f"The measures don't put these maps in the same order: {', '.join(apart)}. A ranking by one of them alone is "
        "a ranking by that measure, not by truth."
        if apart
        else "The measures put these maps in much the same order."
    )
    caption = (
        "Do the measures agree? Spearman's rank correlation over the rows of the first table: deletion, insertion and "
        "ROAD by their lead over random maps, objects by energy beyond what they cover. 1: the same order; below 0.3 "
        "they disagree"
    )
    cells = [[f"{one}, {other}", f"{value:+.2f}", str(n)] for one, other, value, n in pairs]
    return [said], [Table(caption, ["measures", "rank correlation", "rows"], cells)]
