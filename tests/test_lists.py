"""Lists as editors and spreadsheets write them."""

from pathlib import Path

import pytest

from src.errors import InputError
from src.lists import decode_text, read_paths, split_paths

PATHS = ["cat/1.jpg", "猫/é 2.jpg"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\0"])
def test_a_byte_order_mark_says_how_a_list_is_written(encoding: str, end: str) -> None:
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    assert split_paths((mark + end.join(PATHS) + end).encode(encoding)) == PATHS


def test_a_name_may_begin_like_a_mark() -> None:
    assert split_paths(b"\xff\xfe.png\n") == ["\udcff\udcfe.png"]
    assert decode_text(b"\xff.jpg") == "\udcff.jpg"


@pytest.mark.parametrize(
    "text",
    [
        "cat/1.jpg\r\n猫/é 2.jpg\r\n",
        "file\ncat/1.jpg\n猫/é 2.jpg\n",
        'reason,File\n"too, dark",cat/1.jpg\n,"猫/é 2.jpg"\n',
        "path;reason\ncat/1.jpg;x\n猫/é 2.jpg;y\n",
        "label\tfile\ncat\tcat/1.jpg\ncat\t猫/é 2.jpg\n",
    ],
)
def test_a_list_is_a_path_a_line_or_a_column(tmp_path: Path, text: str) -> None:
    for encoding in ("utf-8", "utf-16"):
        (tmp_path / "list").write_bytes(text.encode(encoding))
        assert read_paths(tmp_path / "list", "data.exclude") == PATHS


@pytest.mark.parametrize("text", ["", "\n\n", "file,reason\n"])
def test_an_empty_list_gets_its_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "list").write_text(text)
    with pytest.raises(InputError, match="data.exclude=.*list holds no path"):
        read_paths(tmp_path / "list", "data.exclude")
