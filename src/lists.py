"""Lists that people write: bytes from any editor or spreadsheet in, text out."""

import codecs
import csv
import io
import os
from pathlib import Path

from .errors import InputError

COLUMNS = ("file", "path")
"""Of a table that lists files."""

_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def decode_text(content: bytes) -> str:
    """Return the text of a list: UTF-8, or what its byte-order mark says, as Excel, Notepad and PowerShell write it.

    Bytes that are none of it pass through as in names of files (`surrogateescape`).
    """
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            try:
                return content.removeprefix(mark).decode(encoding)
            except UnicodeDecodeError:  # a name may begin with these bytes
                break
    return os.fsdecode(content)


def split_paths(content: bytes) -> list[str]:
    """Return the paths of a list: a path a line, or between NULs (`find -print0`), where names may hold line breaks."""
    text = decode_text(content)
    return [path for path in text.split("\0" if "\0" in text else "\n") if path]


def read_paths(file: Path, name: str) -> list[str]:
    """Return the paths of a list: one a line, or the column `file` (or `path`) of a table with a header.

    Raises:
        InputError: it can't be read or holds no path; the message calls it `name`.
    """
    try:
        text = decode_text(file.read_bytes())
    except OSError as error:
        raise InputError(f"{name}={file} can't be read ({error.strerror}): name another list") from error
    header = text.partition("\n")[0].rstrip("\r")
    delimiter = next((sign for sign in "\t;" if sign in header), ",")
    try:
        columns = [cell.strip().lower() for cell in next(csv.reader([header], delimiter=delimiter), [])]
        column = next((columns.index(known) for known in COLUMNS if known in columns), None)
        if column is None:
            paths = [line.rstrip("\r") for line in text.split("\n")]
        else:
            rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))[1:]
            paths = [row[column] for row in rows if len(row) > column]
    except csv.Error as error:
        raise InputError(f"{name}={file} is no table ({error}): write a path a line, or a column 'file'") from error
    if not any(paths):
        raise InputError(f"{name}={file} holds no path: write a path a line, or a column 'file'")
    return [path for path in paths if path]
