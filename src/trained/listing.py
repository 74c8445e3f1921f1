"""Which images `images=` means, for every verb: a file, a folder, a pattern, a list on stdin, or a split of the run.

No torch here: a wrong path is reported at once.
"""

import os
import sys
from pathlib import Path

from ..errors import InputError

STDIN = "-"
SPLITS = ("train", "val", "test")
"""Splits of the run that a checkpoint belongs to. A folder of that name is `./test`."""

REMEDY = "name a file, a folder, a pattern such as 'PHOTOS/**/*.jpg', - for a list on stdin, or train, val or test"


def find_paths(images: str) -> list[str]:
    """List the paths of all files that `images` means, as a user here can open them, without opening any.

    Folders and patterns are sorted, without dot-files; a list keeps its order. An existing path is never a pattern,
    whatever its name. Names that are not UTF-8 pass through as Python passes them (`surrogateescape`).

    Raises:
        InputError: There is no such file.
    """
    if images == STDIN:
        paths = _listed(sys.stdin.buffer.read())
        if not paths:
            raise InputError("images=- got no path on stdin: pipe a list into it, a path a line")
        return paths
    path = Path(images).expanduser()
    folder = os.path.isdir(path)  # noqa: PTH112  # Path.is_dir raises for a name that is too long
    if folder:
        paths = _below(path)
    elif os.path.lexists(path):  # a broken link and a pipe too: they get a row that says what they are
        return [str(path)]
    elif any(sign in images for sign in "*?["):
        paths = _matching(path, images)
    else:
        raise InputError(f"images={images} does not exist: {REMEDY}")
    if not paths:
        raise InputError(f"images={images} {'holds' if folder else 'fits'} no file: {REMEDY}")
    return sorted(paths)


def _listed(text: bytes) -> list[str]:
    """Split a list into paths: a path a line, or between NULs (`find -print0`), where names may hold line breaks."""
    paths = [os.fsdecode(path) for path in text.split(b"\0" if b"\0" in text else b"\n") if path]
    # The list may come from Windows; but a name may end in \r, too.
    return [
        path[:-1] if path.endswith("\r") and not os.path.lexists(path) and os.path.lexists(path[:-1]) else path
        for path in paths
    ]


def _below(folder: Path) -> list[str]:
    """List all files of the folder and its subfolders. Links are followed; loops of them end."""
    from ..data.folders import list_files  # the package of the data needs torch, which no error should wait for

    try:
        next(folder.iterdir(), None)
    except OSError as error:
        raise InputError(f"images={folder} can't be opened ({error.strerror}): {REMEDY}") from None
    files, skipped = list_files(folder, Path())
    return [str(folder / path) for path in [*(file.path for file in files), *(entry.path for entry in skipped)]]


def _matching(path: Path, pattern: str) -> list[str]:
    """List the files that fit. As in a shell, `*` means no dot-files, and `**` enters no linked folders."""
    base, parts = Path(path.anchor), list(path.parts[bool(path.anchor) :])
    while os.path.lexists(base / parts[0]):  # `[` is a common letter in the names of folders
        base /= parts.pop(0)
    if parts[-1] == "**":
        parts.append("*")
    hidden = any(part.startswith(".") for part in parts)
    try:
        found = list(base.glob(os.path.join(*parts)))  # noqa: PTH118  # a pattern, no path
    except ValueError as error:
        raise InputError(f"images={pattern} is no pattern ({error}): {REMEDY}") from error
    return [
        str(file)
        for file in found
        if not file.is_dir() and (hidden or not any(part.startswith(".") for part in file.relative_to(base).parts))
    ]
