"""Predictions as rows of a growing file: CSV, or a JSON object a line."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from ..files import csv_line
from ..names import JOINED
from ..runs.contents import NAMES

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet calculates, instead of showing it, begins with one of these."""

STDOUT = "-"
"""As `output=`: rows go to stdout, and into no folder."""

ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What is no UTF-8, or what some readers take for the end of a line; JSON itself escapes what lies below a blank."""


@dataclass(frozen=True)
class Row:
    """The answer for one file.

    Attributes:
        path: as it was found.
        classes: names of the most likely classes, best first; empty if the file could not be read.
        confidences: in [0, 1], in the order of `classes`.
        error: why the file could not be read.
        overlay: path of its picture, relative to the folder of the rows.
        set: names of the classes that the prediction set holds, best first.
        familiarity: the p-value of being like the validation images.
    """

    path: str
    classes: Sequence[str] = ()
    confidences: Sequence[float] = ()
    error: str | None = None
    overlay: str | None = None
    set: Sequence[str] = ()
    familiarity: float | None = None


@dataclass(frozen=True)
class Columns:
    """What each row has: how many classes, whether a picture and a set, and the p-value that flags an image."""

    top_k: int
    overlays: bool = False
    sets: bool = False
    ood: float | None = None

    @property
    def asked(self) -> list[str]:
        """The columns behind `error`."""
        return [*["overlay"] * self.overlays, *["set"] * self.sets, *(["ood", "ood_p"] if self.ood is not None else [])]

    def is_ood(self, row: Row) -> bool | None:
        """Return whether an image is flagged; None where it could not be read, or nothing is said."""
        return None if self.ood is None or row.familiarity is None else row.familiarity <= self.ood


def csv_header(columns: Columns) -> str:
    """Begin like a run's predictions.csv (path, predicted, confidence), then class_2, confidence_2, …, error."""
    others = [word for place in range(2, columns.top_k + 1) for word in (f"class_{place}", f"confidence_{place}")]
    return csv_line(["path", "predicted", "confidence", *others, "error", *columns.asked])


def as_csv(row: Row, columns: Columns) -> str:
    said = [word for name, share in zip(row.classes, row.confidences, strict=True) for word in (name, f"{share:.6f}")]
    blank = [""] * (2 * columns.top_k - len(said))
    # The same file, and no formula to a spreadsheet.
    path = os.path.join(".", row.path) if row.path.startswith(FORMULA) else row.path  # noqa: PTH118  # pathlib drops ./
    flag = {None: "", True: "true", False: "false"}[columns.is_ood(row)]
    share = "" if row.familiarity is None else f"{row.familiarity:.6f}"
    asked = {"overlay": row.overlay or "", "set": JOINED.join(row.set), "ood": flag, "ood_p": share}
    return csv_line([path, *said, *blank, row.error or "", *(asked[name] for name in columns.asked)])


def as_json(row: Row, columns: Columns) -> str:
    top = [
        {"class": name, "confidence": round(share, 6)} for name, share in zip(row.classes, row.confidences, strict=True)
    ]
    best = top[0] if top else {"class": None, "confidence": None}
    said = {"path": row.path, "predicted": best["class"], "confidence": best["confidence"], "top": top}
    share = None if row.familiarity is None else round(row.familiarity, 6)
    asked = {"overlay": row.overlay, "set": list(row.set), "ood": columns.is_ood(row), "ood_p": share}
    return json_line(said | {"error": row.error} | {name: asked[name] for name in columns.asked})


def json_line(content: dict[str, Any]) -> str:
    """Return an object on a line. Letters stay as they are; names that are not UTF-8 are JSON all the same."""
    text = json.dumps(content, ensure_ascii=False)
    return ESCAPED.sub(lambda sign: f"\\u{ord(sign[0]):04x}", text) + "\n"


FORMATS: dict[str, Callable[[Row, Columns], str]] = {"csv": as_csv, "jsonl": as_json}


@contextmanager
def stdout_kept() -> Iterator[TextIO]:
    """Give the block stdout for rows alone: all else that is printed goes to stderr meanwhile."""
    stdout = sys.stdout
    with redirect_stdout(sys.stderr):
        yield stdout


class AppendedFile:
    """A new file that grows, or a stream. What `append` got stays, whatever happens next."""

    def __init__(self, path: Path, header: str, stream: TextIO | None = None) -> None:
        self.path, self.header, self.stream = path, header, stream

    def __enter__(self) -> Self:
        self.file = None if self.stream is not None else self.path.open("xb")
        self.append(self.header)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.file is not None:
            self.file.close()

    @property
    def shown(self) -> str:
        """What people call it."""
        return str(self.path) if self.stream is None else "the output"

    def append(self, text: str) -> None:
        """Append in one piece, so that a killed process leaves no half row. `BrokenPipeError`: the reader has left."""
        file = getattr(self.stream, "buffer", None) if self.file is None else self.file
        if file is not None:
            file.write(text.encode("utf-8", NAMES))
            file.flush()
        elif self.stream is not None:  # a notebook's, or another one that takes text alone
            self.stream.write(text)


class RowFile(AppendedFile):
    """A new `predictions.csv` or `predictions.jsonl`, or the same rows on a stream."""

    def __init__(self, folder: Path, kind: str, columns: Columns, stream: TextIO | None = None) -> None:
        super().__init__(folder / f"predictions.{kind}", csv_header(columns) if kind == "csv" else "", stream)
        self.kind, self.columns = kind, columns

    def write(self, rows: Sequence[Row]) -> None:
        self.append("".join(FORMATS[self.kind](row, self.columns) for row in rows))
