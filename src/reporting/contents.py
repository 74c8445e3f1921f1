"""The files of a run, read with the suspicion that they are missing, half-written or no such file at all."""

import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..frames import pd
from ..runs.folder import NAMES

LARGEST = 1e300
"""No figure of a run is larger, and Python's whole numbers can be too large for a float."""

YAML_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # 30 times faster, where libyaml is there


class UnusableError(Exception):
    """Why a file, and the run with it, can't be used: in words, with the file's name."""


def is_number(value: Any) -> bool:
    """Whether this is a finite number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def read_json(file: Path) -> dict[str, Any]:
    text = _read_text(file, file.name)
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise UnusableError(f"{file.name} is damaged (line {error.lineno}: {error.msg})") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise UnusableError(f"{file.name} is damaged ({_first_line(error)})") from None
    if not isinstance(content, dict):
        raise UnusableError(f"{file.name} is damaged (it has no names in it)")
    return content


def read_yaml(file: Path, kind: type, check: Callable[[str], None] | None = None) -> Any:
    """What a file of `.hydra` holds, of this kind (dict or list), its interpolations as they are.

    `check` raises `ValueError` or `yaml.YAMLError` for a text that must not be read.
    """
    name = f"{file.parent.name}/{file.name}"
    text = _read_text(file, name)
    try:
        if check is not None:
            check(text)
        try:
            content = yaml.load(text, Loader=YAML_LOADER)
        except yaml.YAMLError:  # libyaml refuses the escapes of names that are not UTF-8, Python's own reader doesn't
            content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise UnusableError(f"{name} is damaged ({where}{error.problem})") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UnusableError(f"{name} is damaged ({_first_line(error)})") from None
    if not isinstance(content, kind):
        raise UnusableError(f"{name} is damaged (it is no {'list' if kind is list else 'mapping'})")
    return content


def read_csv(file: Path, columns: Sequence[str], text: Sequence[str] = ()) -> pd.DataFrame:
    """A table of at least one row that has `columns`: those of `text` as they are, all others as numbers.

    A class may be called NA or 01, so nothing in `text` is taken for missing or for a number. A number may be `nan`
    (an epoch without validation has no such figures), but not be left out.
    """
    content = _read_bytes(file, file.name)
    if not content.endswith(b"\n"):  # the number at the end may have lost its last digits
        raise UnusableError(f"{file.name} is damaged (line {len(content.splitlines())}: cut off)")
    try:
        # As objects: file names that are not UTF-8 don't fit into pandas' own kind of text.
        table = pd.read_csv(io.BytesIO(content), dtype=object, keep_default_na=False, encoding_errors=NAMES)
    except ValueError as error:  # pandas' own errors are of this kind
        raise UnusableError(f"{file.name} is damaged ({_first_line(error)})") from None
    missing = [column for column in columns if column not in table]
    if missing:
        raise UnusableError(f"{file.name} has no column {', '.join(missing)}")
    if table.empty:
        raise UnusableError(f"{file.name} has no rows")
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes what is too much for names of the rows
        raise UnusableError(f"{file.name} is damaged (line 2: more fields than columns)")
    _refuse_rows(file.name, table.isna() | (table == ""), "a field is empty")
    for column in (column for column in table.columns if column not in text):
        numbers = pd.to_numeric(table[column], errors="coerce")
        _refuse_rows(file.name, (numbers.isna() & (table[column].str.lower() != "nan")).to_frame(), "no number")
        table[column] = numbers
    return table


def refuse_infinite(name: str, table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Raise `UnusableError` where one of these columns has a value that is not finite."""
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


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
