import codecs
import json
from pathlib import Path

import pytest

from src.data.labels_table import read_table
from src.errors import InputError

TEXT = 'file,label\n"a, b.jpg",cat\nc.jpg,Käfer\n'
CELLS = {"file": ["a, b.jpg", "c.jpg"], "label": ["cat", "Käfer"]}


def read(path: Path, content: bytes | str) -> dict[str, list]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    table = read_table(path)
    return {name: list(cells) for name, cells in table.columns.items()}


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("cp1252"),
        TEXT.replace("\n", "\r\n").encode(),
        ("\n" + TEXT + "\n ,\n\n").encode(),
        "file;label;\na, b.jpg;cat;\nc.jpg;Käfer;\n".encode(),
        "sep=;\nfile;label\na, b.jpg;cat\nc.jpg;Käfer\n".encode(),
        "file|label\na, b.jpg|cat\nc.jpg|Käfer\n".encode(),
        " file , label \n\"a, b.jpg\",cat\nc.jpg,Käfer\n".encode(),
    ],
    ids=["utf-8", "bom", "utf-16", "big-endian", "utf-16 without bom", "windows", "crlf", "blank lines", "semicolons",
         "sep=", "bars", "blanks in names"],
)  # fmt: skip
def test_a_csv_of_any_program(tmp_path, content):
    assert read(tmp_path / "labels.csv", content) == CELLS


def test_other_kinds(tmp_path):
    records = [dict(zip(CELLS, row, strict=True)) for row in zip(*CELLS.values(), strict=True)]
    lines = "\n".join(json.dumps(record) for record in records)
    assert read(tmp_path / "labels.tsv", "file\tlabel\na, b.jpg\tcat\nc.jpg\tKäfer\n") == CELLS
    assert read(tmp_path / "labels.jsonl", lines) == CELLS
    assert read(tmp_path / "labels.ndjson", lines + "\n\n") == CELLS
    assert read(tmp_path / "labels.json", json.dumps(records)) == CELLS
    assert read(tmp_path / "labels.json", json.dumps(CELLS)) == CELLS


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    import pandas as pd

    path = tmp_path / "labels.parquet"
    pd.DataFrame(CELLS | {"n": [1.0, None], "some": [[1, 0], [0, 1]]}).to_parquet(path)
    table = read_table(path)
    assert table.text("label") == CELLS["label"]
    assert table.text("n") == ["1", ""]
    assert table.columns["some"] == [[1, 0], [0, 1]]
    path.write_bytes(b"no parquet")
    with pytest.raises(InputError, match="no Parquet file"):
        read_table(path)


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    import pandas as pd

    def missing(path):
        raise ImportError("Unable to find a usable engine\nA suitable version …")

    (tmp_path / "labels.parquet").touch()
    monkeypatch.setattr(pd, "read_parquet", missing)
    with pytest.raises(InputError, match=r"pip install pyarrow, or save the table as CSV$"):
        read_table(tmp_path / "labels.parquet")


def test_cells_as_text(tmp_path):
    path = tmp_path / "labels.jsonl"
    path.write_text('{"a": 1.0, "b": true}\n{"a": 10, "b": null}\n{"a": 1.5}\n{"a": " NA ", "b": "cafe\\u0301"}\n')
    table = read_table(path)
    assert table.text("a") == ["1", "10", "1.5", "NA"]
    assert table.text("b") == ["true", "", "", "café"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "file,label\na.jpg,cat,3\n", r"3 cells in line 2 and 2 columns \(',' separates them\): put text"),
        ("a.csv", 'file,label\n"a.jpg,cat\nb.jpg,dog\n', "no CSV in line 3 .*: look for a quote that never ends"),
        ("a.csv", "file,label\n", "has no rows"),
        ("a.csv", "", "has no rows"),
        ("a.csv", "file,label,label\na,b,c\n", "two columns 'label': rename one"),
        ("a.csv", b"\xff\xfef\x00i\x00\x00\xd8\x00", "no text in utf-16: save it as UTF-8"),
        ("a.jsonl", '{"file": "a"}\n{"file"\n', "no JSON in line 2"),
        ("a.jsonl", "[1, 2]\n", "holds no records"),
        ("a.json", '{"images": [{}, {}], "categories": [{}]}', "COCO"),
        ("a.json", '{"a.jpg": "cat"}', "holds no records"),
        ("a.xlsx", b"PK", r"of no known kind: take \.csv, .*saved as CSV"),
    ],
)
def test_what_is_no_table_takes_one_line(tmp_path, name, content, message):
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path / name, content)
    assert "\n" not in str(caught.value)
