"""What to leave out of a data set, as an audit finds it: a table that `data.exclude=` reads. Nothing is deleted."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

from ..data.exclusion import list_file
from ..data.module import ImageDataModule
from ..data.splits import SPLITS
from ..errors import InputError
from ..lists import read_paths
from .findings import Audit, DuplicateGroup

Fix = Literal["copies", "labels"]

KEPT_FIRST = ("test", "val", "train")
"""Of a picture in several given splits, the one of the first of these stays: what others measure on remains whole."""


CONTRADICTS = ("in several classes", "with different labels")
"""Why nobody knows which label is right: where an image has one, and where it has several."""


class Row(NamedTuple):
    """An image or unreadable file that is left out; `split` and `name` (of the class) are empty of the latter."""

    file: str
    reason: str
    split: str = ""
    name: str = ""


def choose(audit: Audit, data: ImageDataModule, fix: Fix) -> list[Row]:
    """Return what is to be left out, each file once, in the order of their paths.

    These are unreadable files and copies across splits. Of images that we divide ourselves one of each picture stays,
    for without the others they are divided anew. With `fix="labels"` all images of a picture in several classes go:
    nobody knows which label is right.
    """
    rows = [Row(path, reason) for path, reason in audit.skipped]
    pools = _pools(data)
    divided = _divided(pools, data)
    for group in audit.groups:
        wrong = fix == "labels" and group.across_classes
        kept = set() if wrong else _kept(group, pools, divided)
        reason = CONTRADICTS[audit.labels is not None] if wrong else f"{'exact' if group.exact else 'near'} copy"
        rows += [
            Row(path, reason if wrong else f"{reason} of {group.images[min(kept)][0]}", split, name)
            for place, (path, split, name) in enumerate(group.images)
            if place not in kept
        ]
    return sorted(rows)


def write_rows(rows: Sequence[Row], earlier: Sequence[str]) -> str:
    """Return the table as text, with the paths that an earlier list leaves out already."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("file", "reason", "split", "class"))
    known = {row.file for row in rows}
    table.writerows([*(Row(path, "left out before") for path in earlier if path not in known), *rows])
    return text.getvalue()


def summary(rows: Sequence[Row]) -> str:
    """Say how many of each kind: `3 unreadable, 2 copies`."""
    kinds = Counter(
        row.reason if row.reason in CONTRADICTS else "copies" if row.split else "unreadable" for row in rows
    )
    return ", ".join(f"{number:,} {kind}" for kind, number in sorted(kinds.items()))


def read_earlier(exclude: str | Sequence[str] | None) -> list[str]:
    """Return the paths of the list that `data.exclude` names; raise `InputError` for patterns, which no list holds."""
    if exclude is None:
        return []
    file = list_file(exclude)
    if file is None:
        raise InputError(f"data.exclude={exclude} holds patterns, and fix= writes a list: leave out one of the two")
    return read_paths(file, "data.exclude")


def _pools(data: ImageDataModule) -> dict[int, str]:
    """Return which given split each image of the collection is from; all are from train where none is given."""
    return {int(i): split for split, indices in data.found.published.items() for i in indices}


def _divided(pools: dict[int, str], data: ImageDataModule) -> set[str]:
    """Return the given splits that we divide into several."""
    parts: dict[str, set[str]] = {}
    for split in SPLITS:
        for index in data.indices(split):
            parts.setdefault(pools[int(index)], set()).add(split)
    return {pool for pool, splits in parts.items() if len(splits) > 1}


def _kept(group: DuplicateGroup, pools: dict[int, str], divided: set[str]) -> set[int]:
    """Return which images of a group stay, by their places in it."""
    own = [pools[index] for index in group.indices]
    best = min(own, key=KEPT_FIRST.index)
    places = [place for place, pool in enumerate(own) if pool == best]
    return set(places[:1] if best in divided else places)
