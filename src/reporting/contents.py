"""The files of a run, read on the suspicion that they are missing, half-written or something else altogether."""

import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..errors import first_line
from ..frames import pd
from ..runs.folder import NAMES

LARGEST = 1e300
"""No figure of a run is larger. Python's integers can be too large for a float."""

YAML_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # 30 times faster, if libyaml is installed


class UnusableError(Exception):
    """A file, and its run, can't be used. The message names the file and says why."""


def is_number(value: Any) -> bool:
    """Return whether this is a finite number; True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def read_json(file: Path) -> dict[str, Any]:
    """Return the JSON object in a file. Raise `UnusableError` without one."""
    text = _read_text(file, file.name)
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise UnusableError(f"{file.name} is damaged (line {error.lineno}: {error.msg})") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise UnusableError(f"{file.name} is damaged ({first_line(error)})") from None
    if not isinstance(content, dict):
        raise UnusableError(f"{file.name} is damaged (it is no JSON object)")
    return content


def read_yaml(file: Path, kind: type, check: Callable[[str], None] | None = None) -> Any:
    """Return the content, of this kind (dict or list), of a file in `.hydra`, with interpolations unresolved.

    `check` raises `ValueError` or `yaml.YAMLError` for a text that must not be parsed.
    """
    name = f"{file.parent.name}/{file.name}"
    text = _read_text(file, name)
    try:
        if check is not None:
            check(text)
        try:
            content = yaml.load(text, Loader=YAML_LOADER)
        except yaml.YAMLError:  # libyaml refuses the escapes of names that are not UTF-8
            content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise UnusableError(f"{name} is damaged ({where}{error.problem})") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UnusableError(f"{name} is damaged ({first_line(error)})") from None
    if not isinstance(content, kind):
        raise UnusableError(f"{name} is damaged (it is no {'list' if kind is list else 'mapping'})")
    return content


def read_csv(file: Path, columns: Sequence[str], text: Sequence[str] = ()) -> pd.DataFrame:
    """Return a table of at least one row that has `columns`: those in `text` unchanged, all others as numbers.

    A class may be called NA or 01, so nothing in `text` counts as missing or as a number. A number may be `nan` (an
    epoch without validation has no such figures), but not left out.
    """
    content = _read_bytes(file, file.name)
    if not content.endswith(b"\n"):  # the last number may have lost digits
        raise UnusableError(f"{file.name} is damaged (line {len(content.splitlines())}: cut off)")
    try:
        # As objects: pandas' own strings can't hold file names that are not UTF-8.
        table = pd.read_csv(io.BytesIO(content), dtype=object, keep_default_na=False, encoding_errors=NAMES)
    except ValueError as error:  # pandas' own errors derive from it
        raise UnusableError(f"{file.name} is damaged ({first_line(error)})") from None
    missing = [column for column in columns if column not in table]
    if missing:
        raise UnusableError(f"{file.name} has no column {', '.join(missing)}")
    if table.empty:
        raise UnusableError(f"{file.name} has no rows")
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes surplus fields for row names
        raise UnusableError(f"{file.name} is damaged (line 2: more fields than columns)")
    _refuse_rows(file.name, table.isna() | (table == ""), "a field is empty")
    for column in (column for column in table.columns if column not in text):
        numbers = pd.to_numeric(table[column], errors="coerce")
        _refuse_rows(file.name, (numbers.isna() & (table[column].str.lower() != "nan")).to_frame(), "no number")
        table[column] = numbers
    return table


def refuse_infinite(name: str, table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Raise `UnusableError` if one of these columns has a value that is not finite."""
    _refuse_rows(name, ~(table[list(columns)].abs() < math.inf), "no finite number")


def _refuse_rows(name: str, wrong: pd.DataFrame, why: str) -> None:
    rows = wrong.any(axis=1).to_numpy()
    if rows.any():
        raise UnusableError(f"{name} is damaged (line {2 + int(rows.argmax())}: {why})")


def _read_text(file: Path, name: str) -> str:
    try:
        return _read_bytes(file, name).decode("utf-8")
    except UnicodeDecodeError:
        raise UnusableError(f"{name} is damaged (not UTF-8)") from None


def _read_bytes(file: Path, name: str) -> bytes:
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise UnusableError(f"{name} is missing") from None
    except OSError as error:
        raise UnusableError(f"{name} can't be read ({error.strerror})") from None
    if not content.strip():
        raise UnusableError(f"{name} is empty")
    return content
