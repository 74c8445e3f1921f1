"""Which images `images=` means, for every verb: a file, a folder, a pattern, a list on stdin, or a split of the run.

No torch here: a wrong path is reported at once.
"""

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..activity import cleared
from ..errors import InputError
from ..lists import split_paths
from ..urls import is_url, refuse_secrets

if TYPE_CHECKING:
    from ..data.no_images import PassedOver

log = logging.getLogger(__name__)

STDIN = "-"
SPLITS = ("train", "val", "test")
"""Splits of the run that a checkpoint belongs to. A folder of that name is `./test`."""

REMEDY = "name a file, a folder, a pattern such as 'PHOTOS/**/*.jpg', - for a list on stdin, or train, val or test"


def find_paths(images: str) -> list[str]:
    """List the paths of all files that `images` means, as a user here can open them, without opening any.

    Folders and patterns are sorted, without dot-files and without what is known to be no image (`src.data.no_images`);
    a list keeps its order and all of its files. An existing path is never a pattern, whatever its name. Names that are
    not UTF-8 pass through as Python passes them (`surrogateescape`).

    Raises:
        InputError: There is no such file.
    """
    images = fetched(images)
    if images == STDIN:
        with cleared():  # somebody may be typing it
            paths = _listed(sys.stdin.buffer.read())
        if not paths:
            raise InputError("images=- got no path on stdin: pipe a list into it, a path a line")
        return paths
    path = Path(images).expanduser()
    folder = os.path.isdir(path)  # noqa: PTH112  # Path.is_dir raises for a name that is too long
    passed: object = None
    if folder:
        paths, passed = _below(path)
    elif os.path.lexists(path):  # a broken link and a pipe too: they get a row that says what they are
        return [str(path)]
    elif any(sign in images for sign in "*?["):
        paths, passed = _matching(path, images)
    else:
        raise InputError(f"images={images} does not exist: {REMEDY}")
    if not paths:
        but = f" but {passed}" if passed else ""
        raise InputError(f"images={images} {'holds' if folder else 'fits'} no file{but}: {REMEDY}")
    if passed:
        log.info("passed over %s", passed)
    return sorted(paths)


def fetched(images: str) -> str:
    """Return the folder of a copy of what lies in a bucket, and any other place as it is."""
    if not is_url(images):
        return images
    from ..data.bucket_copies import local_copy
    from ..data.sources.folder import wanted

    refuse_secrets("images", images)
    return str(local_copy(images.rstrip("/"), wanted))


def _listed(content: bytes) -> list[str]:
    # The list may come from Windows; but a name may end in \r, too.
    return [
        path[:-1] if path.endswith("\r") and not os.path.lexists(path) and os.path.lexists(path[:-1]) else path
        for path in split_paths(content)
    ]


def _below(folder: Path) -> "tuple[list[str], PassedOver]":
    """List all files of the folder and its subfolders, and what is no image. Links are followed; loops of them end."""
    from ..data.folders import list_files  # the package of the data needs torch, which no error should wait for

    try:
        next(folder.iterdir(), None)
    except OSError as error:
        raise InputError(f"images={folder} can't be opened ({error.strerror}): {REMEDY}") from None
    files, skipped, passed = list_files(folder, Path())
    paths = [str(folder / path) for path in [*(file.path for file in files), *(entry.path for entry in skipped)]]
    return paths, passed


def _matching(path: Path, pattern: str) -> "tuple[list[str], PassedOver]":
    """List the files that fit, and what is no image. As in a shell, `*` means no dot-files, `**` no linked folders."""
    from ..data.no_images import PassedOver

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
    passed = PassedOver()
    paths = []
    for file in found:
        below = file.relative_to(base).parts
        if not file.is_dir() and (hidden or not any(part.startswith(".") for part in below)) and passed.may_be(below):
            paths.append(str(file))
    return paths, passed
