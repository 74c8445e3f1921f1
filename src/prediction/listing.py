"""Which files are meant by `images=`: a file, a folder, a pattern, or a list on stdin."""

import os
import sys
from pathlib import Path

from ..errors import InputError

STDIN = "-"
REMEDY = "name a file, a folder, a pattern such as 'PHOTOS/**/*.jpg', or - for a list on stdin"


def find_paths(images: str) -> list[str]:
    """The paths of all files that are meant, as a user here can open them; none of them has been opened.

    Folders, patterns: sorted; dot-files are left out. A list keeps its order. What exists is no pattern, whatever
    its name. Names that are not UTF-8 pass through as Python passes them (`surrogateescape`).
    Raises `InputError` where there is no file.
    """
    if images == STDIN:
        paths = _listed(sys.stdin.buffer.read())
        if not paths:
            raise InputError("images=- has got no path on stdin: pipe a list into it, a path a line")
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
    """A path a line; where there is a NUL, as of `find -print0`, they lie between NULs, and may have line breaks."""
    paths = [os.fsdecode(path) for path in text.split(b"\0" if b"\0" in text else b"\n") if path]
    # The list may come from Windows; but a name may end in \r, too.
    return [
        path[:-1] if path.endswith("\r") and not os.path.lexists(path) and os.path.lexists(path[:-1]) else path
        for path in paths
    ]


def _below(folder: Path) -> list[str]:
    """All files of the folder and its subfolders. Links are followed, loops of them end."""
    from ..data.folders import list_files  # the package of the data needs torch, which no error should wait for

    try:
        next(folder.iterdir(), None)
    except OSError as error:
        raise InputError(f"images={folder} can't be opened ({error.strerror}): {REMEDY}") from None
    files, skipped = list_files(folder, Path())
    return [str(folder / path) for path in [*(file.path for file in files), *(entry.path for entry in skipped)]]


def _matching(path: Path, pattern: str) -> list[str]:
    """The files that fit; as in a shell, `*` means no dot-files, and `**` enters no linked folders."""
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
