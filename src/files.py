"""Files that are either whole or not there, and folders that one process alone works in."""

import csv
import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

PARTIAL = ".partial"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path in the folder of `path`, renamed onto it when the block ends well and removed when it doesn't.

    The same folder means the same file system, so that the rename is atomic (POSIX rename(2)); without the fsync of the
    file before it, a power cut can leave an empty file under the final name, and without that of the folder behind it
    the old one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem[:60]}.{os.getpid()}{PARTIAL}{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        flush_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def flush_folder(folder: Path) -> None:
    """Put the names in a folder on the disk, where the system has a way to (Windows has none)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_partial(folder: Path) -> None:
    """Take away what `replacing` left below a folder when its process was killed. Nobody else may be writing there."""
    for path in folder.rglob(f".*{PARTIAL}*"):
        if path.is_file():
            path.unlink(missing_ok=True)


_held: set[int] = set()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a folder for this process; `BlockingIOError` where another one keeps it. The lock dies with its owner."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _held.add(descriptor)
        yield
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


def _let_go() -> None:
    """A worker that decodes images would otherwise hold the lock for seconds after its parent was killed."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()  # the number may soon be that of another file, which a child of this one is to keep


os.register_at_fork(after_in_child=_let_go)


def write_text(path: Path, text: str) -> None:
    """Put `text` into the file in one piece, as UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")


def csv_line(words: Iterable[Any]) -> str:
    """Return a line of a CSV file that gives back the same words.

    Python 3.11 quotes only those line breaks that end its lines, and a \\r in a name would end a row for a reader.
    """
    line = StringIO(newline="")
    csv.writer(line, lineterminator="\r\n").writerow(words)
    return line.getvalue().removesuffix("\r\n") + "\n"
