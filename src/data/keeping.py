"""Pictures decoded once: what a training keeps of its images, decoded by all cores before it begins."""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import RunError
from ..tables import duration, gibibytes
from .collection import ImageCollection
from .defects import FoundFile
from .kept_kinds import Kind, Made, make_all
from .kept_media import SHARE_OF_MEMORY, Disk, Memory, bytes_of, media
from .members import size_and_time
from .picture_store import Record, Shelf, Store, Writer
from .processes import map_files

log = logging.getLogger(__name__)

SAMPLE = 200
"""Files whose headers say how much room all will take."""


class Kept(NamedTuple):
    """Pictures that are kept, for all processes of a training: of which kind, and where."""

    kind: Kind
    store: Store


class Task(NamedTuple):
    """A file, and the kinds of pictures that are wanted of it, each with what it is written by."""

    file: FoundFile
    wanted: dict[Kind, Writer]

    @property
    def path(self) -> str:
        return self.file.path


@dataclass
class Wish:
    """Files whose pictures are to be kept, and what of them is kept already."""

    kind: Kind
    files: list[FoundFile]
    store: Store
    known: dict[FoundFile, Record]

    @property
    def missing(self) -> list[FoundFile]:
        return [file for file in self.files if file not in self.known]

    def present(self) -> int:
        """Return the bytes that are kept of these files."""
        return sum(self.known[file].nbytes for file in self.files if file in self.known)

    def estimate(self, root: Path) -> int:
        """Return about how many bytes the missing ones will take."""
        missing = self.missing
        sample = missing[:: max(1, len(missing) // SAMPLE)]
        sizes = [size for file in sample if (size := self.kind.estimate(root / file.path))]
        return int(np.mean(sizes) * len(missing)) if sizes else 0


def keep_pictures(
    root: Path,
    wanted: Sequence[tuple[Kind, Sequence[str]]],
    how: str,
    free: int,
    decoded: int = 0,
    seconds: float = 0.0,
) -> list[Kept]:
    """Keep pictures of files below `root` as `data.cache=how` says, and say so in a line; return what is kept.

    Whatever goes wrong with it, a training goes on without: its pixels are the same.

    Args:
        wanted: the paths of each kind; what comes first matters most, where there isn't room for all.
        free: bytes of memory that this process can still take.
        decoded, seconds: of the images that have been decoded before, for this.
    """
    if how == "none":
        return []
    paths = dict.fromkeys(path for _, some in wanted for path in some)
    found = {path: file for path in paths if (file := describe(root, path))}
    why = "the cache folder can't be used" if how != "memory" else "this system has no memory for it (memfd)"
    for medium in media(how, root, free):
        try:
            wishes = make_wishes(medium, wanted, found)
            fitting, why = choose(medium, wishes, root, how, free)
            if fitting:
                start = time.perf_counter()
                more = fill(medium, fitting, root)
                say(medium, fitting, decoded + more, seconds + time.perf_counter() - start, why)
                for wish in fitting:
                    medium.use(wish.store)
                return [Kept(wish.kind, wish.store) for wish in fitting]
        except (OSError, RunError) as error:
            why = getattr(error, "strerror", None) or str(error)
    unwelcome = log.info if how == "auto" else log.warning
    unwelcome("pictures are not kept: %s; each epoch decodes them (data.cache=%s)", why, how)
    return []


def describe(root: Path, path: str) -> FoundFile | None:
    found = size_and_time(os.path.join(root, path))  # noqa: PTH118  # a Path takes ten times as long
    return None if found is None else FoundFile(path, *found)


def make_wishes(
    medium: Disk | Memory, wanted: Sequence[tuple[Kind, Sequence[str]]], found: dict[str, FoundFile]
) -> list[Wish]:
    stores = {kind: medium.store(kind) for kind, _ in wanted}
    known = {kind: {} if store.mark.exists() else store.read_index() for kind, store in stores.items()}
    return [
        Wish(kind, [found[path] for path in paths if path in found], stores[kind], known[kind])
        for kind, paths in wanted
    ]


def choose(medium: Disk | Memory, wishes: Sequence[Wish], root: Path, how: str, free: int) -> tuple[list[Wish], str]:
    """Return the wishes that there is room for, and why not all."""
    room, why = medium.room(), ""
    if how == "auto" and isinstance(medium, Disk):
        room = min(room, int(SHARE_OF_MEMORY * free))
    fitting: list[Wish] = []
    taken, wanted = 0, 0
    for wish in wishes:
        size = wish.present() + wish.estimate(root)
        if taken + size <= room:
            fitting.append(wish)
            taken += size
        wanted += size
    if wanted > taken:
        why = f"they would take {gibibytes(wanted)}, and may take {gibibytes(room)}"
    return fitting, why


def fill(medium: Disk | Memory, wishes: Sequence[Wish], root: Path) -> int:
    """Decode what is missing, each file once; return of how many files."""
    if not any(wish.missing for wish in wishes):
        return 0
    with growing(medium, wishes, root) as missing:
        tasks = [Task(file, wanted) for file, wanted in missing.items()]
        map_files(partial(decode, root), tasks, "Decoding images", lost=lambda _: [], taken=note)
    return len(tasks)


@contextmanager
def growing(
    medium: Disk | Memory, wishes: Sequence[Wish], root: Path, *, wait: bool = True
) -> Iterator[dict[FoundFile, dict[Kind, Writer]]]:
    """Yield what is missing of each file and where it goes, while nobody else adds to the stores.

    Raises:
        BlockingIOError: another process adds to them, and isn't waited for.
    """
    with medium.alone(wait=wait), ExitStack() as stack:
        stores = list(dict.fromkeys(wish.store for wish in wishes))
        medium.make_room(stores, sum(wish.present() + wish.estimate(root) for wish in wishes))
        writers = {store: stack.enter_context(medium.writer(store)) for store in stores}
        missing: dict[FoundFile, dict[Kind, Writer]] = {}
        for wish in wishes:
            wish.known = wish.store.read_index()  # another run may have been here meanwhile
            for file in wish.missing:
                missing.setdefault(file, {})[wish.kind] = writers[wish.store]
        try:
            yield missing
        except OSError:  # the disk is full: others need the room more
            for store in stores:
                medium.remove(store)
            raise


def decode(root: Path, task: Task) -> list[Record | None]:
    """Decode a file and keep its pictures; None in place of one that can't be, which the training will say."""
    pictures = make_all(root / task.file.path, list(task.wanted))
    return keep(task, pictures)


def keep(task: Task, pictures: Sequence[Made | None]) -> list[Record | None]:
    found = zip(task.wanted.values(), pictures, strict=True)
    return [None if picture is None else writer.add(*picture) for writer, picture in found]


def note(tasks: Sequence[Task], found: Sequence[list[Record | None]]) -> None:
    """Enter what has been kept into the indexes of the stores."""
    lines: dict[Writer, list[tuple[FoundFile, Record]]] = {}
    for (file, wanted), records in zip(tasks, found, strict=True):
        for writer, record in zip(wanted.values(), records, strict=False):  # none of a file that crashed its decoder
            if record is not None:
                lines.setdefault(writer, []).append((file, record))
    for writer, entries in lines.items():
        writer.note(entries)


def say(medium: Disk | Memory, wishes: Sequence[Wish], decoded: int, seconds: float, why: str) -> None:
    """Say in a line what is kept, where, and what it takes."""
    counts: dict[str, int] = {}
    for wish in wishes:
        counts[wish.kind.what] = counts.get(wish.kind.what, 0) + len(wish.files)
    size = sum(bytes_of(store) for store in {wish.store for wish in wishes})
    kept = " and ".join(f"{count:,} {what}" for what, count in counts.items())
    now = f"{decoded:,} images decoded in {duration(seconds)}" if decoded else "nothing to decode"
    log.info("pictures kept %s, %s: %s; %s%s", medium, gibibytes(size), kept, now, f"; not all: {why}" if why else "")


def open_shelves(found: ImageCollection, kept: Sequence[Kept]) -> dict[Kind, Shelf]:
    """Return what stores have of the files of a collection; those are left out that can't be opened from here."""
    shelves: dict[Kind, Shelf] = {}
    files = [describe(found.root, path) for path in found.paths] if kept else []
    for kind, store in dict(kept).items():
        with suppress(OSError):
            shelves[kind] = Shelf(store, store.read_index(), files)
    return shelves
