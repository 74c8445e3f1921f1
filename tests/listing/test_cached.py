"""What decoded pictures take is said, and they go when somebody wants that: nothing else of the cache does."""

import logging
import os
from pathlib import Path

import pytest

from src import files
from src.data.bucket_copies import local_copy
from src.data.kept_media import FOLDER
from src.files import locked
from src.listing.cached import find_pictures, show_cache


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures of two data sets, of one with the manifest that says which."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("RESLENS_CACHE", str(folder))
    for age, (name, size) in enumerate({"aa": 2_000_000, "bb": 1_000_000}.items()):
        pictures = folder / f"{name}_{FOLDER}"
        pictures.mkdir(parents=True)
        for kind in ("squares", "crops"):
            (pictures / f"{kind}.pixels").write_bytes(bytes(size // 2))
            (pictures / f"{kind}.index").write_text("")
            os.utime(pictures / f"{kind}.index", (1000 + age, 1000 + age))
    (folder / "aa_manifest.json").write_text('{"root": "/photos"}')
    return folder


def test_what_they_take_is_said_and_nothing_goes(cache: Path, caplog, capsys) -> None:
    caplog.set_level(logging.INFO)
    assert [one.root for one in show_cache(delete=False)] == [f"bb_{FOLDER}", "/photos"]
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["data", f"bb_{FOLDER}", "/photos"]
    assert f"decoded pictures of 2 data sets in {cache}, 3.0 MB; nothing has been deleted" in caplog.messages[0]
    assert caplog.messages[1].endswith("runs cache delete=true")
    assert len(find_pictures(cache)) == 2


def test_they_go_unless_somebody_adds_to_them(cache: Path, caplog) -> None:
    caplog.set_level(logging.INFO)
    (cache / f"bb_{FOLDER}" / "mine.txt").write_text("")
    with locked(cache / f"aa_{FOLDER}"):
        show_cache(delete=True)
    assert "stays as it is: /photos: another process is at work there" in caplog.messages
    assert caplog.messages[-1].startswith("\nfreed 1.0 MB of 3.0 MB")
    assert sorted(path.name for path in cache.rglob("*") if path.is_file()) == [
        "aa_manifest.json", "crops.index", "crops.pixels", "mine.txt", "squares.index", "squares.pixels",
    ]  # fmt: skip
    show_cache(delete=True)
    assert sorted(path.name for path in cache.iterdir()) == ["aa_manifest.json", f"bb_{FOLDER}"]
    assert show_cache(delete=True) == []
    assert caplog.messages[-1] == f"no decoded pictures in {cache}"


def test_copies_of_buckets_are_among_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog, capsys) -> None:
    monkeypatch.setenv("RESLENS_CACHE", str(tmp_path / "cache"))
    caplog.set_level("INFO")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/x.png").write_bytes(b"x" * 1000)
    url = f"file://{tmp_path}/photos"
    copy = local_copy(url, list)
    assert [one.root for one in show_cache(delete=False)] == [url]
    assert "and copies of 1 bucket in" in caplog.text
    show_cache(delete=True)
    assert "another process is at work there" in caplog.text, "this process uses it"
    os.close(files._in_use.pop(copy))  # as when it has ended
    show_cache(delete=True)
    assert not copy.exists()
    assert show_cache(delete=False) == []
