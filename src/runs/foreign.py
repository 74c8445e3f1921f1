"""What a run folder from elsewhere may hold besides files: git, tar and rsync carry links and pipes."""

import os
import stat
from pathlib import Path

from ..errors import InputError

MOST, DEEPEST = 1_000_000, 50
"""Entries of a folder, and folders inside folders; a long run has a few thousand, in three."""


def look_over(folder: Path) -> None:
    """Raise `InputError` where anything below a folder that will be written to is no plain file or folder.

    TensorBoard, Lightning and Hydra write by path: through a link they would write anywhere, and a pipe keeps them
    waiting.
    """
    waiting, seen = [(folder, 0)], 0
    while waiting:
        place, depth = waiting.pop()
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    seen += 1
                    kind = _odd(entry)
                    if kind is not None:
                        remedy = "put in its place what it leads to" if kind == "link" else "remove it"
                        raise InputError(f"{entry.path} is a {kind}, which nothing is written to: {remedy}")
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((Path(entry.path), depth + 1))
        except OSError as error:
            raise InputError(f"{place} can't be looked into ({error.strerror}): see to that, or remove it") from None
        if seen > MOST or depth > DEEPEST:
            raise InputError(f"{folder} holds more than a run does: name another folder")


def _odd(entry: os.DirEntry[str]) -> str | None:
    """Return what an entry is that is neither file nor folder."""
    if entry.is_symlink():
        return "link"
    if entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False):
        return None
    mode = entry.stat(follow_symlinks=False).st_mode
    return "pipe" if stat.S_ISFIFO(mode) else "socket" if stat.S_ISSOCK(mode) else "device"
