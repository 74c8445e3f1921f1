"""From the labels of a table, one an image, to classes and targets."""

import logging
import re
from collections import Counter
from collections.abc import Sequence

from ..errors import InputError
from ..names import natural
from .columns import listed
from .labels_table import Table

log = logging.getLogger(__name__)

WHOLE = re.compile(r"-?\d+\.0")
CLEARLY_CLASSES = 20
"""As many labels may be all different; of more, that many must occur twice on average."""


def read_labels(table: Table, column: str | tuple[str, ...] | None) -> list[str]:
    """Return the label of each row as text: 1 for 1.0, where all are such.

    Raises:
        InputError: there is no such column, it holds lists, or cells are empty.
    """
    if not isinstance(column, str):
        raise InputError(
            f"no column of {table} is known to be the label (it has {listed(table)}): say data.label=COLUMN"
        )
    if any(isinstance(cell, list | tuple | dict) for cell in table.columns[column]):
        raise InputError(
            f"column {column!r} of {table} holds lists: with data.multilabel=true an image has several labels"
        )
    labels = table.text(column)
    if empty := [i + 1 for i, label in enumerate(labels) if not label]:
        raise InputError(
            f"{len(empty):,} of the {len(table):,} rows of {table} have no label in column {column!r} (first row "
            f"{empty[0]:,}): fill it in, or remove these rows"
        )
    return [label[:-2] for label in labels] if all(map(WHOLE.fullmatch, labels)) else labels


def as_targets(labels: Sequence[str], where: str) -> tuple[list[str], list[int]]:
    """Return the class names in natural order, and the index into them of each label (N,).

    Raises:
        InputError: there is one class only, or nearly as many as images.
    """
    counts = Counter(labels)
    names = sorted(counts, key=natural)
    if len(names) < 2:
        raise InputError(f"{where} has one class only, {names[0]!r}: at least two are needed")
    if len(names) > max(CLEARLY_CLASSES, len(labels) / 2):
        raise InputError(
            f"{where} has {len(names):,} different values in {len(labels):,} rows, which are no classes: say "
            "data.label=COLUMN of another"
        )
    folded = Counter(name.casefold() for name in names)
    if alike := [name for name in names if folded[name.casefold()] > 1]:
        log.warning("%s: the classes %s differ in capitals alone", where, ", ".join(map(repr, alike[:4])))
    index = {name: i for i, name in enumerate(names)}
    return names, [index[label] for label in labels]
