"""What `src.runs` says: the table of runs, what pruning would free, and what it has freed."""

import logging
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import get_console
from rich.table import Table
from rich.text import Text

from ..command.next_steps import how_to_start, say_next
from ..errors import InputError
from ..files import write_text
from ..logs import escaped, while_read
from ..runs.contents import UnusableError, read_bytes
from ..tables import WIDTH, as_text, on_disk
from .entry import Entry
from .pruning import KINDS, plan, prune
from .table import COLUMNS, GAP, as_csv, runs_table

log = logging.getLogger(__name__)

MOST_KEPT = 10
"""Lines about runs that stay as they are."""

LARGEST = 2**28
"""Bytes of a table that is replaced."""


def show(entries: Sequence[Entry], known: int, root: Path, output: str | None) -> None:
    """Print the table, or write it as CSV to the file `output`, with `-` to stdout."""
    if output == "-":
        with while_read():
            sys.stdout.write(as_csv(entries))
        return
    if output is not None:
        _write(Path(output).expanduser(), as_csv(entries))
        log.info("%s in %s", _count(len(entries)), output)
        return
    if not entries:
        log.info("%s", f"none of the {_count(known)} in {root} is like that" if known else f"no run in {root} yet")
        return
    _print(runs_table(entries, width := _width()), width)
    log.info("\n%s, %s", _count(len(entries)), on_disk(sum(entry.size for entry in entries)))
    several = sum(entry.value is not None for entry in entries) > 1
    filled: dict[str, Any] = {"chosen": _typed("sort")} | ({"folder": str(root)} if several else {})
    say_next("runs", **filled)


def show_pruning(entries: Sequence[Entry], root: Path, kinds: Sequence[str], *, delete: bool) -> None:
    """Print what can go of each run, by kind, and with `delete` take it away and say what has gone."""
    plans = [plan(entry, root, kinds) for entry in entries]
    able = [one for one in plans if one.parts]
    sizes = {kind: sum(one.size(kind) for one in able) for kind in kinds}
    if able:
        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
        table.add_column("run", overflow="fold")
        for kind in kinds:
            table.add_column(KINDS[kind].title, justify="right", no_wrap=True)
        for one in able:
            table.add_row(Text(escaped(one.entry.name)), *(_size(one.size(kind)) for kind in kinds))
        table.add_row(_count(len(able)), *(_size(sizes[kind]) for kind in kinds))
        _print(table, _width())
        log.info("")
    freed, kept = 0, [(one.entry, reason) for one in plans for reason in one.kept]
    if delete:
        done = [(one.entry, *prune(one, root)) for one in plans]
        freed = sum(size for _, size, _ in done)
        kept = [(entry, reason) for entry, _, reasons in done for reason in reasons]
    for entry, reason in kept[:MOST_KEPT]:
        log.info("stays as it is: %s: %s", escaped(entry.name), escaped(reason))
    if len(kept) > MOST_KEPT:
        log.info("stay as they are: %s more", len(kept) - MOST_KEPT)
    total = on_disk(sum(entry.size for entry in entries))
    if delete:
        log.info("freed %s of %s", on_disk(freed), total)
        return
    if not able:
        log.info("nothing can go of %s, %s", _count(len(entries)), total)
        return
    log.info("would free %s of %s; nothing has been deleted", on_disk(sum(sizes.values())), total)
    for kind in kinds:
        if sizes[kind]:
            log.info("  %s  %s", KINDS[kind].title.ljust(9), KINDS[kind].remedy)
    words = [how_to_start("runs"), "prune", *map(shlex.quote, _typed("prune", "delete")), "delete=true"]
    log.info("%s%s", "next".ljust(13), " ".join(words))


def _typed(*but: str) -> list[str]:
    """Return what was typed besides these settings: which runs are meant counts for what is deleted, too."""
    words = sys.orig_argv
    verb = next((place for place, word in enumerate(words) if word.rpartition(".")[2] == "runs"), len(words))
    return [word for word in words[verb + 1 :] if word.partition("=")[0] not in but]


def _size(size: int) -> Text:
    return Text(on_disk(size) if size else "–")


def _count(number: int) -> str:
    return f"{number:,} run{'s' * (number != 1)}"


def _width() -> int:
    return shutil.get_terminal_size((WIDTH, 24)).columns


def _print(table: Table, width: int) -> None:
    with while_read():
        get_console().print(as_text(table, width), markup=False, highlight=False, soft_wrap=True)


def _write(file: Path, text: str) -> None:
    """Write the table, over an earlier one alone."""
    if file.is_dir():
        raise InputError(f"output={file} is a folder: name a file, such as runs.csv")
    try:
        there = read_bytes(file.parent, file.name, LARGEST) if file.exists() else b""
    except UnusableError as error:
        there = b"" if "empty" in str(error) else b"?"
    if there and not there.startswith(",".join(COLUMNS).encode()):
        raise InputError(f"output={file} is no table of runs: name another file")
    try:
        write_text(file, text)
    except OSError as error:
        raise InputError(f"output={file} can't be written ({error.strerror}): name another file") from None
