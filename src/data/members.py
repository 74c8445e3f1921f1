"""Images inside of tar shards, read where they lie: a path that is no file may be that of a member.

`shards/cat/001.jpg` is the member that the index of `shards` calls `cat/001.jpg`. Whoever opens an image or asks for
its size does it here, so that names, order and everything that is remembered are those of a folder of files.
"""

import csv
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO, StringIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from ..errors import InputError
from ..lists import decode_text
from .cache import cache_file

INDEX = "index.csv"
COLUMNS = ("file", "label", "split", "group", "shard", "offset", "bytes", "skipped")


class Member(NamedTuple):
    """An image in a shard: what it is called, what is known of it, and where its bytes lie.

    `skipped` is the reason why it was left out when the shards were written; there are no bytes of it then.
    """

    file: str
    label: str
    split: str
    group: str
    shard: str
    offset: int
    size: int
    skipped: str = ""


class Members:
    """The images of a folder of shards."""

    def __init__(self, root: str, members: Iterable[Member]) -> None:
        self.root = root
        self.shards: list[str] = []
        self.times: list[int] = []  # of change of the shards, ns
        self.places: dict[str, int] = {}
        self.where = array("q")  # shard, offset, bytes of each
        numbers: dict[str, int] = {}
        for member in members:
            if member.skipped:
                continue
            if member.shard not in numbers:
                numbers[member.shard] = len(self.shards)
                self.shards.append(member.shard)
                self.times.append(_status(root, member.shard).st_mtime_ns)
            self.places[member.file] = len(self.places)
            self.where.extend((numbers[member.shard], member.offset, member.size))

    def find(self, path: str) -> tuple[int, int, int] | None:
        """Return the number of the shard, offset and bytes of a member."""
        place = self.places.get(path)
        return None if place is None else tuple(self.where[3 * place : 3 * place + 3])  # type: ignore[return-value]

    def read(self, path: str) -> bytes | None:
        found = self.find(path)
        if found is None:
            return None
        shard, offset, size = found
        descriptor = os.open(os.path.join(self.root, self.shards[shard]), os.O_RDONLY | os.O_CLOEXEC)  # noqa: PTH118
        try:
            return os.pread(descriptor, size, offset)
        finally:
            os.close(descriptor)

    def check(self) -> None:
        """Raise `InputError` for a shard that ends before the members that the index says it has."""
        ends = [0] * len(self.shards)
        for place in range(0, len(self.where), 3):
            shard, offset, size = self.where[place : place + 3]
            ends[shard] = max(ends[shard], offset + size)
        for name, end in zip(self.shards, ends, strict=True):
            if (there := _status(self.root, name).st_size) < end:
                raise InputError(
                    f"{Path(self.root, name)} has {there:,} bytes, and its index says {end:,} or more: it is half a "
                    "copy; copy it again, or pack the images anew"
                )


def _status(root: str, shard: str) -> os.stat_result:
    try:
        return Path(root, shard).stat()
    except OSError as error:
        raise InputError(
            f"{Path(root, shard)} can't be opened ({(error.strerror or '').lower()}), and the index names it: "
            "copy all shards, or pack the images anew"
        ) from error


_known: dict[str, Members] = {}


def read_index(root: Path) -> list[Member] | None:
    """Return what the index of a folder of shards says, in its order; None where there is none.

    Raises:
        InputError: it is damaged.
    """
    path = index_of(root)
    if path is None:
        return None
    rows = csv.reader(StringIO(decode_text(path.read_bytes()), newline=""))
    next(rows)
    try:
        return [_member(row) for row in rows if row]
    except (csv.Error, ValueError) as error:
        raise InputError(f"{path} is damaged, in line {rows.line_num}: pack the images anew") from error


def _member(row: list[str]) -> Member:
    """Read a line of an index. `ValueError` for one that is none, or leads out of the folder."""
    file, label, split, group, shard, offset, size, skipped = row
    member = Member(file, label, split, group, shard, int(offset or 0), int(size or 0), skipped)
    if not is_below(file) or min(member.offset, member.size) < 0 or not (skipped or is_below(shard)):
        raise ValueError
    return member


def is_below(path: str) -> bool:
    """Return whether a relative path leads down."""
    return "\0" not in path and all(part not in ("", ".", "..") for part in path.split("/"))


def index_of(root: Path) -> Path | None:
    """Return the index of a folder of shards: its own, or what was found out of shards that others have made."""
    found = (root / INDEX, cache_file(root, "shards.csv", quiet=True))
    return next((path for path in found if path is not None and is_index(path)), None)


def is_index(path: Path) -> bool:
    with suppress(OSError), open(path, "rb", opener=at_once) as file:
        return file.readline(200).strip() == ",".join(COLUMNS).encode()
    return False


def know(root: Path, members: Iterable[Member]) -> Members:
    """Open the images of a folder of shards for this process, and those that it forks."""
    found = Members(os.path.abspath(root), members)  # noqa: PTH100
    _known[found.root] = found
    return found


def find_member(path: Path | str) -> tuple[Members, str] | None:
    """Return the shards that a path leads into, and the member's name."""
    whole = os.path.abspath(path)  # noqa: PTH100
    for root, members in _known.items():
        if whole.startswith(f"{root}/") and whole[len(root) + 1 :] in members.places:
            return members, whole[len(root) + 1 :]
    for folder in Path(whole).parents:  # of another process
        if str(folder) not in _known and folder.is_dir() and (rows := read_index(folder)) is not None:
            know(folder, rows)
            return find_member(whole)
    return None


def shards_of(root: Path, paths: Sequence[str]) -> np.ndarray | None:
    """Return the number of the shard that each image (N,) lies in; None where they are files."""
    found = find_member(root / paths[0]) if paths else None
    if found is None:
        return None
    members = found[0]
    return np.array([members.where[3 * members.places[path]] for path in paths])


@contextmanager
def opened(path: Path | str) -> Iterator[BinaryIO]:
    """Open an image, a file or a member of a shard."""
    try:
        file = open(path, "rb", opener=at_once)  # noqa: SIM115
    except (FileNotFoundError, NotADirectoryError):
        found = find_member(path)
        content = None if found is None else found[0].read(found[1])
        if content is None:
            raise
        yield BytesIO(content)
        return
    with file:
        yield file


def at_once(path: str, flags: int) -> int:
    """Open without waiting: a pipe in an image's place would block everyone forever (open(2))."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def size_and_time(path: Path | str) -> tuple[int, int] | None:
    """Return the bytes of an image and its time of change in ns, that of its shard; None where there is none."""
    with suppress(OSError):
        status = os.stat(path)  # noqa: PTH116  # a Path takes ten times as long
        return status.st_size, status.st_mtime_ns
    with suppress(OSError, InputError):
        if (found := find_member(path)) is not None and (where := found[0].find(found[1])) is not None:
            return where[2], found[0].times[where[0]]
    return None
