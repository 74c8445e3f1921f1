"""What an audit finds of several labels an image: which occur together, which are rare, what is unknown or empty."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LEAST = 5
"""Images: what a label of fewer always occurs with, or chance would bring together less often, says nothing."""

SPLITTABLE = 3
"""Images of a label that are needed for one in each of train, val and test."""


class Pair(NamedTuple):
    """Two labels, how many images have both, and how many would if neither knew of the other."""

    one: str
    other: str
    both: int
    by_chance: float


@dataclass(frozen=True)
class Labels:
    """What is known of N images and K labels.

    Attributes:
        names: of the labels.
        together: int64 (K, K), images that have both; on the diagonal those that have the label.
        owners: int64 (K, K), images that have the row's label, of which the column's is known.
        by_chance: (K, K), how many of those would have both, if neither label knew of the other.
        without: images that have no label, though none of theirs is unknown.
        incomplete: images some of whose labels are unknown, empty cells.
        blank: those of them of which no label is known: they teach nothing.
        cells: empty cells of all images and labels.
        images: N.
    """

    names: list[str]
    together: NDArray[np.int64]
    owners: NDArray[np.int64]
    by_chance: NDArray[np.float64]
    without: int
    incomplete: int
    blank: int
    cells: int
    images: int

    @property
    def rare(self) -> dict[str, int]:
        """The labels of fewer images than there are splits, and how many they have."""
        counts = self.together.diagonal()
        return {self.names[i]: int(counts[i]) for i in np.flatnonzero(counts < SPLITTABLE)}

    @property
    def always(self) -> list[Pair]:
        """Pairs of which the first never occurs without the second, those of most images first."""
        found = (self.together == self.owners) & (self.owners >= LEAST) & (self.by_chance < self.together)
        return self._pairs(found & ~np.eye(len(self.names), dtype=bool), -self.together)

    @property
    def never(self) -> list[Pair]:
        """Pairs that no image has both of, though `LEAST` would by chance; those that this is least likely of first."""
        found = (self.together == 0) & (self.by_chance >= LEAST)
        return self._pairs(np.triu(found, 1), -self.by_chance)

    def _pairs(self, found: NDArray[np.bool_], order: NDArray[Any]) -> list[Pair]:
        rows, columns = np.nonzero(found)
        ranked = np.argsort(order[rows, columns], kind="stable")
        return [
            Pair(self.names[i], self.names[j], int(self.together[i, j]), float(self.by_chance[i, j]))
            for i, j in zip(rows[ranked].tolist(), columns[ranked].tolist(), strict=True)
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return what audit.json holds; of pairs that no image has both of, nothing."""
        return {
            "an_image": float(self.together.diagonal().sum() / self.images),
            "without": self.without,
            "incomplete": self.incomplete,
            "blank": self.blank,
            "empty_cells": self.cells,
            "rare": self.rare,
            "together": {
                name: {self.names[j]: int(row[j]) for j in np.flatnonzero(row)}
                for name, row in zip(self.names, self.together, strict=True)
            },
            "always": [[pair.one, pair.other] for pair in self.always],
            "never": [[pair.one, pair.other] for pair in self.never],
        }


def find_labels(targets: NDArray[np.float32], names: list[str]) -> Labels:
    """Return what is found of `targets` (N, K): 1, 0, or NaN where nobody knows."""
    true, known = (targets == 1).astype(np.float64), (~np.isnan(targets)).astype(np.float64)
    together, owners, both_known = true.T @ true, true.T @ known, known.T @ known
    empty = np.isnan(targets)
    return Labels(
        names,
        together.astype(np.int64),
        owners.astype(np.int64),
        owners * owners.T / np.maximum(both_known, 1),
        without=int((targets == 0).all(axis=1).sum()),
        incomplete=int(empty.any(axis=1).sum()),
        blank=int(empty.all(axis=1).sum()),
        cells=int(empty.sum()),
        images=len(targets),
    )


def contradict(rows: NDArray[np.float32]) -> bool:
    """Return whether images (n, K) that show the same differ in a label that is known of two of them."""
    return bool(((rows == 1).any(axis=0) & (rows == 0).any(axis=0)).any())
