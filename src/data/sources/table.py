"""Images whose labels stand in a table: CSV, JSON, Parquet; Hugging Face's and Kaggle's data sets as they come."""

from dataclasses import replace
from pathlib import Path

from ...errors import InputError
from ..collection import ImageCollection
from ..defects import FoundFile
from ..folders import Listing, collect
from ..labels import as_targets, read_labels
from ..splits import SPLITS
from ..table_rows import Row, divide, group, read_parts, unite
from ..tables_found import find_tables


def find(
    root: Path,
    *,
    download: bool,  # noqa: ARG001
    table: Path | str | None = None,
    file: str | None = None,
    label: str | None = None,
    split: str | None = None,
    group: str | None = None,
) -> ImageCollection:
    """Return the images that tables list, in the order of their paths.

    Args:
        root: what the paths are relative to; those of metadata in a split's folder are relative to that folder.
        table: the file; None: see `find_tables`.
        file, label, split: names of columns; None: found by name. `split` "none": the images are divided anew.
        group: a column, a pattern that each path must fit, or "none"; None: a column that is found by name.
    """
    said = {"file": file, "label": label, "split": split, "group": group}
    parts = read_parts(root, find_tables(root, table), said)
    rows = unite(row for part in parts for row in part.rows(read_labels(part.table, part.columns.label)))
    return gather(root, rows, split, group)


def gather(root: Path, rows: list[Row], split: str | None, said: str | None) -> ImageCollection:
    """Return the images of the rows that can be read."""
    class_names, targets = as_targets([str(row.label) for row in rows], f"the table of {root}")
    splits, groups = divide(rows, split), group(rows, said)
    listing = Listing(root, class_names, [name for name in SPLITS if name in splits])
    for row, target, part in zip(rows, targets, splits, strict=True):
        files, skipped = ([row.file], []) if isinstance(row.file, FoundFile) else ([], [row.file])
        listing.add(part, target, files, skipped)
    check_classes(listing)
    found = collect(listing)
    if groups is None:
        return found
    of = {row.file.path: name for row, name in zip(rows, groups, strict=True)}
    return replace(found, groups=[of[path] for path in found.paths])


def check_classes(listing: Listing) -> None:
    """Raise `InputError` for a class that train lacks."""
    known = {target for target, split in zip(listing.targets, listing.splits, strict=True) if split == "train"}
    if lacking := sorted(set(listing.targets) - known):
        names = ", ".join(repr(listing.class_names[target]) for target in lacking[:8])
        raise InputError(
            f"the table of {listing.root} has no training image of {names}: add some, or say data.split=none"
        )
