"""Which files of a data set are whole images: each is decoded once, and the answer remembered."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from src.data.images import UnreadableImageError, read_image
from src.data.manifest import Entry, read_manifest, write_manifest
from src.data.processes import map_files


class FoundFile(NamedTuple):
    """A file below a data set's root: relative path, bytes, time of change in ns."""

    path: str
    size: int
    mtime_ns: int


def scan(root: Path, files: Sequence[FoundFile]) -> list[str | None]:
    """For each file None, or the reason why it can't be read. Only new and changed files are opened."""
    known = read_manifest(root)
    unknown = [file for file in files if (entry := known.get(file.path)) is None or entry[:2] != file[1:]]
    reasons = map_files(partial(find_defects, root), [file.path for file in unknown], "Checking images")
    fresh = {file.path: Entry(file.size, file.mtime_ns, why) for file, why in zip(unknown, reasons, strict=True)}
    entries = {file.path: fresh.get(file.path) or known[file.path] for file in files}
    if entries != known:
        write_manifest(root, entries)
    return [entries[file.path].reason for file in files]


def find_defects(root: Path, paths: Sequence[str]) -> list[str | None]:
    return [find_defect(root / path) for path in paths]


def find_defect(path: Path) -> str | None:
    """None, or why the image can't be read.

    The whole file is decoded, because a half-cut JPEG passes `open` and `verify`. A JPEG's coefficients are all read,
    but only an eighth of its size is reconstructed from them: the same verdict in less time.
    """
    try:
        read_image(path, shorter_side=1)
    except UnreadableImageError as error:
        return error.reason
    return None
