"""What a search shows as it goes: plain lines, and at a terminal a table with the time that is left."""

import logging
import time
from collections.abc import Mapping
from typing import Any

from rich import get_console
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..activity import ended
from ..data import ImageDataModule
from ..tables import counted, duration
from .candidates import Candidate
from .record import Measured, Record

log = logging.getLogger(__name__)


class Lines:
    """One line for each thing that happens."""

    def __init__(self, record: Record, candidates: Mapping[str, Candidate], seconds: float | None) -> None:
        self.record, self.candidates, self.seconds = record, candidates, seconds

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def introduce(
        self, data: ImageDataModule, impossible: Mapping[str, str], weights: str | None, what: str = ""
    ) -> None:
        """Say what is searched, and among what: without a word for it, the candidates."""
        what = what or counted(len(self.candidates), "candidate")
        sizes = (f"{data.size(split):,}" for split in ("train", "val", "test"))
        log.info(
            "%s for %s train, %s validation and %s test images of %d classes; test images decide nothing",
            what,
            *sizes,
            data.num_classes,
        )
        reasons: dict[str, list[str]] = {}
        for name, reason in impossible.items():
            reasons.setdefault(reason, []).append(name)
        for reason, names in reasons.items():
            log.info("out: %s: %s", names[0] if len(names) == 1 else f"{len(names)} more", reason)
        if weights is None:
            log.info(
                "all from scratch: weights=imagenet, a file or a run adds candidates that know other images already, "
                "and are better where images are few"
            )

    def phase(self, title: str) -> None:
        log.info("%s%s", title, self._left())

    def working(self, name: str | None) -> None:
        pass

    def measured(self, name: str, measured: Measured) -> None:
        pace = (
            f", {measured.step_seconds * 1000:.0f} ms a step" if measured.step_seconds == measured.step_seconds else ""
        )
        log.info(
            "  %s  val %.3f after %s, %s%s",
            self.candidates[name].shown,
            measured.accuracy,
            counted(measured.steps, "step"),
            duration(measured.seconds),
            pace,
        )

    def out(self, name: str, reason: str) -> None:
        log.info("  out: %s: %s", self.candidates[name].shown, reason)

    def close(self, record: Record) -> None:
        """Say what came of it."""
        for sentence in record.content["answer"]:
            log.info("%s", sentence)
        log.info("search       %s, in %s", record.shown, duration(record.spent))
        log.info("page         %s/search.html", record.shown)

    def _left(self) -> str:
        if self.seconds is None:
            return ""
        return f"; {duration(max(0.0, self.seconds - self.record.spent))} left"


class Board(Lines):
    """A table of all candidates that is drawn anew as they move; what leaves the table is told in search.json."""

    def __init__(self, record: Record, candidates: Mapping[str, Candidate], seconds: float | None) -> None:
        super().__init__(record, candidates, seconds)
        self._title = ""
        self._at: str | None = None
        self._since = 0.0
        self._figures: dict[str, Measured] = {}
        self._reasons: dict[str, str] = {}
        self._live = Live(get_renderable=self._draw, console=get_console(), refresh_per_second=2)

    def __enter__(self) -> None:
        self._live.start()

    def __exit__(self, *_: object) -> None:
        self._at = None
        self._live.stop()

    def phase(self, title: str) -> None:
        self._title = title

    def working(self, name: str | None) -> None:
        self._at, self._since = name, time.monotonic()

    def measured(self, name: str, measured: Measured) -> None:
        self._figures[name] = measured

    def out(self, name: str, reason: str) -> None:
        self._reasons[name] = reason

    def _draw(self) -> Group:
        table = Table(box=None, pad_edge=False, expand=False)
        for column in ("candidate", "val", "steps", "trained", ""):
            table.add_column(column, justify="left" if column in ("candidate", "") else "right", no_wrap=column != "")
        order = sorted(
            self.candidates, key=lambda name: (name in self._reasons, -self._rank(name)[0], -self._rank(name)[1])
        )
        for name in order:
            table.add_row(*self._row(name), style="dim" if name in self._reasons else "")
        return Group(Text(f"{self._title}{self._left()}"), table)

    def _rank(self, name: str) -> tuple[float, float]:
        return self._figures[name].rank if name in self._figures else (-1.0, 0.0)

    def _row(self, name: str) -> list[Any]:
        one, shown = self._figures.get(name), self.candidates[name].shown
        figures = ["", "", ""] if one is None else [f"{one.accuracy:.3f}", f"{one.steps:,}", duration(one.seconds)]
        said = f"training, {duration(time.monotonic() - self._since)}" if name == self._at else ""
        return [Text(shown), *figures, Text(self._reasons.get(name, said)[:60])]


def open_screen(record: Record, candidates: Mapping[str, Candidate], seconds: float | None) -> Lines:
    """Return a table at a terminal, and lines elsewhere; whatever else would be shown there is not."""
    console = get_console()
    if not console.is_terminal or console.is_dumb_terminal:
        return Lines(record, candidates, seconds)
    with ended():
        pass
    return Board(record, candidates, seconds)
