import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from src.data import defects as scanning
from src.data.cache import cache_file, write_cache
from src.data.defects import FoundFile, scan
from src.data.folders import list_files
from src.data.manifest import Verdict, read_manifest


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were opened."""
    opened: list[str] = []
    real = scanning.find_defects

    def watched(root: Path, paths: Sequence[str]) -> list[Verdict]:
        opened.extend(Path(path).name for path in paths)
        return real(root, paths)

    monkeypatch.setattr(scanning, "find_defects", watched)
    return opened


def look(root: Path) -> list[str | None]:
    return [verdict.reason for verdict in scan(root, list_files(root, Path())[0])]


def test_only_new_and_changed_files_are_opened(make_folder, decoded):
    root = make_folder({"cat": 3})
    (root / "cat" / "bad.jpg").touch()
    assert look(root) == [None, None, None, "empty file"]
    assert len(decoded) == 4
    decoded.clear()
    assert look(root) == [None, None, None, "empty file"]
    assert decoded == []
    (root / "cat" / "001.png").write_bytes(b"")
    (root / "cat" / "002.png").rename(root / "cat" / "new.png")
    assert look(root) == [None, "empty file", "empty file", None]
    assert sorted(decoded) == ["001.png", "new.png"]
    assert set(read_manifest(root)) == {"cat/000.png", "cat/001.png", "cat/bad.jpg", "cat/new.png"}


def test_what_is_known_of_files_that_another_table_names_is_kept(make_folder, decoded):
    root = make_folder({"cat": 3, "dog": 3, "dog/old": 1})
    files = [file for file, _ in zip(list_files(root, Path())[0], range(7), strict=True)]
    one, other = files[:4], files[3:]
    for some, opened in ((one, 4), (other, 3), (one, 0), (other, 0), (files, 0)):
        decoded.clear()
        scan(root, some)
        assert len(decoded) == opened
    (root / files[0].path).unlink()
    shutil.rmtree(root / "dog" / "old")
    (root / "cat" / "new.png").write_bytes(b"")
    scan(root, [FoundFile("cat/new.png", 0, (root / "cat" / "new.png").stat().st_mtime_ns)])
    assert set(read_manifest(root)) == {"cat/001.png", "cat/002.png", "cat/new.png"} | {
        f"dog/00{i}.png" for i in range(3)
    }


def test_a_change_that_keeps_the_size_is_noticed(make_folder, decoded):
    root = make_folder({"cat": 1})
    look(root)
    os.utime(root / "cat" / "000.png", ns=(1, 1))
    look(root)
    assert len(decoded) == 2


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"made_by": null}', b"\xff\xfe", b'{"made_by": [1, "x"], "files": 3}', b"null"],
)
def test_a_broken_manifest_is_rebuilt(make_folder, decoded, content):
    root = make_folder({"cat": 2})
    look(root)
    path = cache_file(root, "manifest.json")
    whole = path.read_bytes()
    path.write_bytes(content)
    assert look(root) == [None, None]
    assert len(decoded) == 4
    assert path.read_bytes() == whole


def test_entries_of_the_wrong_shape_are_rebuilt(make_folder, decoded):
    root = make_folder({"cat": 1})
    look(root)
    path = cache_file(root, "manifest.json")
    path.write_text(path.read_text().replace("null]", "null, 7]"))
    assert look(root) == [None]
    assert len(decoded) == 2


def test_without_a_cache_it_goes_on(make_folder, tmp_path, monkeypatch):
    root = make_folder({"cat": 1})
    (tmp_path / "file").touch()
    monkeypatch.setenv("RESLENS_CACHE", str(tmp_path / "file" / "below"))
    assert look(root) == [None]
    monkeypatch.setenv("RESLENS_CACHE", str(root / "cache"))  # never inside a data set
    assert look(root) == [None]
    assert not (root / "cache").exists()


def test_where_the_cache_is(tmp_path, monkeypatch):
    monkeypatch.delenv("RESLENS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_file(tmp_path / "data", "x").parent == tmp_path / "xdg" / "reslens"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_file(tmp_path / "data", "x").parent == tmp_path / "home" / ".cache" / "reslens"
    assert cache_file(tmp_path / "one", "x") != cache_file(tmp_path / "two", "x")


def test_a_failed_write_keeps_the_old_content(tmp_path):
    path = tmp_path / "cached"
    write_cache(path, lambda file: file.write(b"old"))

    def fail(file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    write_cache(path, fail)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_many_files_in_processes_keep_their_order(make_folder):
    root = make_folder({"cat": 300})
    for number in (7, 99, 250):
        (root / "cat" / f"{number:03d}.png").write_bytes(b"x")
    assert [i for i, reason in enumerate(look(root)) if reason] == [7, 99, 250]
