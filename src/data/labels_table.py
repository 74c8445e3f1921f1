"""Tables as people have them, read into columns: CSV of any spreadsheet, JSON lines, JSON, Parquet.

Which column means what, and what a label is, is decided elsewhere: `columns.py`, `labels.py`.
"""

import codecs
import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import InputError, first_line
from ..names import nfc

SEPARATORS = ",;\t|"
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
LONGEST_CELL = 10_000_000  # characters; Python's own limit is 131,072, and a cell may hold a list


@dataclass(frozen=True)
class Table:
    """Columns of equal length, by their names. A cell is what the file has: text in a CSV, anything in the others."""

    path: Path
    columns: Mapping[str, Sequence[Any]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def text(self, column: str) -> list[str]:
        """Return the cells as text in NFC, "" where they are empty."""
        return [as_text(cell) for cell in self.columns[column]]

    def __str__(self) -> str:
        return self.path.name


def as_text(cell: Any) -> str:
    """Return a cell as it would stand in a CSV: 1 for 1.0, which is all that some writers have for 1 and no answer."""
    if cell is None or cell != cell:  # NaN
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return nfc(str(cell).strip())


def read_table(path: Path) -> Table:
    """Return the table, of at least one row.

    Raises:
        InputError: it can't be read, is no table, is empty, or names two columns alike.
    """
    read = READERS.get(path.suffix.lower())
    if read is None:
        raise InputError(
            f"data.table={path} is of no known kind: take {', '.join(READERS)} (a spreadsheet can be saved as CSV)"
        )
    try:
        columns = read(path)
    except OSError as error:
        raise InputError(f"data.table={path} can't be opened ({error.strerror or first_line(error)})") from error
    table = Table(path, {str(name).strip(): cells for name, cells in columns.items()})
    if len(table.columns) < len(columns):
        raise InputError(f"{path} has two columns of one name: rename one")
    if not table.columns or not len(table):
        raise InputError(f"{path} has no rows: a header and a row for each image are wanted")
    return table


def read_csv(path: Path) -> dict[str, Sequence[Any]]:
    text = decode(path)
    separator, skipped = find_separator(text, "\t" if path.suffix.lower() == ".tsv" else None)
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(islice(io.StringIO(text, newline=""), skipped, None), delimiter=separator, strict=True)
    rows: list[list[str]] = []
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if rows and len(row) != len(rows[0]):
                raise InputError(
                    f"{path} has {len(row)} cells in line {reader.line_num + skipped} and {len(rows[0])} columns "
                    f"({separator!r} separates them): put text that holds {separator!r} in double quotes"
                )
            rows.append(row)
    except csv.Error as error:
        raise InputError(
            f"{path} is no CSV in line {reader.line_num + skipped} ({error}): look for a quote that never ends"
        ) from error
    header = rows[0] if rows else []
    while header and not header[-1].strip() and all(not row[-1].strip() for row in rows):  # a separator ends each line
        rows = [row[:-1] for row in rows]
        header = rows[0]
    return by_column(path, header, rows[1:])


def by_column(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, Sequence[Any]]:
    names = [name.strip() for name in header]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"{path} has two columns {twice!r}: rename one")
    # pandas writes its row numbers under an empty name
    return {name or f"column {i + 1}": [row[i] for row in rows] for i, name in enumerate(names)}


def decode(path: Path) -> str:
    """Return the text of a file: by its byte-order mark, else UTF-8, else what Excel writes in Western Europe."""
    content = path.read_bytes()
    marked = next((encoding for mark, encoding in MARKS.items() if content.startswith(mark)), None)
    nulls = [content[start:2000:2].count(0) > len(content[:2000]) / 5 for start in (0, 1)]
    unmarked = "utf-16-be" if nulls[0] else "utf-16-le" if nulls[1] else "utf-8"
    try:
        return content.decode(marked or unmarked)
    except UnicodeDecodeError as error:
        if not marked and b"\0" not in content:
            return content.decode("cp1252", errors="replace")
        raise InputError(f"{path} is no text in {marked or unmarked}: save it as UTF-8") from error


def find_separator(text: str, known: str | None) -> tuple[str, int]:
    """Return what separates cells: of `SEPARATORS` that which makes most columns of the header; and lines to leave out.

    Excel writes `sep=;` into the first line, which is no header.
    """
    first = text.partition("\n")[0]
    if first.strip().lower().startswith("sep=") and len(first.strip()) == 5:
        return first.strip()[4], 1
    if known is not None:
        return known, 0

    def columns(separator: str) -> int:
        try:
            return len(next(csv.reader(io.StringIO(text[:100_000], newline=""), delimiter=separator), []))
        except csv.Error:
            return 0

    return max(SEPARATORS, key=columns), 0  # of several the first


def read_json_lines(path: Path) -> dict[str, Sequence[Any]]:
    records = []
    for number, line in enumerate(decode(path).split("\n"), start=1):
        if line.strip():
            records.append(parse(path, line, f" in line {number}"))
    return from_records(path, records)


def read_json(path: Path) -> dict[str, Sequence[Any]]:
    content = parse(path, decode(path), "")
    if isinstance(content, dict) and content and all(isinstance(cells, list) for cells in content.values()):
        if len({len(cells) for cells in content.values()}) == 1:
            return content
        raise InputError(f"{path} has lists of several lengths (COCO?): a record for each image is wanted")
    return from_records(path, content)


def parse(path: Path, text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON{where} ({first_line(error)})") from error


def from_records(path: Path, records: Any) -> dict[str, Sequence[Any]]:
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise InputError(f'{path} holds no records: {{"file": …, "label": …}} for each image is wanted')
    names = dict.fromkeys(name for record in records for name in record)
    return {name: [record.get(name) for record in records] for name in names}


def read_parquet(path: Path) -> dict[str, Sequence[Any]]:
    import pandas as pd  # a second to import: only those wait who have Parquet

    try:
        frame = pd.read_parquet(path)
    except ImportError as error:
        raise InputError(
            f"{path}: Parquet is read by pyarrow: pip install pyarrow, or save the table as CSV"
        ) from error
    except OSError:
        raise
    except Exception as error:  # pyarrow has types of its own, which may not be there
        raise InputError(f"{path} is no Parquet file ({first_line(error)})") from error
    if len(set(map(str, frame.columns))) < len(frame.columns):
        raise InputError(f"{path} has two columns of one name: rename one")
    return {str(name): plain_cells(frame[name].tolist()) for name in frame.columns}


def plain_cells(cells: Iterable[Any]) -> list[Any]:
    return [cell.tolist() if hasattr(cell, "tolist") else cell for cell in cells]


READERS: Mapping[str, Callable[[Path], dict[str, Sequence[Any]]]] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".txt": read_csv,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json,
    ".parquet": read_parquet,
}
