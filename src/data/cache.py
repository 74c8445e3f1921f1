"""The user's cache folder: what is costly to find out and cheap to find out again. Never inside a data set."""

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

log = logging.getLogger(__name__)


def cache_file(root: Path, name: str) -> Path | None:
    """Where to keep what belongs to the data set at `root`, in a file whose name ends in `name`.

    The folder is `RESLENS_CACHE`, or `reslens` in `XDG_CACHE_HOME` or ~/.cache
    (https://specifications.freedesktop.org/basedir-spec/latest). None: there is no home, or it lies inside `root`.
    """
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(os.environ.get("RESLENS_CACHE") or Path(base) / "reslens").expanduser().absolute()
    except RuntimeError:  # no home folder
        return None
    root = root.resolve()
    if folder.resolve().is_relative_to(root):
        log.warning("the cache folder %s lies inside the data set: going on without a cache", folder)
        return None
    key = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    return folder / f"{key}_{name}"


def write_cache(path: Path | None, write: Callable[[BinaryIO], object]) -> None:
    """Lets `write` fill a temporary file, then puts it at `path` whole. If it can't be written, it does without."""
    if path is None:
        return
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        log.info("cannot write the cache %s (%s): going on without", path, error.strerror)
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
