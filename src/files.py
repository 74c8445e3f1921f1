"""Files that are whole or not there, folders that one process alone works in, and nothing opened through a link.

The one place that opens files for writing, and the files of a run folder. That may come from a stranger: git, tar and
rsync carry links, pipes and sizes of any kind. And the folder that is written to may be one that others write to.
"""

import csv
import errno
import fcntl
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from io import StringIO
from pathlib import Path
from typing import Any, BinaryIO

from .errors import InputError

PARTIAL = ".partial"

CAREFUL = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""No link is followed, and a pipe keeps nobody waiting (open(2))."""


@contextmanager
def replacing(path: Path, *, flush: bool = True) -> Iterator[Path]:
    """A temporary path in the folder of `path`, renamed onto it when the block ends well and removed when it doesn't.

    The same folder means the same file system, so that the rename is atomic (POSIX rename(2)); without the fsync of the
    file before it, a power cut can leave an empty file under the final name, and without that of the folder behind it
    the old one. Nobody can guess the temporary name, and put a link there; a link at `path` is itself replaced.

    Without `flush` neither is waited for: for thousands of small files of which whoever reads them knows the sizes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem[:40]}.{secrets.token_hex(8)}{PARTIAL}{path.suffix}")
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | CAREFUL, 0o666))
    try:
        yield temporary
        if flush:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
        if flush:
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
    for at, folders, names in os.walk(folder):  # enters no link
        links = [name for name in folders if Path(at, name).is_symlink()]
        for name in (*names, *links):
            if name.startswith(".") and PARTIAL in name:
                Path(at, name).unlink(missing_ok=True)


SECONDS_TO_TIDY = 5.0
"""How long whoever is alone in a folder may keep others from coming in."""

_held: set[int] = set()


@contextmanager
def locked(folder: Path, *, again: bool = False) -> Iterator[None]:
    """Keep a folder for this process; `BlockingIOError` where another one keeps it. The lock dies with its owner.

    With `again` a folder that this process keeps already stays kept until the outer block ends.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if not (again and any(os.path.sameopenfile(descriptor, held) for held in _held)):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _held.add(descriptor)
        yield
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


@contextmanager
def attended(folder: Path) -> Iterator[Callable[[], AbstractContextManager[bool]]]:
    """Be one of the processes at work in a folder; `BlockingIOError` where one keeps it for itself (`locked`).

    Yields what keeps the others out while a block runs, and tells it whether there are none.
    """
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            _wait_for(descriptor, fcntl.LOCK_SH, SECONDS_TO_TIDY)
            if _is_at(descriptor, folder):
                break
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # who was the last one there has just removed it

    @contextmanager
    def alone() -> Iterator[bool]:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            last = True
        except BlockingIOError:
            last = False
            _share(descriptor)  # flock(2): one that isn't granted takes what was there with it
        try:
            yield last
        finally:
            if last:
                _share(descriptor)

    _held.add(descriptor)
    try:
        yield alone
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


@contextmanager
def claimed(file: Path, seconds: float = 1.0) -> Iterator[None]:
    """Keep what a file stands for, which is there as long; `BlockingIOError` where another process does.

    The claim dies with its owner. It counts on all machines that share the disk: NFS passes on the locks of files that
    are open for writing, and not those of folders.

    Args:
        seconds: how long to wait for another process.
    """
    until = time.monotonic() + seconds
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | CAREFUL, 0o666)
        try:
            _wait_for(descriptor, fcntl.LOCK_EX, until - time.monotonic())
            if _is_at(descriptor, file):
                break
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its owner has removed it while this one waited
    _held.add(descriptor)
    try:
        yield
    finally:
        if descriptor in _held:  # not in a child of this process
            file.unlink(missing_ok=True)
            _held.discard(descriptor)
            os.close(descriptor)


def is_claimed(file: Path) -> bool:
    """Return whether a process keeps what a file stands for."""
    try:
        descriptor = os.open(file, os.O_RDWR | CAREFUL)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # whoever else asks gets this, too
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _share(descriptor: int) -> None:
    with suppress(BlockingIOError):
        _wait_for(descriptor, fcntl.LOCK_SH, SECONDS_TO_TIDY)


def _wait_for(descriptor: int, lock: int, seconds: float) -> None:
    until = time.monotonic() + seconds
    while True:
        try:
            return fcntl.flock(descriptor, lock | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise
        time.sleep(0.02)


def _is_at(descriptor: int, file: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), file.stat(follow_symlinks=False))
    return False


def is_locked(folder: Path) -> bool:
    """Return whether a process keeps the folder, or nobody can tell."""
    try:
        with locked(folder):
            return False
    except OSError:
        return True


_in_use: dict[Path, int] = {}


def keep_in_use(folder: Path) -> None:
    """Let `is_locked` say of a folder, until this process ends, that it is in use. Any number of processes may.

    Another one that keeps it with `locked` is waited for.
    """
    if folder in _in_use:
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except OSError:
        os.close(descriptor)
        raise
    _in_use[folder] = descriptor


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


def append_text(path: Path, text: str) -> None:
    """Put `text` at the end of the file, and behind nothing that a link there names."""
    with os.fdopen(open_to_append(path), "a", encoding="utf-8") as file:
        file.write(text)


def open_to_append(path: Path) -> int:
    """Return a descriptor of the regular file at `path` alone, made if need be; `OSError` for anything else there.

    A file that has another name as well, somewhere, is copied first: that one stays as it is.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | CAREFUL, 0o666)
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_nlink <= 1:
        return descriptor
    os.close(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    with replacing(path) as copy:
        shutil.copyfile(path, copy)
    return open_to_append(path)


def open_to_grow(path: Path) -> int:
    """Return a descriptor, for reading and writing, of the regular file at `path`, made if need be; else `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | CAREFUL, 0o666)
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_nlink <= 1:
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is no regular file of its own", str(path))


def refuse_links(folder: Path, path: Path) -> None:
    """Raise `InputError` where a link lies on the way from `folder` to `path`; the folder's own path may have some."""
    place = folder
    for part in path.relative_to(folder).parts:
        place /= part
        if place.is_symlink():
            raise InputError(f"{place} is a link, and may lead anywhere: put in its place what it leads to")


def move_files(source: Path, target: Path) -> set[str]:
    """Move all files of a folder into another one, where they replace others and links; return their names.

    Raise `InputError`, and move none, where a folder has the name of one.
    """
    names = {path.name for path in source.iterdir()}
    for name in sorted(names):
        if (target / name).is_dir() and not (target / name).is_symlink():
            raise InputError(f"{target / name} is a folder, in the place of a file: remove it, or name another folder")
    for name in names:
        (source / name).replace(target / name)
    return names


def open_inside(folder: Path, name: str) -> BinaryIO:
    """Open the regular file `name` below a folder for reading, without following a link below that.

    `OSError`, whose `strerror` says it in words, where there is none.
    """
    *folders, last = Path(name).parts
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in folders:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | CAREFUL, dir_fd=at)
            os.close(at)
            at = inner
        descriptor = os.open(last, os.O_RDONLY | CAREFUL, dir_fd=at)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise OSError(errno.ELOOP, "a link, or no folder, is in its place", str(folder / name)) from None
        raise
    finally:
        os.close(at)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        why = os.strerror(errno.EISDIR) if stat.S_ISDIR(mode) else "it is no regular file"
        raise OSError(errno.EINVAL, why, str(folder / name))
    return os.fdopen(descriptor, "rb")


def read_inside(folder: Path, name: str, most: int) -> bytes:
    """Return what is in a file, as `open_inside` finds it, if that are no more than so many bytes."""
    with open_inside(folder, name) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OSError(errno.EFBIG, f"it is larger than {most >> 10:,} KiB", str(folder / name))
        return file.read(size)


def csv_line(words: Iterable[Any]) -> str:
    """Return a line of a CSV file that gives back the same words.

    Python 3.11 quotes only those line breaks that end its lines, and a \\r in a name would end a row for a reader.
    """
    line = StringIO(newline="")
    csv.writer(line, lineterminator="\r\n").writerow(words)
    return line.getvalue().removesuffix("\r\n") + "\n"
