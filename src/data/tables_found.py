"""Which tables of labels a data set has: one that is named, or those that lie in its folder."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError
from .layout import SPLIT_FOLDERS, check_root, look_into

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")  # of Hugging Face's `imagefolder`
USUAL = ("labels", "train_labels", "annotations")


class FoundTable(NamedTuple):
    """A table, the folders relative to the root that its files lie in, and the split of all of them if it is known."""

    path: Path
    bases: list[str]
    split: str | None = None


def find_tables(root: Path, named: Path | str | None) -> list[FoundTable]:
    """Return the tables, that of the training images first.

    Without a name they are the metadata in the folders of splits or in `root`; or train.csv with its val.csv and
    test.csv; or labels.csv; or the only table there.

    Raises:
        InputError: there is none, or it isn't clear which.
    """
    if named is not None:
        path = locate(root, Path(named).expanduser())
        bases = ["."]
        if path.parent.resolve().is_relative_to(root.resolve()):
            bases.append(path.parent.resolve().relative_to(root.resolve()).as_posix())
        return [FoundTable(path, list(dict.fromkeys(bases)))]
    check_root(root)
    if not root.is_dir():
        raise InputError(f"the data folder {str(root)!r} does not exist: set data.root, or data.table=FILE")
    parts = [
        FoundTable(root / folder / name, [folder], SPLIT_FOLDERS[folder.lower()])
        for folder in look_into(root).folders
        if folder.lower() in SPLIT_FOLDERS
        for name in METADATA
        if (root / folder / name).is_file()
    ]
    return in_order(root, parts) if parts else find_above(root)


def locate(root: Path, named: Path) -> Path:
    """Return a table that is named: as it is, or in `root`, which may have been moved with it."""
    tried = [named, root / named, root / named.name]
    found = next((path for path in tried if path.is_file()), None)
    if found is None:
        what = "is a folder, not a table: say data.root=FOLDER for it" if named.is_dir() else "does not exist"
        raise InputError(f"data.table={named} {what}")
    return found


def find_above(root: Path) -> list[FoundTable]:
    names = sorted(
        entry.name
        for entry in os.scandir(root)
        if entry.is_file() and not entry.name.startswith(".") and Path(entry.name).suffix.lower() in SUFFIXES
    )
    if not names:
        raise InputError(f"{root} holds no table ({', '.join(SUFFIXES)}): say data.table=FILE")
    stems = {name: Path(name).stem.lower() for name in names}
    of_splits = [name for name in names if stems[name] in SPLIT_FOLDERS]
    metadata = [name for name in names if name in METADATA]
    usual = [name for name in names if stems[name] in USUAL]
    if any(SPLIT_FOLDERS[stems[name]] == "train" for name in of_splits) and not metadata:
        parts = [FoundTable(root / name, ["."], SPLIT_FOLDERS[stems[name]]) for name in of_splits]
        # without the others, train says nothing of the split
        return in_order(root, parts) if len(parts) > 1 else [parts[0]._replace(split=None)]
    for some in (metadata, usual, names):
        if len(some) == 1:
            return [FoundTable(root / some[0], ["."])]
    raise InputError(f"{root} holds several tables, {', '.join(names[:6])}: say which with data.table=FILE")


def in_order(root: Path, parts: Sequence[FoundTable]) -> list[FoundTable]:
    """Return one table of each split, train first."""
    found: dict[str | None, FoundTable] = {}
    for part in parts:
        if part.split in found:
            raise InputError(
                f"{root} holds two tables for the split {part.split}, {found[part.split].path.relative_to(root)} and "
                f"{part.path.relative_to(root)}: keep one of them"
            )
        found[part.split] = part
    if "train" not in found:
        raise InputError(f"{root} holds no table for train: say data.table=FILE")
    return [found[split] for split in ("train", "val", "test") if split in found]
