"""Which files of a data set are no whole image, half a JPEG say: each is decoded once, and the answer remembered."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import NamedTuple

from .images import look_at
from .manifest import Entry, Verdict, read_manifest, write_manifest
from .processes import map_files
from .refusal import UnreadableImageError

# How the reasons begin that may not hold the next time, though the file stays the same: they are not remembered.
PASSING = ("missing", "permission denied", "no access", "not a regular file", "too large for the memory", "takes over")


class FoundFile(NamedTuple):
    """A file below a data set's root: relative path, bytes, time of change in ns."""

    path: str
    size: int
    mtime_ns: int


Check = Callable[[Path, Sequence[FoundFile], Sequence[str]], list[Verdict]]
"""Returns what decoding each of the files below a root shows, given the split that each is published in."""

_check: ContextVar[Check | None] = ContextVar("check", default=None)


@contextmanager
def checked_by(check: Check | None) -> Iterator[None]:
    """Let `check` decode what is scanned meanwhile: it has a use for the pictures. None: as without."""
    before = _check.set(check)
    try:
        yield
    finally:
        _check.reset(before)


def scan(root: Path, files: Sequence[FoundFile], splits: Sequence[str] = ()) -> list[Verdict]:
    """Return for each file what decoding it shows. Only new and changed files are opened.

    What is known of other files below `root` is kept while they are there: another table or choice of classes may name
    them.

    Args:
        splits: in which each file is published, for `checked_by`.
    """
    known = read_manifest(root)
    unknown = [file for file in files if (entry := known.get(file.path)) is None or entry[:2] != file[1:]]
    if not unknown:
        return [known[file.path].verdict for file in files]
    check = _check.get()
    if check is None:
        verdicts = find_defects(root, [file.path for file in unknown])
    else:
        published = dict(zip(files, splits, strict=True))
        verdicts = check(root, unknown, [published[file] for file in unknown])
    fresh = {file.path: Entry(file.size, file.mtime_ns, found) for file, found in zip(unknown, verdicts, strict=True)}
    entries = {file.path: fresh.get(file.path) or known[file.path] for file in files}
    others = still_there(root, known.keys() - entries.keys())
    lasting = {path: known[path] for path in others}
    lasting |= {path: entry for path, entry in entries.items() if not may_pass(entry.verdict.reason)}
    if lasting != known:
        write_manifest(root, lasting)
    return [entries[file.path].verdict for file in files]


def still_there(root: Path, paths: Iterable[str]) -> list[str]:
    """Return those of the files that are still in their folders, whose lists cost less than asking for each."""
    folders: dict[str, set[str]] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        folders.setdefault(folder, set()).add(name)
    found = []
    for folder, names in folders.items():
        with suppress(OSError):  # it is gone, or closed to us
            found += [f"{folder}/{name}" if folder else name for name in names & set(os.listdir(root / folder))]  # noqa: PTH208
    return sorted(found)


def may_pass(reason: str | None) -> bool:
    return reason is not None and reason.startswith(PASSING)


def find_defects(root: Path, paths: Sequence[str]) -> list[Verdict]:
    """Do as `find_defect`, on all cores, whatever a file does to its decoder."""
    return map_files(partial(find_defect_below, str(root)), paths, "Checking images", lost=Verdict)


def find_defect_below(root: str, path: str) -> Verdict:
    return find_defect(os.path.join(root, path))  # noqa: PTH118  # a tenth of all time went into making Paths


def find_defect(path: Path | str) -> Verdict:
    """Return why the image can't be read, if it can't, and what it holds."""
    try:
        found = look_at(path)
    except UnreadableImageError as error:
        return Verdict(error.reason)
    return Verdict(None, *found[1:])
