"""Decoded pictures in a file, by the image files that they come from: read by any number of processes, written by one
and its workers.

Pixels are read with `preadv`, through the memory that the system keeps of the file for all processes. Mapped into
memory they would cost the same copy into the batch, and a file that somebody cuts short would end the process (SIGBUS).
"""

import fcntl
import json
import logging
import math
import os
import threading
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..files import open_to_grow, write_text
from .defects import FoundFile

log = logging.getLogger(__name__)


WORTHWHILE = 64 << 20
"""Bytes of lost pictures that are not worth making a store anew."""


class Record(NamedTuple):
    """Where a picture's pixels lie, uint8 of this shape, their checksum, and (width, height) as it was read."""

    offset: int
    shape: tuple[int, int, int]
    checksum: int
    size: tuple[int, int]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Store:
    """The two files of a store: pixels one after the other, and an index with a line for each picture.

    A line begins with its own checksum, so that half a line, or one of another make, is none. A later line about a file
    counts, not an earlier one.
    """

    pixels: Path
    index: Path

    @property
    def mark(self) -> Path:
        """The file that says that pixels were found damaged: the next training makes the store anew."""
        return self.pixels.with_suffix(".damaged")

    @property
    def files(self) -> tuple[Path, ...]:
        return self.index, self.pixels, self.mark

    def read_index(self) -> dict[FoundFile, Record]:
        """Return what is kept; nothing where there is no store."""
        found: dict[FoundFile, Record] = {}
        with suppress(OSError):
            content, end = self.index.read_bytes(), self.pixels.stat().st_size
            for line in content.splitlines():
                with suppress(ValueError, TypeError):
                    if int(line[:8], 16) != zlib.crc32(line[9:]):
                        continue
                    *file, offset, shape, checksum, size = json.loads(line[9:])
                    record = Record(offset, tuple(shape), checksum, tuple(size))
                    if record.offset + record.nbytes <= end:
                        found[FoundFile(*file)] = record
        return found

    def is_mostly_lost(self) -> bool:
        """Return whether most of the pixels are of files that have changed since, or that no line is about."""
        newest = {file.path: record for file, record in self.read_index().items()}
        with suppress(OSError):
            return self.pixels.stat().st_size > 2 * sum(record.nbytes for record in newest.values()) + WORTHWHILE
        return False


class Writer:
    """Adds pictures to a store: pixels from any process forked from this one, lines of the index from one."""

    def __init__(self, pixels: int, index: int) -> None:
        """Take the descriptors of both files, open for reading and writing."""
        self.pixels = pixels
        self.index = index
        self._threads = threading.Lock()

    @classmethod
    def of(cls, store: Store) -> "Writer":
        """Open the files of a store, made if need be."""
        return cls(open_to_grow(store.pixels), open_to_grow(store.index))

    def add(self, picture: np.ndarray, size: tuple[int, int]) -> Record:
        """Write a picture (a, b, c) that had this size at the end. `OSError` where there is no room."""
        content = np.ascontiguousarray(picture).data.cast("B")
        with self._threads:
            fcntl.lockf(self.pixels, fcntl.LOCK_EX)  # let go by the system where a decoder crashes its process
            try:
                offset = os.fstat(self.pixels).st_size
                os.ftruncate(self.pixels, offset + len(content))
            finally:
                fcntl.lockf(self.pixels, fcntl.LOCK_UN)
        write_at(self.pixels, content, offset)
        return Record(offset, picture.shape, zlib.crc32(content), size)

    def note(self, found: Iterable[tuple[FoundFile, Record]]) -> None:
        """Enter pictures that `add` has written into the index."""
        lines = [json.dumps([*file, *record]).encode("ascii") for file, record in found]
        # The last line may be a half one, of a process that was killed: it must not spoil the next.
        content = b"".join(b"\n%08x %s" % (zlib.crc32(line), line) for line in lines) + b"\n"
        write_at(self.index, memoryview(content), os.fstat(self.index).st_size)

    def close(self) -> None:
        os.close(self.pixels)
        os.close(self.index)


def write_at(descriptor: int, content: memoryview, offset: int) -> None:
    while content:
        written = os.pwrite(descriptor, content, offset)
        content, offset = content[written:], offset + written


class Shelf:
    """The pictures of some files, by their place in a list."""

    def __init__(self, store: Store, kept: Mapping[FoundFile, Record], files: Sequence[FoundFile | None]) -> None:
        records = [None if file is None else kept.get(file) for file in files]
        self.store = store
        self.offsets = np.array([-1 if record is None else record.offset for record in records], dtype=np.int64)
        self.shapes = np.array([(0, 0, 0) if record is None else record.shape for record in records], dtype=np.int32)
        self.checksums = np.array([0 if record is None else record.checksum for record in records], dtype=np.uint32)
        self._sizes = np.array([(0, 0) if record is None else record.size for record in records], dtype=np.int32)
        self._descriptor: int | None = os.open(store.pixels, os.O_RDONLY | os.O_CLOEXEC)
        self._damaged = False

    def __del__(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def __getstate__(self) -> dict[str, object]:  # for a worker that isn't forked
        return self.__dict__ | {"_descriptor": None}

    def has_all(self, places: np.ndarray) -> bool:
        return bool((self.offsets[places] >= 0).all())

    def size(self, place: int) -> tuple[int, int]:
        """Return (width, height) of a kept picture as it was read."""
        width, height = self._sizes[place].tolist()
        return width, height

    def read(self, place: int, into: np.ndarray | None = None) -> np.ndarray | None:
        """Return the pixels, in `into` where that is given; None where they aren't kept, or are damaged."""
        offset = int(self.offsets[place])
        if offset < 0:
            return None
        pixels = np.empty(self.shapes[place], dtype=np.uint8) if into is None else into
        if self._descriptor is None:
            self._descriptor = os.open(self.store.pixels, os.O_RDONLY | os.O_CLOEXEC)
        content = pixels.data.cast("B")
        with suppress(OSError):
            read = os.preadv(self._descriptor, [content], offset)
            if read == len(content) and zlib.crc32(content) == self.checksums[place]:
                return pixels
        if not self._damaged:
            self._damaged = True
            log.warning("%s is damaged: reading the image files themselves", self.store.pixels)
            with suppress(OSError):
                write_text(self.store.mark, "")
        return None
