"""What `src.predict` says on screen: the answer to each picture, then how many files got which."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len

from ..errors import RunError
from ..figures.style import printable
from ..tables import duration

log = logging.getLogger(__name__)

MOST_SHOWN = 20
"""Pictures that get a line each."""

TOP = 3
"""Classes in such a line."""

CLASSES_TOLD = 10
WIDEST = 60
"""Columns that an answer takes at most before its path; a longer one moves only its own."""


@dataclass
class Summary:
    """What was said so far.

    Attributes:
        total: files there are.
        shown: whether pictures get lines: not where rows go to the screen themselves.
        nothing: what is said of an image without any class; None where each has one.
        clipped: images that have values outside of `data.range`.
        classes: how many images have got each class, or each label.
    """

    total: int
    shown: bool = True
    nothing: str | None = None
    files: int = 0
    unreadable: int = 0
    clipped: int = 0
    empty: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    first_bad: str = ""
    _lines: list[tuple[str, str]] = field(default_factory=list)

    def add(self, path: str, classes: Sequence[str], answer: str) -> None:
        """Count an image with the classes that it has got, and its line."""
        self.classes.update(classes)
        self.empty += not classes
        self._add(path, answer)

    def add_unreadable(self, path: str, reason: str) -> None:
        self.unreadable += 1
        self.first_bad = self.first_bad or f"{printable(path)} ({reason})"
        self._add(path, f"unreadable: {reason}")

    def _add(self, path: str, answer: str) -> None:
        self.files += 1
        if self.shown and self.files <= MOST_SHOWN:
            self._lines.append((printable(answer), printable(path)))
            if self.files == min(self.total, MOST_SHOWN):
                self._say_lines()

    def _say_lines(self) -> None:
        width = max(min(cell_len(answer), WIDEST) for answer, _ in self._lines)
        for answer, path in self._lines:
            log.info("%s   %s", answer + " " * (width - cell_len(answer)), path)
        if self.total > MOST_SHOWN:
            log.info("… and %s more", f"{self.total - MOST_SHOWN:,}")

    def end(self, seconds: float, file: str) -> None:
        """Say how many files got which class; of one picture its line has said it.

        Args:
            file: where the rows are.

        Raises:
            RunError: No file could be read.
        """
        if self.unreadable == self.files:
            if self.files == 1:
                raise RunError(f"the only file, {self.first_bad}, can't be read: see {file}")
            raise RunError(f"none of {self.files} files can be read (the first: {self.first_bad}): see {file}")
        if self.files > 1 or not self.shown:
            files = f"{self.files:,} file{'s' * (self.files != 1)}"
            log.info("predicted    %s in %s: %s", files, duration(seconds), ", ".join(self._counts()))
        if self.unreadable:
            log.info("unreadable   %s of %s, see `error` in %s; the first: %s",
                     f"{self.unreadable:,}", f"{self.files:,}", file, self.first_bad)  # fmt: skip

        if self.clipped:
            log.warning("clipped      %s have values outside of data.range, that of the training", f"{self.clipped:,}")

    def _counts(self) -> list[str]:
        """Return how many images got what. Where each has one class, the numbers add up to the files."""
        most = self.classes.most_common()
        told = [f"{printable(name)} {count:,}" for name, count in most[:CLASSES_TOLD]]
        if others := [count for _, count in most[CLASSES_TOLD:]]:
            told.append(f"{len(others)} more {'classes' if self.nothing is None else 'labels'} {sum(others):,}")
        if self.empty:
            told.append(f"{self.nothing} {self.empty:,}")
        return [*told, *([f"unreadable {self.unreadable:,}"] if self.unreadable else [])]


def best(names: Sequence[str], shares: Sequence[float]) -> str:
    """Return `cat 0.73 · dog 0.27` of classes, best first, and their confidences."""
    return " · ".join(f"{name} {share:.2f}" for name, share in zip(names[:TOP], shares, strict=False))
