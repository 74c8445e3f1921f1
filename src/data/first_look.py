"""The first look at image files: what it decodes to find what is no whole image is kept for training."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from .defects import FoundFile, find_defect_below, find_defects
from .images import COLOURS, EARLIER, Contents
from .keeping import Task, Wish, choose, growing, keep, make_wishes, note
from .kept_kinds import Kind, make_all
from .kept_media import Disk, Memory, media
from .manifest import Verdict
from .picture_store import Record
from .processes import map_files


class Seen(NamedTuple):
    """What a file is, and where its pictures are."""

    verdict: Verdict
    records: list[Record | None]


@dataclass
class FirstLook:
    """Checks files as `find_defects` does, with the same verdicts, and keeps pictures of those that are decoded for it.

    It does so where there is room for all of them, and nobody else keeps pictures of this data set just then.

    Attributes:
        squares, crops: what to keep of each file, and of those published for training, which may become any split.
        how: `data.cache`.
        free: bytes of memory that this process can still take.
        knows_range: whether it is known what becomes black and white where samples have more than 8 bits. If not,
            pictures of such samples wait until all have been seen.
        decoded, seconds: how many images have been kept, and how long that took.
    """

    squares: Kind
    crops: Kind | None
    how: str
    free: int
    knows_range: bool
    decoded: int = 0
    seconds: float = 0.0

    def __call__(self, root: Path, files: Sequence[FoundFile], splits: Sequence[str]) -> list[Verdict]:
        start = time.perf_counter()
        seen: dict[str, Verdict] = {}
        if self.is_possible:
            self.keep(root, files, splits, seen)
        self.seconds = time.perf_counter() - start if self.decoded else 0.0
        rest = [file.path for file in files if file.path not in seen]
        seen |= zip(rest, find_defects(root, rest) if rest else [], strict=True)
        return [seen[file.path] for file in files]

    @property
    def is_possible(self) -> bool:
        """Whether a file is decoded for training as it is to find what it holds: not as bands, nor as formerly."""
        geometry = self.squares.geometry
        return geometry.in_channels in COLOURS and geometry.range != EARLIER

    def keep(self, root: Path, files: Sequence[FoundFile], splits: Sequence[str], seen: dict[str, Verdict]) -> None:
        """Enter the verdicts of the files that were decoded into `seen`."""
        found = {file.path: file for file in files}
        trained = [file.path for file, split in zip(files, splits, strict=True) if split == "train"]
        wanted = [(self.squares, [*found]), *([(self.crops, trained)] if self.crops else [])]
        for medium in media(self.how, root, self.free):
            try:
                wishes = make_wishes(medium, wanted, found)
                if len(choose(medium, wishes, root, self.how, self.free)[0]) == len(wishes):
                    self.fill(medium, wishes, root, files, seen)
                return
            except BlockingIOError:
                return
            except OSError:
                if seen:  # the disk is full, and what was kept is gone
                    self.decoded = 0
                    return

    def fill(
        self, medium: Disk | Memory, wishes: Sequence[Wish], root: Path, files: Sequence[FoundFile],
        seen: dict[str, Verdict],
    ) -> None:  # fmt: skip
        def take(tasks: Sequence[Task], found: Sequence[Seen | None]) -> None:
            known = [(task, one) for task, one in zip(tasks, found, strict=True) if one is not None]
            note([task for task, _ in known], [one.records for _, one in known])
            seen.update((task.path, one.verdict) for task, one in known)
            self.decoded += sum(any(one.records) for _, one in known)

        with growing(medium, wishes, root, wait=False) as missing:
            tasks = [Task(file, missing.get(file, {})) for file in files]
            work = partial(look, root, self.knows_range)
            map_files(work, tasks, "Checking images", lost=lambda _: None, taken=take)


def look(root: Path, knows_range: bool, task: Task) -> Seen:
    """Check a file and keep its pictures, decoded once; what can't be decoded so is checked as without a cache."""
    contents: list[Contents] = []
    pictures = make_all(root / task.path, list(task.wanted), contents.append) if task.wanted else []
    if not contents or None in pictures:
        return Seen(find_defect_below(str(root), task.path), [])
    verdict = Verdict(None, *contents[0][1:])
    return Seen(verdict, keep(task, pictures) if knows_range or verdict.extent is None else [])
