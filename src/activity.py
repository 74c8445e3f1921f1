"""What a command is doing: one line at the foot of a terminal, which is gone when something else is said there."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich import get_console
from rich.live import Live
from rich.spinner import Spinner

TIMES_A_SECOND = 4

_begun = False
_what = ""
_line: Live | None = None


def begin(what: str) -> None:
    """Show from now on what this process does: it is a command that somebody has typed, and no part of a program."""
    global _begun
    _begun = True
    show(what)


def show(what: str) -> None:
    """Say what is done now, such as `measuring cost`, instead of what was said before.

    Nothing without `begin`, nor off a terminal. Lines that Rich's console prints meanwhile appear above.
    """
    global _what, _line
    _what = what
    console = get_console()
    if not (_begun and console.is_terminal) or console.is_dumb_terminal:
        return
    if _line is not None:
        _line.update(Spinner("dots", what), refresh=True)
        return
    _line = Live(  # kept before it starts: a signal may come then
        Spinner("dots", what),
        console=console,
        transient=True,
        refresh_per_second=TIMES_A_SECOND,
        redirect_stdout=False,  # what libraries keep of it while they are imported must be stdout itself
        redirect_stderr=False,
    )
    _line.start(refresh=True)


def clear() -> None:
    """Take the line away: something else is shown, or all is done."""
    global _line
    line, _line = _line, None
    if line is not None:
        line.stop()


@contextmanager
def cleared() -> Iterator[None]:
    """Leave the foot of the terminal to the block, such as to a bar, and say again what was said when it ends."""
    shown = _line is not None
    clear()
    try:
        yield
    finally:
        if shown:
            show(_what)


@contextmanager
def ended() -> Iterator[None]:
    """Show nothing any more once the block ends, whichever way."""
    global _begun
    try:
        yield
    finally:
        _begun = False
        clear()
