import hashlib
import logging
import sys
from pathlib import Path
from urllib.error import URLError

import pytest

from src.data.download import download_file, download_with_torchvision
from src.data.sources import SOURCES
from src.errors import InputError

CONTENT = bytes(range(256)) * 5000
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"


@pytest.fixture
def server(serve, tmp_path: Path) -> str:
    (tmp_path / "served").mkdir()
    for name in ("file.bin", "cut.bin"):
        (tmp_path / "served" / name).write_bytes(CONTENT)
    return serve(tmp_path / "served")


@pytest.mark.parametrize("digest", [SHA256, MD5])
def test_a_good_download(server, tmp_path, digest):
    target = tmp_path / "data" / "file.bin"
    download_file(f"{server}/file.bin", target, digest=digest, size=len(CONTENT))
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(
    ("name", "digest", "size", "message"),
    [
        ("missing.bin", SHA256, len(CONTENT), "cannot download .*missing.bin"),
        ("file.bin", f"sha256:{'0' * 64}", len(CONTENT), "another file than expected \\(sha256:[0-9a-f]{13}…"),
        ("file.bin", f"md5:{'0' * 32}", len(CONTENT), "another file than expected \\(md5:[0-9a-f]{16}…"),
        ("file.bin", SHA256, 1000, "another file than expected"),
        ("cut.bin", SHA256, len(CONTENT), "cut.bin"),
        ("file.bin", SHA256, 1 << 60, "MB free"),
    ],
    ids=["missing", "another", "another by MD5", "longer", "cut", "disk full"],
)
def test_a_failure_leaves_nothing(server, tmp_path, name, digest, size, message):
    target = tmp_path / "data" / "file.bin"
    with pytest.raises(InputError, match=message) as caught:
        download_file(f"{server}/{name}", target, digest=digest, size=size)
    assert "\n" not in str(caught.value)
    assert not target.parent.exists()


def test_only_folders_that_were_made_and_are_empty_go(tmp_path):
    (tmp_path / "own").mkdir()
    for folder in ("own", "own/new/deep"):
        with pytest.raises(InputError, match="cannot download"):
            download_file("http://127.0.0.1:9/file.bin", tmp_path / folder / "file.bin", digest=SHA256, size=9)
        assert list(tmp_path.rglob("*")) == [tmp_path / "own"]


def test_a_notice_is_logged_and_stderr_stays_empty(server, tmp_path, caplog, capfd):
    def download(folder: Path) -> None:
        print("50%", file=sys.stderr)
        (folder / "set").mkdir()

    with caplog.at_level(logging.INFO, logger="src"):
        download_file(f"{server}/file.bin", tmp_path / "data" / "file.bin", digest=SHA256, size=len(CONTENT))
        download_with_torchvision(tmp_path / "data", "set", ["a.tgz"], download)
    assert [record.name for record in caplog.records] == ["src.data.download"] * 2
    assert all(record.message.startswith("Downloading ") for record in caplog.records)
    assert capfd.readouterr().err == ""


def test_no_network_says_where_to_put_the_file(tmp_path):
    with pytest.raises(InputError, match=r"put it at .*file\.bin"):
        download_file("http://127.0.0.1:9/file.bin", tmp_path / "file.bin", digest=SHA256, size=9)
    assert list(tmp_path.iterdir()) == []


def test_interrupted(server, tmp_path, monkeypatch):
    def stop(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("src.data.download.fetch", stop)
    with pytest.raises(KeyboardInterrupt):
        download_file(f"{server}/file.bin", tmp_path / "data" / "file.bin", digest=SHA256, size=9)
    assert not (tmp_path / "data").exists()


def test_torchvision_download_appears_whole(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.tgz").write_bytes(b"by hand")

    def download(folder: Path) -> None:
        assert (folder / "set" / "a.tgz").read_bytes() == b"by hand"
        (folder / "set" / "b.tgz").write_bytes(b"fetched")
        (folder / "set" / "images").mkdir()
        (folder / "set" / "images" / "1.jpg").write_bytes(b"one")

    download_with_torchvision(tmp_path, "set", ["set/a.tgz", "set/b.tgz"], download)
    assert {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")} == {
        "set",
        "set/a.tgz",
        "set/images",
        "set/images/1.jpg",
    }


@pytest.mark.parametrize("error", [URLError("no route"), RuntimeError("File not found or corrupted."), EOFError()])
def test_torchvision_failure_leaves_nothing(tmp_path, error):
    def download(folder: Path) -> None:
        (folder / "set").mkdir()
        (folder / "set" / "half").write_bytes(b"half")
        raise error

    with pytest.raises(InputError, match=r"cannot download set .*by hand: .*a\.tgz, .*b\.tgz") as caught:
        download_with_torchvision(tmp_path / "data", "set", ["a.tgz", "b.tgz"], download)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data").exists()


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", sorted(set(SOURCES) - {"digits", "folder", "table"}))
def test_without_network_no_empty_folder_stays(find, tmp_path, monkeypatch, capfd, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="cannot download"):
        find(name, Path("data"), download=True)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().err == ""
