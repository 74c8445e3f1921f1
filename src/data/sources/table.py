"""Images whose labels stand in a table: CSV, JSON, Parquet; Hugging Face's and Kaggle's data sets as they come."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from ...errors import InputError
from ..collection import ImageCollection
from ..defects import FoundFile
from ..folders import Listing, collect
from ..label_sets import LabelSet, as_matrix, find_label_sets, read_label_sets
from ..labels import as_targets, read_labels
from ..no_images import PassedOver
from ..splits import SPLITS
from ..table_rows import Row, divide, group, read_parts, unite
from ..tables_found import SUFFIXES, FoundTable, find_tables


def find(
    root: Path,
    *,
    download: bool,  # noqa: ARG001
    table: Path | str | None = None,
    file: str | None = None,
    label: str | Sequence[str] | None = None,
    split: str | None = None,
    group: str | None = None,
    multilabel: bool = False,
) -> ImageCollection:
    """Return the images that tables list, in the order of their paths.

    Args:
        root: what the paths are relative to; those of metadata in a split's folder are relative to that folder.
        table: the file; None: see `find_tables`.
        file, label, split: names of columns; None: found by name. `split` "none": the images are divided anew.
        group: a column, a pattern that each path must fit, or "none"; None: a column that is found by name.
        multilabel: whether an image has any number of labels; `label` may then be several columns of 0 and 1.
    """
    said = {"file": file, "label": label, "split": split, "group": group}
    tables, where = find_tables(root, table), f"the table of {root}"
    if multilabel:
        return find_multilabel(root, tables, said, where)
    parts = read_parts(root, tables, said)
    rows = unite(row for part in parts for row in part.rows(read_labels(part.table, part.columns.label)))
    return gather(root, rows, *as_targets([str(row.label) for row in rows], where), split, group)


def find_multilabel(root: Path, tables: Sequence[FoundTable], said: Mapping[str, Any], where: str) -> ImageCollection:
    """Return the images of tables that give each any number of labels."""
    parts = read_parts(root, tables, said, find_label_sets)
    columns = tuple(parts[0].columns.label or ())
    found = [row for part in parts for row in part.rows(read_label_sets(part.table, columns))]
    rows = unite(found if len(columns) > 1 else together(found))
    names, matrix = as_matrix([cast(LabelSet, row.label) for row in rows], columns, where)
    images = gather(root, rows, [where], [0] * len(rows), said["split"], said["group"])  # of one class, until here
    places = {row.file.path: place for place, row in enumerate(rows)}
    return replace(images, class_names=names, targets=matrix[[places[path] for path in images.paths]])


def together(rows: Iterable[Row]) -> list[Row]:
    """Return the rows with all labels that any row of the same file has: some tables have a row for each label."""
    labels: dict[str, frozenset[str]] = {}
    rows = list(rows)
    for row in rows:
        labels[row.file.path] = labels.get(row.file.path, frozenset()) | cast(LabelSet, row.label).true
    return [row._replace(label=LabelSet(labels[row.file.path])) for row in rows]


def gather(
    root: Path, rows: list[Row], class_names: list[str], targets: Sequence[int], split: str | None, said: str | None
) -> ImageCollection:
    """Return the images of the rows that can be read."""
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


def wanted(paths: Sequence[str]) -> list[str]:
    """Return the objects of a bucket that may be images or tables."""
    passed = PassedOver()
    return [path for path in paths if path.lower().endswith((*SUFFIXES, ".json")) or passed.may_be(path.split("/"))]
