"""The user's cache folder, for what takes long to find out and may be lost. Never inside a data set."""

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from ..files import replacing

log = logging.getLogger(__name__)


def cache_folder() -> Path | None:
    """Return `RESLENS_CACHE`, or `reslens` in `XDG_CACHE_HOME` or ~/.cache; None where there is no home.

    (https://specifications.freedesktop.org/basedir-spec/latest)
    """
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return Path(os.environ.get("RESLENS_CACHE") or Path(base) / "reslens").expanduser().absolute()
    except RuntimeError:  # no home folder
        return None


def cache_file(root: Path, name: str, *, quiet: bool = False) -> Path | None:
    """Return where to keep what belongs to the data set at `root`, in a file whose name ends in `name`.

    It lies in the `cache_folder`. None: there is none, or it lies inside `root`, which a line says unless `quiet`.
    """
    folder = cache_folder()
    if folder is None:
        return None
    root = root.resolve()
    if folder.resolve().is_relative_to(root):
        if not quiet:
            log.warning("the cache folder %s lies inside the data set: going on without a cache", folder)
        return None
    key = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    return folder / f"{key}_{name}"


def write_cache(path: Path | None, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a file that then appears whole at `path`. Go on without where it can't be written."""
    if path is None:
        return
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            write(file)
    except OSError as error:
        log.info("cannot write the cache %s (%s): going on without", path, error.strerror)
