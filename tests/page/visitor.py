"""What a visitor does on the page, and what he or she reads there."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

WAIT = 60_000
"""Milliseconds: a machine on which other tests run may take its time, and a test that passes doesn't."""

EVIL = "![a](http://e.example/a.png)<img src=//e.example/b>"
"""Words that have a page that reads them ask another site."""


CHANGED = "([old]) => document.querySelector('.rl-answer img').src != old"
"""JavaScript: whether the map is another one than before."""


CONTROLS = "Method, layer, evidence, opacity"
"""What the settings of the maps are folded up behind."""


class Visitor:
    """One browser window on the page, `page` of Playwright; `context` keeps the page's scripts for the next one."""

    def __init__(self, context: Any, url: str, width: int = 1280) -> None:
        self.page = context.new_page()
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.set_default_timeout(WAIT)
        self.elsewhere: list[str] = []
        """Requests that left this computer."""
        self.page.on("request", lambda request: self._note(request.url, url))
        self.page.goto(url)
        self.page.get_by_test_id("stFileUploader").wait_for()

    def _note(self, asked: str, url: str) -> None:
        if not asked.startswith((url, url.replace("http", "ws"), "blob:", "data:")):
            self.elsewhere.append(asked)

    def upload(self, files: Sequence[Path]) -> None:
        """Choose files, without waiting for what the page says of them."""
        self.page.locator("input[type=file]").set_input_files([str(file) for file in files])

    def card(self, name: str) -> Any:
        """The card of the picture called `name`, as soon as it is there.

        While Streamlit draws the page anew, a card stands in its old place and in its new one for a moment.
        """
        card = self.page.locator(".rl-card").filter(has=self.page.get_by_text(name, exact=True))
        pytest.importorskip("playwright.sync_api").expect(card).to_have_count(1, timeout=WAIT)
        return card

    def first(self, name: str, network: int = 0) -> str:
        """The most probable class of the picture and its confidence, as `7 99.1 %`."""
        bar = self.card(name).locator(".rl-answer").nth(network).locator(".rl-first")
        return " ".join(bar.inner_text().split())

    def overlay(self, name: str, network: int = 0) -> str:
        """The picture and its map, as the browser has them."""
        return str(self.card(name).locator("img").nth(network).get_attribute("src"))

    def open(self, name: str) -> None:
        """Open a part of the page that is folded up."""
        self.page.get_by_text(name, exact=True).click()
        self.page.wait_for_timeout(600)  # a list that is opened while its place moves closes again

    def choose(self, label: str, option: str) -> None:
        self.page.get_by_role("combobox", name=label).click()
        self.page.get_by_role("option", name=option, exact=True).click()

    def close(self) -> None:
        self.page.close()
