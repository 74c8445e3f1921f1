"""`python -m src.app` as a user starts and ends it: its page, its port, its lines for wrong input."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from src.page import server
from tests.support.command_line import run_here

pytest.importorskip("streamlit")

ROOT = Path(__file__).parent.parent


def free_port() -> int:
    with server.bound(0) as listening:
        return int(listening.getsockname()[1])


def listening_on(port: int) -> set[str]:
    """The addresses, in the kernel's hexadecimal, on which someone listens at this port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    rows += [line.split() for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
    return {row[1].split(":")[0] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A"}


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_the_page_is_there_until_it_is_interrupted(digits_run: Path, tmp_path: Path, number: int, code: int) -> None:
    """It shows the newest run, as none is named."""
    port = free_port()
    (tmp_path / "outputs/digits/simple_cnn").mkdir(parents=True)
    (tmp_path / "outputs/digits/simple_cnn/mine").symlink_to(digits_run)
    process = subprocess.Popen(
        [sys.executable, "-m", "src.app", f"port={port}", "browser=false"],
        cwd=tmp_path,
        # What the user's own settings for other Streamlit pages say doesn't count.
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "STREAMLIT_SERVER_MAX_UPLOAD_SIZE": "500", "STREAMLIT_SERVER_PORT": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell lets what it starts in the background ignore Ctrl-C, and the tests may have been started so.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"page  http://127.0.0.1:{port}  (Ctrl-C ends it)\n"
        for path, words in (("", "<title>Streamlit"), ("_stcore/health", "ok")):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=60) as answer:
                assert words in answer.read().decode()
        assert listening_on(port) == {"0100007F"}  # 127.0.0.1, in the order of the machine's bytes
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code
    assert out == ""
    assert err == ("interrupted\n" if number == signal.SIGINT else "")
    assert listening_on(port) == set()
    assert list(tmp_path.iterdir()) == [tmp_path / "outputs"]


def test_a_taken_port_is_said_before_anything_is_loaded(tmp_path: Path) -> None:
    with server.bound(0) as listening:
        port = listening.getsockname()[1]
        result = run_here("checkpoint=nowhere", f"port={port}", cwd=tmp_path, verb="app")
    assert result.returncode == 2
    assert result.stderr == f"error: port={port} is taken by another program: say port={port + 1}, or end it\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["checkpoint=nowhere"], "checkpoint=nowhere does not exist: name a run ("),
        (["checkpoint=[a,b,c]"], "checkpoint=[a,b,c] names 3 networks: name one, or two as [A,B]"),
        (["checkpoint=null"], "checkpoint=null names nothing"),
        ([], "checkpoint=last: there is no run with a checkpoint below outputs/ yet"),
        (["checkpoint=x", "port=70000"], "port=70000 is not possible: take a whole number between 1 and 65535"),
        (["checkpoint=x", "browser=maybe"], "browser=maybe is not possible: take true or false"),
        (["-m", "checkpoint=x", "port=8601,8602"], "src.app does one thing at a time: leave -m out"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_input_gets_its_line(tmp_path: Path, words: list[str], line: str) -> None:
    if not any(word.startswith("port=") for word in words):
        words = [*words, f"port={free_port()}"]
    result = run_here(*words, cwd=tmp_path, verb="app")
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith(f"error: {line}")
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_port_is_ours_at_once() -> None:
    with server.bound(0) as listening, socket.create_connection(listening.getsockname(), timeout=5):
        pass


def test_without_streamlit_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    result = run_here("checkpoint=x", cwd=tmp_path, verb="app")
    assert result.returncode == 2
    assert result.stderr == "error: src.app needs Streamlit, which isn't installed: pip install -e '.[app]'\n"
