"""The tables of a run, which pandas reads when their size is known."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import first_line
from .contents import NAMES, UnusableError, read_bytes

if TYPE_CHECKING:  # the command line knows run folders, and starts without pandas
    import pandas as pd

LARGEST = 2**28
"""Bytes of a file; the predictions for a million images have 2**26."""

COLUMNS, CELLS = 10_100, 8_000_000
"""The widest table of ours has a column for each label; the longest has four, and a row for each test image."""


def read_csv(
    folder: Path, name: str, columns: Sequence[str], text: Sequence[str] = (), empty: Sequence[str] = ()
) -> "pd.DataFrame":
    """Return a table of at least one row that has `columns`: those in `text` unchanged, all others as numbers.

    A class may be called NA or 01, so nothing in `text` counts as missing or as a number. A number may be `nan` (an
    epoch without validation has no such figures), but not left out; only a text in `empty` may be.
    """
    from ..frames import pd

    # As objects: pandas' own strings can't hold file names that are not UTF-8.
    table = read_table(folder, name, whole=True, dtype=object, keep_default_na=False)
    missing = [column for column in columns if column not in table]
    if missing:
        raise UnusableError(f"{name} has no column {', '.join(missing)}")
    if table.empty:
        raise UnusableError(f"{name} has no rows")
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes surplus fields for row names
        raise UnusableError(f"{name} is damaged (line 2: more fields than columns)")
    full = table.drop(columns=list(empty))
    _refuse_rows(name, full.isna() | (full == ""), "a field is empty")
    for column in (column for column in table.columns if column not in text):
        numbers = pd.to_numeric(table[column], errors="coerce")
        _refuse_rows(name, (numbers.isna() & (table[column].str.lower() != "nan")).to_frame(), "no number")
        table[column] = numbers
    return table


def read_table(folder: Path, name: str, *, whole: bool = False, **options: Any) -> "pd.DataFrame":
    """Return a table as pandas reads it with these options; `whole`: its last line has to end."""
    from ..frames import pd

    content = read_bytes(folder, name, LARGEST)
    if whole and not content.endswith(b"\n"):  # the last number may have lost digits
        raise UnusableError(f"{name} is damaged (line {len(content.splitlines())}: cut off)")
    # pandas takes a first row that is longer than the header for row names.
    columns = 1 + max(map(_commas, (content, content[_line(content) :])))
    lines = content.count(b"\n") + content.count(b"\r")
    if columns > COLUMNS or columns * lines > CELLS:
        raise UnusableError(f"{name} can't be read ({columns:,} columns, {lines:,} lines: more than a run has)")
    try:
        table: pd.DataFrame = pd.read_csv(io.BytesIO(content), encoding_errors=NAMES, **options)
    except (ValueError, OverflowError) as error:  # pandas' own errors derive from it
        raise UnusableError(f"{name} is damaged ({first_line(error)})") from None
    return table


def _line(content: bytes) -> int:
    """Return where the first line ends, which may hold quoted line breaks."""
    end, quotes = 0, 0
    while True:
        start, end = end, content.find(b"\n", end) + 1
        if end == 0:
            return len(content)
        quotes += content.count(b'"', start, end)
        if quotes % 2 == 0:
            return end


def _commas(content: bytes) -> int:
    return content.count(b",", 0, _line(content))


def refuse_infinite(name: str, table: "pd.DataFrame", columns: Sequence[str]) -> None:
    """Raise `UnusableError` if one of these columns has a value that is not finite."""
    _refuse_rows(name, ~(table[list(columns)].abs() < math.inf), "no finite number")


def _refuse_rows(name: str, wrong: "pd.DataFrame", why: str) -> None:
    rows = wrong.any(axis=1).to_numpy()
    if rows.any():
        raise UnusableError(f"{name} is damaged (line {2 + int(rows.argmax())}: {why})")
