"""The line at the foot of a terminal that says what is being done."""

import io
from collections.abc import Iterator

import pytest
import rich
from rich.console import Console

from src import activity


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What a terminal gets."""
    console = Console(file=io.StringIO(), force_terminal=True, width=60, _environ={})
    monkeypatch.setattr(rich, "_console", console)
    yield console.file  # type: ignore[misc]
    activity.clear()


def said(screen: io.StringIO) -> str:
    text = screen.getvalue()
    screen.truncate(0)
    screen.seek(0)
    return text


def test_a_command_says_what_it_does_and_leaves_nothing_behind(screen: io.StringIO) -> None:
    with activity.ended():
        activity.begin("loading")
        assert "loading" in said(screen)
        activity.show("measuring cost")
        rich.get_console().print("a line")
        text = said(screen)
        assert text.index("a line") < text.rindex("measuring cost"), "lines stand above it"
    assert said(screen).endswith("\x1b[2K"), "the line is erased"
    activity.show("nothing")
    assert said(screen) == ""


def test_a_bar_takes_its_place_while_it_is_there(screen: io.StringIO) -> None:
    with activity.ended():
        activity.begin("loading")
        with activity.cleared():
            said(screen)
            rich.get_console().print("a bar")
            assert said(screen) == "a bar\n"
        assert "loading" in said(screen)
        activity.clear()
        said(screen)
        with activity.cleared():
            pass
        assert said(screen) == "", "what was not shown is not shown behind it"


def test_a_program_that_calls_a_verb_gets_no_such_line(screen: io.StringIO) -> None:
    activity.show("measuring cost")
    assert said(screen) == ""


def test_nothing_is_shown_off_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), force_terminal=False)
    monkeypatch.setattr(rich, "_console", console)
    with activity.ended():
        activity.begin("loading")
        activity.show("measuring cost")
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]


def test_an_error_ends_it_too(screen: io.StringIO) -> None:
    def interrupted() -> None:
        with activity.ended():
            activity.begin("loading")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert said(screen).endswith("\x1b[2K")
