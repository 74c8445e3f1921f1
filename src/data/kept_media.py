"""Where decoded pictures are kept: in the user's cache folder, or in memory that the processes of a training share."""

import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path

from ..activity import show
from ..files import is_locked, locked
from .cache import cache_file
from .kept_kinds import Kind
from .picture_store import Store, Writer

log = logging.getLogger(__name__)

FOLDER = "pictures"

SHARE_OF_DISK = 1 / 2
CAREFUL_SHARE_OF_DISK = 1 / 4
"""Of what the disk has beside the pictures of all data sets, they take at most so much together; the second by
`data.cache=auto`. The least recently used go first."""

SHARE_OF_MEMORY = 1 / 2
"""Of free memory. More than that a training may need itself; and pictures on the disk are only fast while the system
keeps them in memory, so that `data.cache=auto` takes no more there either."""

PATIENCE = 60.0
"""Seconds without progress after which another process that decodes the same pictures is waited for no longer."""


class Disk:
    """Stores in the cache folder: of one data set in one folder, which is locked while it grows."""

    name = "on the disk"

    def __init__(self, folder: Path, share: float = SHARE_OF_DISK) -> None:
        self.folder = folder
        self.share = share

    def __str__(self) -> str:
        return f"in {self.folder}"

    def store(self, kind: Kind) -> Store:
        return Store(self.folder / f"{kind.key}.pixels", self.folder / f"{kind.key}.index")

    def room(self) -> int:
        """Return the bytes that all pictures of all data sets may take together."""
        existing = next(folder for folder in (self.folder, *self.folder.parents) if folder.is_dir())
        return int(self.share * (shutil.disk_usage(existing).free + self.taken()))

    def taken(self, but: Sequence[Store] = ()) -> int:
        return sum(bytes_of(store) for store in self.stores() if store not in but)

    def stores(self) -> list[Store]:
        """Return the stores of all data sets, the least recently used first."""
        found = [(last_used(path), path) for path in self.folder.parent.glob(f"*_{FOLDER}/*.index")]
        return [Store(path.with_suffix(".pixels"), path) for _, path in sorted(found)]

    def make_room(self, own: Sequence[Store], wanted: int) -> None:
        """Remove stores of others until these may take the bytes that are wanted."""
        room, taken = self.room(), self.taken(own)
        for store in self.stores():
            if taken + wanted <= room:
                break
            if store not in own and not (store.index.parent != self.folder and is_locked(store.index.parent)):
                taken -= bytes_of(store)
                remove(store)
                log.info("pictures removed from the cache, for want of room: %s", store.pixels)

    @contextmanager
    def alone(self, *, wait: bool = True) -> Iterator[None]:
        """Keep other processes from adding to this data set's stores.

        Raises:
            BlockingIOError: another one does, and isn't waited for.
            TimeoutError: it hangs.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        moved, size = time.monotonic(), -1
        with ExitStack() as lock:
            while True:
                with suppress(BlockingIOError) if wait else nullcontext():
                    lock.enter_context(locked(self.folder))
                    break
                show("waiting for another run that decodes the same pictures")
                now = sum(path.stat().st_size for path in self.folder.glob("*.pixels"))
                if now != size:
                    moved, size = time.monotonic(), now
                if time.monotonic() - moved > PATIENCE:
                    raise TimeoutError(0, "another process keeps it, and does nothing", str(self.folder))
                time.sleep(0.1)
            yield

    @contextmanager
    def writer(self, store: Store) -> Iterator[Writer]:
        if store.mark.exists() or store.is_mostly_lost():
            remove(store)
        writer = Writer.of(store)
        try:
            yield writer
        finally:
            writer.close()

    def remove(self, store: Store) -> None:
        remove(store)

    def use(self, store: Store) -> None:
        """Note that a store is in use, so that it isn't among the first to go."""
        with suppress(OSError):
            os.utime(store.index)


_in_memory: dict[str, tuple[Writer, Store]] = {}
"""The stores of this process by the key of their kind and root, the least recently used first."""


class Memory:
    """Stores in files without a name (memfd_create(2)): they end with the last process that has them open.

    Others of the same training find them through /proc, the next runs of a sweep in this process where they were.
    """

    name = "in memory"

    def __init__(self, root: Path, free: int) -> None:
        self.root = root
        self.free = free

    def __str__(self) -> str:
        return self.name

    def store(self, kind: Kind) -> Store:
        key = f"{self.root} {kind.key}"
        if key not in _in_memory:
            pixels, index = (os.memfd_create(f"reslens {name}") for name in ("pixels", "index"))
            own = Path("/proc", str(os.getpid()), "fd")
            _in_memory[key] = Writer(pixels, index), Store(own / str(pixels), own / str(index))
        _in_memory[key] = _in_memory.pop(key)
        return _in_memory[key][1]

    def room(self) -> int:
        return int(SHARE_OF_MEMORY * (self.free + sum(bytes_of(store) for _, store in _in_memory.values())))

    def taken(self, but: Sequence[Store] = ()) -> int:  # noqa: ARG002
        return 0  # what other runs have in memory goes where this one needs the room

    def make_room(self, own: Sequence[Store], wanted: int) -> None:
        for _, store in list(_in_memory.values()):
            others = sum(bytes_of(other) for _, other in _in_memory.values() if other not in own)
            if store not in own and wanted + others > self.room():
                self.remove(store)

    @contextmanager
    def alone(self, *, wait: bool = True) -> Iterator[None]:  # noqa: ARG002
        yield

    @contextmanager
    def writer(self, store: Store) -> Iterator[Writer]:
        yield next(writer for writer, its in _in_memory.values() if its == store)

    def remove(self, store: Store) -> None:
        for key, (writer, its) in list(_in_memory.items()):
            if its == store:
                writer.close()
                del _in_memory[key]

    def use(self, store: Store) -> None:
        """Nothing: `store` has noted it."""


def bytes_of(store: Store) -> int:
    with suppress(OSError):
        return store.pixels.stat().st_size
    return 0


def last_used(index: Path) -> float:
    with suppress(OSError):
        return index.stat().st_mtime
    return 0.0


def remove(store: Store) -> None:
    """Remove a store. Processes that have it open keep it until they end."""
    for path in store.files:
        path.unlink(missing_ok=True)


def media(how: str, root: Path, free: int) -> list[Disk | Memory]:
    """Return where `data.cache=how` may keep the pictures of the data set at `root`, the first choice first.

    Args:
        free: bytes of memory that this process can still take.
    """
    found: list[Disk | Memory] = []
    path = cache_file(root, FOLDER) if how in ("auto", "disk") else None
    if path is not None:
        found.append(Disk(path, CAREFUL_SHARE_OF_DISK if how == "auto" else SHARE_OF_DISK))
    if how in ("auto", "memory") and hasattr(os, "memfd_create"):
        found.append(Memory(root, free))
    return found
