"""Which files `images=` means."""

import io
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from src.errors import InputError
from src.trained.listing import find_paths


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """photos/: b.jpg, cats/a.jpg, cats/[1].jpg, cats/old/c.png and dot-files; the current folder is the one above."""
    folder = tmp_path / "photos"
    for name in ("b.jpg", "cats/a.jpg", "cats/[1].jpg", "cats/old/c.png", ".hidden.jpg", ".git/d.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_folder_means_all_files_below_it(photos: Path) -> None:
    expected = ["photos/b.jpg", "photos/cats/[1].jpg", "photos/cats/a.jpg", "photos/cats/old/c.png"]
    assert find_paths("photos") == find_paths("photos/") == expected
    assert find_paths(str(photos)) == [str(photos.parent / path) for path in expected]
    os.chdir(photos)
    assert find_paths(".") == [path.removeprefix("photos/") for path in expected]


def test_links_are_followed_once_and_what_is_no_file_is_named(photos: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "e.jpg").touch()
    (photos / "linked").symlink_to(elsewhere)
    (elsewhere / "loop").symlink_to(photos)
    (photos / "broken").symlink_to("nowhere")
    os.mkfifo(photos / "pipe")
    found = find_paths("photos")
    assert len(found) == len(set(found)) == 7
    assert {"photos/linked/e.jpg", "photos/broken", "photos/pipe"} < set(found)


def test_names_that_are_not_utf8_can_be_opened(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"line\nbreak\xff.jpg")).write_bytes(b"x")
    (path,) = find_paths(str(tmp_path))
    assert Path(path).read_bytes() == b"x"


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("photos/*", ["b.jpg"]),
        ("photos/**/*.jpg", ["b.jpg", "cats/[1].jpg", "cats/a.jpg"]),
        ("photos/**", ["b.jpg", "cats/[1].jpg", "cats/a.jpg", "cats/old/c.png"]),
        ("./photos/c?ts/*.jpg", ["cats/[1].jpg", "cats/a.jpg"]),
        ("photos/cats/[0-9a].jpg", ["cats/a.jpg"]),
        ("photos/.h*", [".hidden.jpg"]),
    ],
)
def test_a_pattern_means_what_a_shell_takes_it_for(photos: Path, pattern: str, expected: list[str]) -> None:
    assert find_paths(pattern) == [f"photos/{name}" for name in expected]
    absolute = str(photos.parent / pattern)
    assert find_paths(absolute) == [str(photos / name) for name in expected]


def test_what_exists_is_no_pattern(photos: Path) -> None:
    (photos / "cats/1.jpg").touch()
    assert find_paths("photos/cats/[1].jpg") == ["photos/cats/[1].jpg"]
    (photos / "[x]").mkdir()
    (photos / "[x]/f.jpg").touch()
    (photos / "x").mkdir()
    (photos / "x/g.jpg").touch()
    assert find_paths("photos/[x]") == find_paths("photos/[x]/*.jpg") == ["photos/[x]/f.jpg"]


def test_a_broken_link_and_a_pipe_are_for_a_row(photos: Path) -> None:
    (photos / "broken").symlink_to("nowhere")
    os.mkfifo(photos / "pipe")
    assert find_paths("photos/broken") == ["photos/broken"]
    assert find_paths("photos/pipe") == ["photos/pipe"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"b.jpg\na.jpg\n\nb.jpg", ["b.jpg", "a.jpg", "b.jpg"]),
        (b"a\nb.jpg\0c.jpg\0", ["a\nb.jpg", "c.jpg"]),
        (b"\xff.jpg\n", ["\udcff.jpg"]),
    ],
)
def test_a_list_on_stdin_keeps_its_order(monkeypatch: pytest.MonkeyPatch, text: bytes, expected: list[str]) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text)))
    assert find_paths("-") == expected


def test_nothing_gets_its_line(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (photos / "empty/.git").mkdir(parents=True)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"\n")))
    for images, complaint in {
        "nowhere": "images=nowhere does not exist: name a file, a folder, a pattern",
        "x" * 300: "does not exist",
        "photos/empty": "images=photos/empty holds no file",
        "photos/*.gif": r"images=photos/\*.gif fits no file",
        "photos/**.jpg": r"images=photos/\*\*.jpg (is no pattern|fits no file)",
        "-": "images=- got no path on stdin",
    }.items():
        with pytest.raises(InputError, match=complaint):
            find_paths(images)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter every folder")
def test_a_folder_that_may_not_be_opened_gets_its_line(photos: Path) -> None:
    (photos / "cats").chmod(0)
    try:
        with pytest.raises(InputError, match="can't be opened"):
            find_paths("photos/cats")
        assert find_paths("photos") == ["photos/b.jpg", "photos/cats"]
    finally:
        (photos / "cats").chmod(0o700)


def test_a_list_from_windows_is_understood(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = tmp_path / "Icon\r"
    odd.touch()
    first = find_paths(str(photos))[0]
    listing = f"{first}\r\n{odd}\n".encode()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(listing)))
    assert find_paths("-") == [first, str(odd)]


def test_what_is_no_image_is_passed_over_unless_it_is_named(photos: Path, monkeypatch, caplog) -> None:
    for name in ("cats/Thumbs.db", "cats/a.txt", "@eaDir/b.jpg"):
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).touch()
    caplog.set_level("INFO")
    images = ["photos/b.jpg", "photos/cats/[1].jpg", "photos/cats/a.jpg", "photos/cats/old/c.png"]
    assert find_paths("photos") == find_paths("photos/**") == images
    said = "passed over 2 files that are no images (.txt 1, Thumbs.db 1) and 1 folder of the system (@eaDir)"
    assert [line.replace("Thumbs.db 1, .txt 1", ".txt 1, Thumbs.db 1") for line in caplog.messages] == [said] * 2
    assert find_paths("photos/cats/a.txt") == ["photos/cats/a.txt"]
    with pytest.raises(InputError, match=r"fits no file but 1 file that is no image \(\.txt 1\)"):
        find_paths("photos/cats/*.txt")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"photos/cats/a.txt\n")))
    assert find_paths("-") == ["photos/cats/a.txt"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_list_of_an_editor_or_powershell(monkeypatch: pytest.MonkeyPatch, photos: Path, encoding: str) -> None:
    text = "photos/b.jpg\r\nphotos/cats/a.jpg\r\n".encode(encoding)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text)))
    assert find_paths("-") == ["photos/b.jpg", "photos/cats/a.jpg"]
