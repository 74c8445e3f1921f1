import hashlib
import logging
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from urllib.error import URLError

import pytest

from src.data.download import download_file, download_with_torchvision
from src.errors import InputError

CONTENT = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_) -> None:
        """Nothing: a test's screen is not a web server's log."""

    def do_GET(self) -> None:
        if not self.path.endswith("cut.bin"):
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        return self.wfile.write(CONTENT[:1000]) and None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "file.bin").write_bytes(CONTENT)
    handler = partial(QuietHandler, directory=str(tmp_path / "served"))
    # not HTTPServer, which asks the DNS for its own name
    with ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_good_download(server, tmp_path):
    target = tmp_path / "data" / "file.bin"
    download_file(f"{server}/file.bin", target, sha256=SHA256, size=len(CONTENT))
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(
    ("name", "sha256", "size", "message"),
    [
        ("missing.bin", SHA256, len(CONTENT), "cannot download .*missing.bin"),
        ("file.bin", "0" * 64, len(CONTENT), "another file than expected"),
        ("file.bin", SHA256, 1000, "another file than expected"),
        ("cut.bin", SHA256, len(CONTENT), "cut.bin"),
        ("file.bin", SHA256, 1 << 60, "MB free"),
    ],
    ids=["missing", "another", "longer", "cut", "disk full"],
)
def test_a_failure_leaves_nothing(server, tmp_path, name, sha256, size, message):
    target = tmp_path / "data" / "file.bin"
    with pytest.raises(InputError, match=message) as caught:
        download_file(f"{server}/{name}", target, sha256=sha256, size=size)
    assert "\n" not in str(caught.value)
    assert not target.parent.exists()


def test_only_folders_that_were_made_and_are_empty_go(tmp_path):
    (tmp_path / "own").mkdir()
    for folder in ("own", "own/new/deep"):
        with pytest.raises(InputError, match="cannot download"):
            download_file("http://127.0.0.1:9/file.bin", tmp_path / folder / "file.bin", sha256=SHA256, size=9)
        assert list(tmp_path.rglob("*")) == [tmp_path / "own"]


def test_a_notice_is_logged_and_stderr_stays_empty(server, tmp_path, caplog, capfd):
    def download(folder: Path) -> None:
        print("50%", file=sys.stderr)
        (folder / "set").mkdir()

    with caplog.at_level(logging.INFO, logger="src"):
        download_file(f"{server}/file.bin", tmp_path / "data" / "file.bin", sha256=SHA256, size=len(CONTENT))
        download_with_torchvision(tmp_path / "data", "set", ["a.tgz"], download)
    assert [record.name for record in caplog.records] == ["src.data.download"] * 2
    assert all(record.message.startswith("Downloading ") for record in caplog.records)
    assert capfd.readouterr().err == ""


def test_no_network_says_where_to_put_the_file(tmp_path):
    with pytest.raises(InputError, match=r"put it at .*file\.bin"):
        download_file("http://127.0.0.1:9/file.bin", tmp_path / "file.bin", sha256=SHA256, size=9)
    assert list(tmp_path.iterdir()) == []


def test_interrupted(server, tmp_path, monkeypatch):
    def stop(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("src.data.download.fetch", stop)
    with pytest.raises(KeyboardInterrupt):
        download_file(f"{server}/file.bin", tmp_path / "data" / "file.bin", sha256=SHA256, size=9)
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
@pytest.mark.parametrize("name", ["mnist", "cifar10", "catsdogs", "imagenette", "pets"])
def test_without_network_no_empty_folder_stays(find, tmp_path, monkeypatch, capfd, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="cannot download"):
        find(name, Path("data"), download=True)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().err == ""
