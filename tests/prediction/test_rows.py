"""Rows of predictions give back the names that went into them, whatever these are."""

import json
from pathlib import Path

import pandas as pd
import pytest

from src.prediction.rows import Columns, Row, RowFile

NAMES = ("=1+1", "-dog", "+cat", "@x", "a,b", "a\nb", "a\rb", 'a "b"', "\tx", "NA", "cafe\udcff")


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_all_names_come_back(kind: str, tmp_path: Path) -> None:
    rows = [Row(f"folder/{name}", (name, "other"), (0.75, 0.25)) for name in NAMES]
    with RowFile(tmp_path, kind, Columns(top_k=2)) as file:
        file.write(rows)
    if kind == "csv":
        table = pd.read_csv(file.path, dtype=object, keep_default_na=False, encoding_errors="surrogateescape")
        found = list(zip(table["path"], table["predicted"], table["confidence"].astype(float), strict=True))
    else:
        told = [json.loads(line) for line in file.path.read_text().splitlines()]
        found = [(row["path"], row["predicted"], row["confidence"]) for row in told]
    assert found == [(f"folder/{name}", name, 0.75) for name in NAMES]


def test_letters_stay_as_they_are_in_json_lines(tmp_path: Path) -> None:
    names = ("Größe", "猫", "a\u2028b", "cafe\udcff", "\x85")
    with RowFile(tmp_path, "jsonl", Columns(top_k=1)) as file:
        file.write([Row(name, (name,), (1.0,)) for name in names])
    text = file.path.read_text("utf-8")  # strictly
    assert "Größe" in text
    assert "猫" in text
    assert [json.loads(line)["path"] for line in text.splitlines()] == list(names)


def test_no_path_in_a_csv_is_a_formula(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the path of the same file."""
    monkeypatch.chdir(tmp_path)
    for name in NAMES[:-1]:
        Path(name).write_bytes(name.encode())
    with RowFile(tmp_path, "csv", Columns(top_k=1)) as file:
        file.write([Row(name, ("x",), (1.0,)) for name in NAMES[:-1]])
    paths = list(pd.read_csv(file.path, keep_default_na=False)["path"])
    assert [Path(path).read_bytes().decode() for path in paths] == list(NAMES[:-1])
    assert not [path for path in paths if path[0] in "=+-@\t\r\n"]
    assert "a,b" in paths  # others stay as they were found
