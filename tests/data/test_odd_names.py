"""Whatever files, folders and links are called, and whatever they are: a run takes the images and lists the rest."""

import csv
import hashlib
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.data.cache import cache_file
from src.data.defects import scan
from src.data.folders import collect, list_classes
from src.data.layout import find_splits
from src.runs.folder import RunFolder
from tests.support.command_line import run_here
from tests.support.photographs import make_photos

RUN = (
    "data=folder", "data.image_size=8", "data.batch_size=8", "data.num_workers=0", "data.max_skipped=0.9",
    "data.test_fraction=0.4", "model=simple_cnn", "model.width=4", "trainer=cpu", "trainer.max_epochs=1",
    "baseline=false", "cost=false", "callbacks=none", "hydra.run.dir=run",
)  # fmt: skip

# As bytes, because not every name is text: 255 of them is the most that Linux takes (NAME_MAX).
NAMES = [
    b"two words.png", b" leads and trails .png ", b"line\nbreak.png", b"k=v.png", b"[0].png", b"{a,b}*?.png",
    "cat 🐈 é.png".encode(), b"-rf.png", b"--help", b'"quoted", comma.png', b"\xff\xfe latin \xe9.png",
    b"x" * 251 + b".png", "é".encode() * 127 + b"a", b"tab\tand\rreturn.png", b"#hash%20$HOME`id`.png",
    b"back\\slash.png",
]  # fmt: skip
CLASSES = [b"-a b=[0]\n\xf0\x9f\x90\x88", b"\xff\xe9 " + b"y" * 252]


def names(file: Path) -> list[dict[str, str]]:
    """A CSV file's rows; bytes that are no text come back as `os.fsdecode` makes them."""
    with file.open(newline="", encoding="utf-8", errors="surrogateescape") as text:
        return list(csv.DictReader(text))


def test_a_run_with_names_of_all_kinds(tmp_path: Path) -> None:
    root, random = tmp_path / "images [x]=1", np.random.default_rng(0)
    images, broken = set(), set()
    for folder in map(os.fsdecode, CLASSES):
        (root / folder).mkdir(parents=True)
        for name in map(os.fsdecode, NAMES):
            Image.fromarray(random.integers(0, 256, (9, 9, 3), dtype=np.uint8)).save(root / folder / "new", "PNG")
            (root / folder / "new").rename(root / folder / name)
            images.add(f"{folder}/{name}")
        for name in (os.fsdecode(b"\xfe,\nempty.png"), "=broken.png"):
            (root / folder / name).touch()
            broken.add(f"{folder}/{name}")
    result = run_here(*RUN, f"data.root={root}", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    run = RunFolder(tmp_path / "run")
    assert {row["path"] for row in names(run.skipped_file)} == broken
    assert {row["reason"] for row in names(run.skipped_file)} == {"empty file"}
    predicted = names(run.predictions_file)
    assert len(predicted) >= 10
    assert {row["path"] for row in predicted} <= images
    classes = {os.fsdecode(name) for name in CLASSES}
    assert {row["target"] for row in predicted} == classes
    assert all(row["target"] == row["path"].split("/")[0] and row["predicted"] in classes for row in predicted)
    assert set(run.predictions()["path"]) == {row["path"] for row in predicted}


def read(root: Path) -> tuple[list[str], dict[str, str]]:
    """The images that are found below `root`, and what is left out and why."""
    found = collect(list_classes(root, find_splits(root)))
    return found.paths, {item.path: item.reason for item in found.skipped}


def test_links_that_lead_in_circles_and_what_is_no_file(tmp_path: Path) -> None:
    root = make_photos(tmp_path / "images", each=2)
    low = root / "low"
    for link, target in {"self": "self", "here": ".", "up": "..", "a": "b", "b": "a", "zero": "/dev/zero"}.items():
        (low / link).symlink_to(target)
    (low / "endless.png").symlink_to("/dev/zero")
    (low / "memory").symlink_to("/proc/self/mem")
    (low / "deep" / "deeper").mkdir(parents=True)
    (low / "deep" / "deeper" / "top").symlink_to(low)
    (low / "folder.jpg").mkdir()
    os.mkfifo(low / "pipe.jpg")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.path.relpath(low / "socket.jpg"))  # a socket's path has 107 bytes at most
    listener.close()
    paths, skipped = read(root)
    assert paths == ["high/0.png", "high/1.png", "low/0.png", "low/1.png"]  # low/up leads to the folder of the classes
    loop = "too many levels of symbolic links"
    special = "not a regular file"
    assert skipped == {
        **dict.fromkeys(("low/a", "low/b", "low/self"), loop),
        **dict.fromkeys(("low/zero", "low/endless.png", "low/pipe.jpg", "low/socket.jpg"), special),
        "low/memory": "no access: input/output error",
    }


def test_files_that_become_something_else_before_they_are_read(tmp_path: Path) -> None:
    """A file that goes, and one in whose place a pipe comes, which nobody waits for."""
    root = make_photos(tmp_path / "images", each=3)
    listing = list_classes(root, find_splits(root))
    (root / "high" / "0.png").unlink()
    (root / "high" / "1.png").unlink()
    os.mkfifo(root / "high" / "1.png")
    verdicts = scan(root, listing.files)
    reasons = {file.path: verdict.reason for file, verdict in zip(listing.files, verdicts, strict=True)}
    assert reasons.pop("high/0.png") == "missing"
    assert reasons.pop("high/1.png") == "not a regular file"
    assert set(reasons.values()) == {None}


def test_a_class_of_which_nothing_can_be_read(tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "images", each=20)
    (photos / "third").mkdir()
    (photos / "third" / "empty.png").touch()
    result = run_here(*RUN, f"data.root={photos}", cwd=tmp_path)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
    assert "third" in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_file_that_may_be_read_again_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`chmod` leaves the time of change alone. Root may read everything, so a decoder says it for the system."""
    root = make_photos(tmp_path / "images", each=2)
    closed = str(root / "low" / "1.png")
    real = Image.open

    def refuse(path, *rest, **options):
        if getattr(path, "name", path) == closed:
            raise PermissionError(13, "Permission denied", closed)
        return real(path, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", refuse)
        assert read(root)[1] == {"low/1.png": "permission denied"}
    assert read(root)[1] == {}


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder of images on a file system that nobody can write to."""
    root = make_photos(tmp_path / "images")
    (root / "low" / "broken.png").touch()
    for arguments in (["--bind", root, root], ["-o", "remount,ro,bind", root]):
        if subprocess.run(["mount", *arguments], capture_output=True).returncode != 0:
            subprocess.run(["umount", "-l", root], capture_output=True)
            pytest.skip("mounting takes root")
    try:
        yield root
    finally:
        subprocess.run(["umount", "-l", root], check=True)


def tree(root: Path) -> Mapping[str, tuple[int, int, str]]:
    """Of everything below `root`: size, time of change and contents."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns, hashlib.sha256(content(path)).hexdigest())
        for path in [root, *root.rglob("*")]
    }


def content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b"\n".join(sorted(map(os.fsencode, path.iterdir())))


def test_a_data_set_that_is_read_only_stays_untouched(read_only: Path, tmp_path, monkeypatch) -> None:
    """Its manifest is in the user's cache; where that is inside the data set, there is none."""
    before = tree(read_only)
    result = run_here(*RUN, f"data.root={read_only}", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    assert names(tmp_path / "run" / "skipped.csv") == [{"path": "low/broken.png", "reason": "empty file"}]
    manifest = cache_file(read_only, "manifest.json")
    assert manifest.is_file()
    assert not manifest.is_relative_to(read_only)
    monkeypatch.setenv("RESLENS_CACHE", str(read_only / "cache"))
    assert cache_file(read_only, "manifest.json") is None
    assert read(read_only)[1] == {"low/broken.png": "empty file"}
    assert tree(read_only) == before
