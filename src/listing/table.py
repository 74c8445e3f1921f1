"""A list of runs for people, as wide as their terminal, and for programs, as CSV."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..analysis.tasks import ONE_CLASS
from ..files import csv_line
from ..logs import escaped
from ..tables import on_disk
from .entry import Entry

WIDE = 150
"""Columns of a terminal from which on settings and status have columns of their own."""

GAP, INDENT = 2, 2

COLUMNS = (
    "path", "run", "data", "model", "set", "status", "figure", "test", "low", "high", "test_images", "bytes", "begun",
    "why",
)  # fmt: skip


def runs_table(entries: Sequence[Entry], width: int) -> Table:
    """Return a line for each run; on a narrow terminal data, model and what was set stand below its name."""
    wide = width >= WIDE
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for heading in ("run", *(["data", "model", "set"] if wide else [])):
        table.add_column(heading, overflow="fold")
    table.add_column("test accuracy, 95 %" if wide else "test accuracy", no_wrap=True)
    if wide:
        table.add_column("status", no_wrap=True)
    table.add_column("disk", justify="right", no_wrap=True)
    for entry in entries:
        name = _cell(entry.name)
        said: list[RenderableType]
        if wide:
            told = [_cell(text) for text in (entry.data or "–", entry.model or "–", _set(entry))]
            said = [name, *told, Text(figure(entry) or "–"), entry.status]
        else:
            words = " · ".join(filter(None, (entry.data, entry.model, _set(entry))))
            said = [
                Group(name, Padding(_cell(words), (0, 0, 0, INDENT))) if words else name,
                Text(figure(entry) or entry.status),
            ]
        table.add_row(*said, on_disk(entry.size))
    return table


def figure(entry: Entry) -> str:
    """Return `0.967 [0.833, 0.994]`, or `mAP 0.832`; nothing of a run that wasn't tested."""
    if entry.value is None:
        return ""
    interval = "" if entry.low is None else f" [{entry.low:.3f}, {entry.high:.3f}]"
    return ("" if entry.task is ONE_CLASS else f"{entry.task.score.title} ") + f"{entry.value:.3f}{interval}"


def as_csv(entries: Sequence[Entry]) -> str:
    """Return the list as CSV, with a header; figures are fractions, unrounded."""
    rows = [
        (
            entry.run.shown, entry.name, entry.data, entry.model, entry.typed, entry.status,
            "" if entry.value is None else entry.task.first, entry.value, entry.low, entry.high, entry.images,
            entry.size, f"{datetime.fromtimestamp(entry.begun):%Y-%m-%dT%H:%M:%S}" if entry.begun else "", entry.why,
        )
        for entry in entries
    ]  # fmt: skip
    return "".join(csv_line("" if cell is None else cell for cell in row) for row in (COLUMNS, *rows))


def _set(entry: Entry) -> str:
    """Return what was typed; of a run that can't be read why not."""
    return entry.why if entry.status in ("damaged", "refused", "failed") and entry.why else entry.typed


def _cell(text: str) -> Text:
    """Return the text of a stranger's run on one line, and none of it as markup."""
    return Text(escaped(text))
