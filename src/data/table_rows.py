"""The images that tables list: their files, splits and groups, a row each. What their labels are is not for here."""

import logging
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import InputError
from .collection import Skipped
from .columns import NONE, Columns, find_columns, find_named
from .defects import FoundFile
from .given_splits import read_splits, splits_of_folders
from .groups import match_groups
from .labels_table import Table, read_table
from .listed_files import find_listed, pattern_of
from .tables_found import FoundTable

log = logging.getLogger(__name__)


class Row(NamedTuple):
    """An image: its file, or why it is left out, and what the tables say of it."""

    file: FoundFile | Skipped
    label: Hashable
    split: str | None
    group: str | None


@dataclass(frozen=True)
class Part:
    """A table of N images.

    Attributes:
        files: N files, or why they are left out.
        splits: train, val or test of each; None where the table doesn't say.
        groups: the group of each; None likewise.
    """

    table: Table
    columns: Columns
    files: list[FoundFile | Skipped]
    splits: list[str] | None
    groups: list[str] | None

    def rows(self, labels: Iterable[Hashable]) -> list[Row]:
        """Return the images with these labels (N)."""
        nothing = [None] * len(self.files)
        columns = (self.files, labels, self.splits or nothing, self.groups or nothing)
        return [Row(*row) for row in zip(*columns, strict=True)]


def read_parts(
    root: Path,
    tables: Sequence[FoundTable],
    said: Mapping[str, Any],
    find: Callable[[Table, Mapping[str, Any]], Columns] = find_columns,
) -> list[Part]:
    """Read the tables, each said on screen in a line; find their files below `root`.

    The columns of the first are those of the others. One without the column of the labels is left out: the test sets of
    competitions have none. `said` has what the user says of the columns file, label, split and group, and `find` finds
    them.

    Raises:
        InputError: a table, a column or most files can't be found, or a split or group is not for each image.
    """
    parts: list[Part] = []
    for found in tables:
        table = read_table(found.path)
        shown = found.path.relative_to(root) if found.path.is_relative_to(root) else found.path
        labels = () if said["label"] is None else [said["label"]] if isinstance(said["label"], str) else said["label"]
        if parts and (lacking := [label for label in labels if find_named(table, label) is None]):
            log.info("%s has no column %r: its images are left out", shown, lacking[0])
            continue
        columns = find(table, said)
        parts.append(read_part(root, found, table, columns))
        if len(parts) == 1:
            said = {**said, "file": columns.file, "label": columns.label, "group": columns.group or said["group"]}
        names = table.text(columns.file)
        below = pattern_of(names, [file.path for file in parts[-1].files])
        log.info("%s: %s rows; %s%s", shown, f"{len(table):,}", columns, f"; files: {below}" if below else "")
    return parts


def read_part(root: Path, found: FoundTable, table: Table, columns: Columns) -> Part:
    names = filled(table, columns.file, "file")
    splits = None
    if found.split is not None:
        splits = [found.split] * len(table)
    elif columns.split is not None:
        splits = read_splits(table, columns.split)
    groups = None if columns.group is None else filled(table, columns.group, "group")
    return Part(table, columns, find_listed(root, found.bases, names, str(table)), splits, groups)


def filled(table: Table, column: str, role: str) -> list[str]:
    """Return the cells as text; raise `InputError` for an empty one."""
    cells = table.text(column)
    if "" in cells:
        remedy = "fill it in" + (", or say data.group=none" if role == "group" else ", or remove the row")
        raise InputError(f"{table} has no {role} in row {cells.index('') + 1:,} of column {column!r}: {remedy}")
    return cells


def unite(rows: Iterable[Row]) -> list[Row]:
    """Return the rows sorted by path, so that the order in the table makes no difference, and each file once.

    Raises:
        InputError: two rows say different things of a file.
    """
    found: dict[str, Row] = {}
    twice = 0
    for row in rows:
        before = found.setdefault(row.file.path, row)
        if before is row:
            continue
        twice += 1
        for what, old, new in zip(("labels", "splits", "groups"), before[1:], row[1:], strict=True):
            if old != new:
                raise InputError(
                    f"{row.file.path} stands in two rows with two {what}, {old!r} and {new!r}: remove one of them"
                )
    if twice:
        log.info("%s rows name a file again and say the same of it: each file counts once", f"{twice:,}")
    return [found[path] for path in sorted(found)]


def divide(rows: Sequence[Row], said: str | None) -> list[str]:
    """Return the split of each row, train where nothing says: as its table has it, or else its first folder.

    `said` is "none" where what is given shall not count. Raises `InputError` where a given split has no train.
    """
    splits = None if said == NONE else [row.split for row in rows]
    if splits is not None and None in splits:
        folders = splits_of_folders([row.file.path for row in rows])
        if folders is not None:
            log.info("the folders of the images name their splits: data.split=none divides them anew")
        splits = None if folders is None else [*folders]
    if splits is None:
        return ["train"] * len(rows)
    if "train" not in splits:
        raise InputError("the table has no images for train: say so in its split column, or data.split=none")
    return [split or "train" for split in splits]


def group(rows: Sequence[Row], said: str | None) -> list[str] | None:
    """Return the group of each row, from its table, or from its path by the pattern `said`; None without."""
    given = [row.group for row in rows if row.group is not None]
    if given:
        if len(given) < len(rows):
            raise InputError("one of the tables has no column of groups: add it, or say data.group=none")
        return given
    if said in (None, NONE):
        return None
    paths = [row.file.path for row in rows]
    groups = match_groups(str(said), paths, known_as="no column of the table, and ")
    log.info("data.group=%s makes %s groups", said, f"{len(set(groups)):,}")
    return groups
