"""Whoever keeps the server waiting is cut off, and whoever doesn't is not."""

import gc
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

pytest.importorskip("streamlit")

from src.page import connections
from tests.page.test_server import STREAM, answer


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 1)
    monkeypatch.setattr(connections, "BODY_SECONDS", 2)


def connect(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    connection.settimeout(20)
    return connection


def rest(connection: socket.socket) -> bytes:
    """All that the server still says; it ends when the server closes the connection."""
    said = b""
    try:
        while part := connection.recv(65536):
            said += part
    except ConnectionResetError:
        pass
    return said


def head(url: str, line: str, **headers: str) -> bytes:
    said = {"Host": url.removeprefix("http://"), "Origin": url, **headers}
    return "\r\n".join([line, *(f"{name.replace('_', '-')}: {value}" for name, value in said.items()), "", ""]).encode()


def nothing(url: str) -> Iterator[bytes]:
    yield b""


def half_a_line(url: str) -> Iterator[bytes]:
    yield b"GET /_stco"


def drip_fed_headers(url: str) -> Iterator[bytes]:
    yield head(url, "GET / HTTP/1.1")[:-2]
    for n in range(80):
        yield f"X-{n}: {n}\r\n".encode()


def body_that_never_comes(url: str) -> Iterator[bytes]:
    yield head(url, "PUT /_stcore/upload_file/a/b HTTP/1.1", Content_Length="1000")


def drip_fed_body(url: str) -> Iterator[bytes]:
    yield head(url, "POST /_stcore/upload_file/a/b HTTP/1.1", Content_Length="1000", Cookie="_streamlit_xsrf=a")
    for _ in range(80):
        yield b"x"


def half_a_second_request(url: str) -> Iterator[bytes]:
    yield head(url, "GET /_stcore/health HTTP/1.1")
    yield b"GET / HT"


def half_a_handshake(url: str) -> Iterator[bytes]:
    yield head(url, "GET /_stcore/stream HTTP/1.1", **{k.replace("-", "_"): v for k, v in STREAM.items()})[:-2]


SLOW = [
    nothing,
    half_a_line,
    drip_fed_headers,
    body_that_never_comes,
    drip_fed_body,
    half_a_second_request,
    half_a_handshake,
]


@pytest.mark.parametrize("client", SLOW, ids=lambda client: client.__name__)
def test_a_request_that_does_not_end_is_cut_off(url: str, client: Callable[[str], Iterator[bytes]]) -> None:
    with connect(url) as connection:
        start = time.monotonic()
        connection.settimeout(0.2)
        for part in client(url):
            try:
                connection.sendall(part)
                if not connection.recv(65536):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        connection.settimeout(20)
        rest(connection)
        assert time.monotonic() - start < 10
    assert answer(url, "/_stcore/health", {})[0] == 200


def test_an_answer_that_is_not_taken_does_not_keep_the_connection(url: str) -> None:
    with connect(url) as connection:
        connection.sendall(2000 * head(url, "GET / HTTP/1.1"))  # 15 MB of answers: more than the system buffers
        port, end = connection.getsockname()[1], time.monotonic() + 15
        while not open_from(port):
            assert time.monotonic() < end
        while open_from(port):
            assert time.monotonic() < end
            time.sleep(0.1)


def open_from(port: int) -> bool:
    """Whether the server has a connection with this port of a client."""
    known = [thing for thing in gc.get_objects() if type(thing) is connections.Impatient]
    return any(thing.client[1] == port and not thing.transport.is_closing() for thing in known)


def test_a_websocket_stays(url: str) -> None:
    with connect(url) as connection:
        connection.sendall(
            head(url, "GET /_stcore/stream HTTP/1.1", **{k.replace("-", "_"): v for k, v in STREAM.items()})
        )
        assert b"101" in connection.recv(4096)
        time.sleep(3.5)
        connection.sendall(b"\x89\x80\0\0\0\0")  # a ping
        said = b""
        while b"\x8a\x00" not in said:
            part = connection.recv(65536)
            assert part
            said += part


def test_there_are_only_so_many_connections(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 20)
    with ExitStack() as stack:
        opened = [stack.enter_context(connect(url)) for _ in range(40)]
        time.sleep(0.3)
        ended = 0
        for connection in opened:
            connection.settimeout(0.01)
            try:
                ended += not connection.recv(1)
            except ConnectionResetError:
                ended += 1
            except TimeoutError:
                pass
        assert 15 <= ended <= 30
    assert answer(url, "/_stcore/health", {})[0] == 200
