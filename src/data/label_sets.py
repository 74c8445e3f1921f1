"""From the labels of a table, any number an image, to classes and targets: columns of 0 and 1, or a column of lists."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..names import JOINED, NO_LABEL, natural, nfc
from .columns import LABEL, Columns, by_name, find_named, find_others, listed, usable
from .labels_table import Table, as_text

YES, NO, UNKNOWN = {"1", "1.0", "true"}, {"0", "0.0", "false"}, {"", "-1", "-1.0"}
"""What cells of 0 and 1 may hold, in lower case. -1 says "uncertain" in tables of X-rays, and is unknown here."""

SEPARATORS = re.compile(r"[;|,]")
"""Between the labels of a cell; where a column has none of them, spaces are."""

MOST = 10_000
"""Classes: targets are a table of images and classes."""


class LabelSet(NamedTuple):
    """What is known of an image: the labels that it has, and those of which nobody knows; all others it hasn't."""

    true: frozenset[str]
    unknown: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return ", ".join(sorted(self.true)) or NO_LABEL


def find_label_sets(table: Table, wanted: Mapping[str, Any]) -> Columns:
    """Return the columns of a table, like `find_columns`: as labels several columns of 0 and 1, or one of lists.

    Raises:
        InputError: there are no such columns, or no column names the files.
    """
    file, split, group = find_others(table, wanted, label=None)
    said = wanted.get("label")
    if said is not None:
        names = [one_of(table, str(name)) for name in ([said] if isinstance(said, str) else said)]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise InputError(f"data.label names the column {twice!r} twice: name each once")
        check_kind(table, names)
        return Columns(file, tuple(names), split, group)
    left = usable(table, [name for name in (file, split, group) if name])
    binary = tuple(name for name in left if is_binary(table, name))
    if len(binary) >= 2:
        return Columns(file, binary, split, group)
    column = by_name(table, "label", LABEL, [name for name in table.columns if name not in left])
    column = column or (left[0] if len(left) == 1 else None)
    if column is None:
        raise InputError(
            f"data.multilabel=true: {table} has neither two columns of 0 and 1 nor one that is known to hold lists "
            f"(it has {listed(table)}): say data.label=COLUMN or data.label=[COLUMN,COLUMN]"
        )
    return Columns(file, (column,), split, group)


def one_of(table: Table, name: str) -> str:
    found = find_named(table, name)
    if found is None:
        raise InputError(f"data.label names {name!r}, no column of {table}: it has {listed(table)}")
    return found


def is_binary(table: Table, column: str) -> bool:
    """Return whether the cells are 0, 1 or empty, and not all empty."""
    cells = {as_text(cell).lower() for cell in table.columns[column]}
    return cells <= YES | NO | UNKNOWN and not cells <= UNKNOWN


def check_kind(table: Table, columns: Sequence[str]) -> None:
    """Raise `InputError` unless one column holds lists, or several hold 0 and 1."""
    if len(columns) == 1 and is_binary(table, columns[0]):
        raise InputError(
            f"column {columns[0]!r} of {table} holds 0 and 1, a single label: name two columns at least, "
            "data.label=[COLUMN,COLUMN], or leave data.multilabel=true out"
        )
    for column in columns if len(columns) > 1 else ():
        wrong = [text for text in table.text(column) if text.lower() not in YES | NO | UNKNOWN]
        if wrong:
            raise InputError(
                f"column {column!r} of {table} holds {wrong[0][:40]!r}: where data.label names several columns, each "
                "cell is 1, 0, or empty for unknown"
            )


def read_label_sets(table: Table, columns: Sequence[str]) -> list[LabelSet]:
    """Return the labels of each row; raise `InputError` for what can't be a label."""
    if len(columns) > 1:
        cells = {name: [text.lower() for text in table.text(name)] for name in columns}
        return [
            LabelSet(
                frozenset(name for name in columns if cells[name][row] in YES),
                frozenset(name for name in columns if cells[name][row] in UNKNOWN),
            )
            for row in range(len(table))
        ]
    split = splitter(table.text(columns[0]))
    return [LabelSet(frozenset(split(cell))) for cell in table.columns[columns[0]]]


def splitter(texts: Iterable[str]) -> Callable[[Any], list[str]]:
    """Return what makes labels of a cell of this column: a list, JSON, or text with `;`, `|`, `,` or spaces between."""
    plain = [text for text in texts if not text.startswith("[")]
    separator = SEPARATORS if any(SEPARATORS.search(text) for text in plain) else re.compile(r"\s+")

    def split(cell: Any) -> list[str]:
        if isinstance(cell, str) and cell.strip().startswith("["):
            try:
                cell = json.loads(cell)
            except ValueError:
                cell = cell.strip()[1:-1].replace("'", "").replace('"', "").replace(",", ";").split(";")
        parts = cell if isinstance(cell, list | tuple) else separator.split(as_text(cell))
        return [text for text in map(as_text, parts) if text]

    return split


def as_matrix(sets: Sequence[LabelSet], columns: Sequence[str], where: str) -> tuple[list[str], np.ndarray]:
    """Return the class names in natural order, and float32 (N, K): 1, 0, or NaN where it is unknown.

    Args:
        columns: those that the labels came from; several are the classes.

    Raises:
        InputError: there are fewer than two classes or far too many, or a name can't be written to predictions.csv.
    """
    known = columns if len(columns) > 1 else {name for one in sets for name in one.true}
    names = sorted(map(nfc, known), key=natural)
    if len(names) < 2:
        raise InputError(
            f"{where} has {len(names)} labels in all, {', '.join(map(repr, names))}: two are needed at least"
        )
    if len(names) > MOST or (len(columns) == 1 and len(names) > max(20, len(sets) / 2)):
        raise InputError(
            f"{where} has {len(names):,} different labels in {len(sets):,} rows, such as {names[0]!r}, "
            "which are no classes: say data.label=COLUMN of another"
        )
    if joined := [name for name in names if JOINED in name]:
        raise InputError(f"{where} has the label {joined[0]!r}: without {JOINED}, please, which separates labels here")
    places = {name: place for place, name in enumerate(names)}
    matrix = np.zeros((len(sets), len(names)), dtype=np.float32)
    for row, one in enumerate(sets):
        matrix[row, [places[name] for name in one.true]] = 1
        matrix[row, [places[name] for name in one.unknown]] = np.nan
    return names, matrix
