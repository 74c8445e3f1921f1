"""An S3 server on this machine: moto's, behind a proxy that fails as networks do."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMIhush"

REFUSAL = b"""<?xml version="1.0"?><Error><Code>InvalidAccessKeyId</Code>
<Message>The AWS Access Key Id you provided does not exist in our records.</Message></Error>"""


class Proxy(ThreadingHTTPServer):
    """Passes everything on to `port`; `fault` says what goes wrong with objects whose names end in `suffix`.

    refused: wrong credentials. half: fewer bytes than were listed. lost: the connection breaks in their middle. gone:
    there is no such object.
    """

    daemon_threads = True

    def __init__(self, port: int, *, proxied: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.port = port
        self.proxied = proxied
        self.fault = ""
        self.suffix = ".png"
        self.fetched = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1] if self.proxied else self.port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else None
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        upstream.request(self.command, self.path, body, dict(self.headers))
        answer = upstream.getresponse()
        content, code = answer.read(), answer.status
        headers = [pair for pair in answer.getheaders() if pair[0].lower() not in ("content-length", "connection")]
        is_object = self.command == "GET" and self.path.partition("?")[0].endswith(self.server.suffix)
        self.server.fetched += is_object
        fault = self.server.fault
        if fault == "refused":
            code, content = 403, REFUSAL
        elif fault == "gone" and is_object:
            code, content = 404, b"<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>"
        elif fault == "half" and is_object:
            content = content[: len(content) // 2]
        if fault and is_object:  # a server that fails knows no digest of what it sends
            headers = [pair for pair in headers if "checksum" not in pair[0].lower()]
        self.send_response(code)
        for name, value in headers:
            self.send_header(name, value)
        whole = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", whole or "0")
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault == "lost" and is_object:
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.wfile.write(content)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def serving(folder: Path, *, proxied: bool = True) -> Iterator[Proxy]:
    """Run the server; what it says goes into a file in the folder.

    `proxied`: whether the address is that of a proxy, which can fail and is slower.
    """
    port = free_port()
    with (folder / "moto.log").open("wb") as log:
        moto = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stdout=log, stderr=log)
    try:
        end = time.monotonic() + 60
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert moto.poll() is None, (folder / "moto.log").read_text()
            assert time.monotonic() < end
            time.sleep(0.1)
        with Proxy(port, proxied=proxied) as proxy:
            Thread(target=proxy.serve_forever, daemon=True).start()
            yield proxy
            proxy.shutdown()
    finally:
        moto.kill()
        moto.wait()


def variables(proxy: Proxy) -> dict[str, str]:
    """Return what the environment of a client of it has."""
    here = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return here | {
        "AWS_ENDPOINT_URL": proxy.url,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
