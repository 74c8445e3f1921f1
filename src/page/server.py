"""The page's server: Streamlit within this process, for this computer alone."""

import errno
import importlib.util
import logging
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..activity import clear
from ..errors import InputError

if TYPE_CHECKING:
    import uvicorn

    from .exhibits import Exhibition

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
PAGE = Path(__file__).with_name("page.py")

GRACE = 1
"""Seconds that open connections have to close after Ctrl-C."""

_exhibition: "Exhibition | None" = None


def is_ready() -> bool:
    """Return whether this module serves the page of this process, and not one imported under another name."""
    return _exhibition is not None


def draw_page() -> None:
    """Draw the page for one visitor; the networks were loaded before the server started and are shared by all."""
    from .layout import draw

    if _exhibition is None:
        raise RuntimeError("the page is started by python -m src.app")
    draw(_exhibition)


def check_streamlit() -> None:
    """Raise `InputError` where Streamlit isn't installed."""
    if importlib.util.find_spec("streamlit") is None:
        raise InputError("src.app needs Streamlit, which isn't installed: pip install -e '.[app]'")


@contextmanager
def bound(port: int) -> Iterator[socket.socket]:
    """Yield a listening socket: the port is ours from now on, and early visitors wait until the page is there.

    Raise `InputError` where the port is not available.
    """
    with socket.socket() as listening:
        try:
            if os.name != "nt":  # there it would share the port
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((HOST, port))
            listening.listen()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                other = port + 1 if port < 65_535 else port - 1
                raise InputError(f"port={port} is taken by another program: say port={other}, or end it") from None
            raise InputError(f"port={port} is not available ({error.strerror}): take one from 1024 on") from None
        yield listening


def serve(shown: "Exhibition", listening: socket.socket, browser: bool) -> None:
    """Serve the page until SIGINT or SIGTERM, which then act as elsewhere (KeyboardInterrupt, exit 143).

    `browser` opens the page in one, where there is a screen.
    """
    page_server(shown, listening.getsockname()[1], browser).run(sockets=[listening])


def page_server(shown: "Exhibition", port: int, browser: bool) -> "uvicorn.Server":
    """Return the server of `serve`, not yet running. A process can have one, because Streamlit's runtime is unique."""
    global _exhibition
    _exhibition = shown
    import streamlit as st
    import uvicorn
    from starlette.formparsers import MultiPartParser
    from streamlit.web.bootstrap import load_config_options

    from .connections import Impatient, Pinged
    from .guard import Guard
    from .uploads import MAX_BYTES

    load_config_options(settings(port))
    # Starlette puts larger uploads (by default above 1 MB) into a file: ours stay in memory.
    MultiPartParser.spool_max_size = MAX_BYTES + 2**20

    @asynccontextmanager
    async def announced(_: st.App) -> AsyncIterator[None]:
        _announce(f"http://{HOST}:{port}", browser)
        yield

    def apologise(_: Exception) -> bool:
        st.error("Something went wrong; the terminal says what. Reload the page to continue.")
        return True

    app = st.App(PAGE, lifespan=announced, on_script_error=apologise)
    return uvicorn.Server(
        uvicorn.Config(
            Guard(app, NAMES, port),
            log_config=None,
            log_level="warning",
            access_log=False,
            http=Impatient,
            ws=Pinged,
            timeout_graceful_shutdown=GRACE,
        )
    )


def settings(port: int) -> dict[str, Any]:
    """Return Streamlit's options, which override the user's own config.toml and environment."""
    from .uploads import MAX_BYTES

    return {
        "global.developmentMode": False,
        "server.address": HOST,
        "server.port": port,
        "server.headless": True,
        "server.baseUrlPath": "",
        "server.allowedHosts": list(NAMES),  # against DNS rebinding: no other site's name may lead here
        "server.enableCORS": True,
        "server.corsAllowedOrigins": [],
        "server.enableXsrfProtection": True,
        "server.enableStaticServing": False,
        "server.enableAgentApi": False,
        "server.maxUploadSize": MAX_BYTES // 10**6,
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": False,
        "client.allowedOrigins": [],  # no other page may send this one messages
        "client.showErrorDetails": "none",
        "client.toolbarMode": "minimal",
        "runner.magicEnabled": False,
    }


def _announce(url: str, browser: bool) -> None:
    clear()
    log.info("page  %s  (Ctrl-C ends it)", url)
    # A browser in the terminal, such as lynx, would take the terminal away from us.
    screen = sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if browser and screen:
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
