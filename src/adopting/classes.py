"""The names of the classes that a foreign network knows, in the order of its head's rows."""

import csv
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import open_inside
from ..lists import decode_text
from ..logs import escaped, visible

MOST_BYTES = 2**24
LONGEST_NAME = 1_000
"""Characters of a name, as of the checkpoints of our own trainings."""

REMEDY = "say classes=[A,B,…], classes=FILE with one name a line, or data=NAME whose classes they are"


def read_class_names(classes: Any) -> list[str]:
    """Return the names in a list, `[A,B]`, or a text file with one name a line; their order is that of rows.

    Raises:
        InputError: There is no such file, or it isn't such a text; or a name is empty, there twice, or unprintable.
    """
    if isinstance(classes, str):
        path = Path(os.path.expanduser(classes))  # noqa: PTH111  # pathlib's fails for the home of nobody
        listed = classes.startswith("[") and classes.endswith("]") and not os.path.lexists(path)
        names = _in_brackets(classes) if listed else _lines(path)
        said = "classes" if listed else f"classes={classes}"
    else:
        names, said = [str(name) for name in classes], "classes"
    _check(names, said)
    return names


def _in_brackets(text: str) -> list[str]:
    """Return what stands between commas; a name with a comma stands in double quotes."""
    words = next(csv.reader([text[1:-1]], skipinitialspace=True), [])
    return [word.strip() for word in words]


def _lines(path: Path) -> list[str]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would block
            raise InputError(f"classes={path} is no regular file: {REMEDY}")
        with open_inside(path.parent.resolve(), path.resolve().name) as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"classes={path} can't be read ({(error.strerror or '').lower()}): {REMEDY}") from error
    if len(content) > MOST_BYTES:
        raise InputError(f"classes={path} is larger than {MOST_BYTES >> 20} MB: {REMEDY}")
    text = decode_text(content)
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InputError(f"classes={path} is no text in UTF-8: save it as such")
    return [line.strip() for line in text.rstrip().split("\n")]


def _check(names: Sequence[str], said: str) -> None:
    if len(names) < 2:
        raise InputError(f"{said} names {len(names)} class: a classifier has at least 2; {REMEDY}")
    seen: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if not name:
            raise InputError(f"{said}: name {number} of {len(names)} is empty: each row of the head needs its own")
        if name in seen:
            raise InputError(
                f"{said}: {escaped(name)[:80]} is there twice, as names {seen[name]} and {number}: each row of the "
                "head needs its own"
            )
        if len(name) > LONGEST_NAME or visible(name) != name or escaped(name) != name or "\ufffd" in name:
            raise InputError(
                f"{said}: name {number}, {escaped(name)[:40]}, is no line of printable text: write another"
            )
        seen[name] = number
