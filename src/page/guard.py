"""What stands before Streamlit: it answers only this page itself, at its own address.

Streamlit checks the Host of some requests and the Origin of others, and for a foreign Origin asks a server of Amazon's
what address this computer has (`streamlit.net_util.get_external_ip`). No such request gets that far.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

REFUSED = b"This page is for this computer alone: open it at its own address.\n"

HEADERS = [(b"content-security-policy", b"frame-ancestors 'none'"), (b"x-frame-options", b"DENY")]
"""No other page may embed this one and make its visitor click what he or she doesn't see."""


class Guard:
    """An ASGI application in front of another: it answers requests from elsewhere itself, with 403.

    A name made to lead to 127.0.0.1 (DNS rebinding) is a foreign Host, another site's script a foreign Origin. Browsers
    name the Origin of all but plain requests, so all others must have one.
    """

    def __init__(self, app: "ASGIApp", names: Sequence[str], port: int) -> None:
        self.app = app
        self.hosts = {f"{name}:{port}" for name in names} | (set(names) if port == 80 else set())
        self.origins = {f"http://{host}" for host in self.hosts}

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif self._allowed(scope):
            await self.app(scope, receive, _with_headers(send) if scope["type"] == "http" else send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # before it is open: a 403
        else:
            headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(REFUSED)).encode()), *HEADERS]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": REFUSED})

    def _allowed(self, scope: "Scope") -> bool:
        said: dict[bytes, list[str]] = {b"host": [], b"origin": []}
        for name, value in scope["headers"]:
            if name in said:
                said[name].append(value.decode("latin-1").lower())
        if len(said[b"host"]) != 1 or said[b"host"][0] not in self.hosts:
            return False
        plain = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        return bool(said[b"origin"] or plain) and set(said[b"origin"]) <= self.origins


def _with_headers(send: "Send") -> "Send":
    async def sending(message: "Message") -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *HEADERS]}
        await send(message)

    return sending
