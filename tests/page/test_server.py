"""The server answers its own page alone, and asks nobody anything."""

import http.client
import urllib.request

import pytest

from src.page import guard, server

pytest.importorskip("streamlit")

STREAM = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw==",
}


def answer(url: str, path: str, headers: dict[str, str], method: str = "GET") -> tuple[int, bytes]:
    """Status and body; what has no `Host` among its headers names the page's own."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    try:
        connection.request(method, path, headers=headers)
        said = connection.getresponse()
        return said.status, b"" if said.status == 101 else said.read()
    finally:
        connection.close()


def test_a_page_of_another_name_or_site_gets_nothing_and_nobody_is_asked(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("streamlit.net_util.get_external_ip", lambda: asked.append("Amazon"))
    port = url.rpartition(":")[2]
    foreign = [
        {"Host": f"e.example:{port}"},
        {"Host": "127.0.0.1"},  # another port, of another server
        {"Host": f"127.0.0.1:{port}", "Origin": "http://e.example"},
        {"Origin": f"http://e.example:{port}"},
        {"Origin": "http://localhost:1"},
        {"Origin": f"https://127.0.0.1:{port}"},
        {"Origin": "null"},
    ]
    for headers in foreign:
        for path in ("/", "/_stcore/health", "/_stcore/host-config"):
            assert answer(url, path, headers) == (403, guard.REFUSED), headers
        assert answer(url, "/_stcore/stream", STREAM | headers)[0] == 403, headers
    assert answer(url, "/_stcore/stream", STREAM)[0] == 403  # a browser says where it comes from
    assert asked == []


@pytest.mark.parametrize("name", server.NAMES)
def test_the_page_itself_is_served_under_both_names(url: str, name: str) -> None:
    own = f"{name}:{url.rpartition(':')[2]}"
    assert answer(url, "/_stcore/health", {"Host": own})[0] == 200
    assert answer(url, "/_stcore/health", {"Host": own, "Origin": f"http://{own}"})[0] == 200
    assert answer(url, "/_stcore/stream", STREAM | {"Host": own, "Origin": f"http://{own}"})[0] == 101


def test_no_other_page_may_show_this_one_within_itself(url: str) -> None:
    for path in ("/", "/_stcore/health", "/nowhere.js"):
        with urllib.request.urlopen(url + path, timeout=60) as said:
            assert said.headers["Content-Security-Policy"] == "frame-ancestors 'none'"
            assert said.headers["X-Frame-Options"] == "DENY"


def test_an_upload_without_its_token_is_refused(url: str) -> None:
    status, said = answer(url, "/_stcore/upload_file/session/file", {"Origin": url}, "PUT")
    assert status == 403
    assert b"XSRF" in said
    assert answer(url, "/_stcore/upload_file/session/file", {}, "PUT") == (403, guard.REFUSED)


def test_streamlit_has_our_settings_whatever_its_defaults(url: str) -> None:
    import streamlit as st

    options = server.settings(int(url.rpartition(":")[2]))
    assert {name: st.get_option(name) for name in options} == options
    assert options["browser.gatherUsageStats"] is False
    assert options["server.address"] == "127.0.0.1"
    assert options["server.enableXsrfProtection"] is True
    assert options["client.allowedOrigins"] == []
