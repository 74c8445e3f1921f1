"""Where log records go: what ResLens says on screen, and all of it into train.log."""

import copy
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path

from rich import get_console

from .activity import clear
from .files import open_to_append
from .ranks.place import is_follower
from .tables import wrapped

COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters (of C0 and C1, and those of Unicode that change the direction of writing)."""


ODD = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What could begin a line in a file, or change how one is shown; tabs can't."""


WHOLE = "whole"
"""What `extra` says of a record that is to be copied, such as a command: it is one line, however long."""


class ConsoleHandler(logging.Handler):
    """Log records as plain lines on Rich's console, above a progress bar where one is on.

    Ours are shown from INFO on, those of libraries from ERROR on; train.log has all of them.
    """

    gone = False
    """Whether the reader has left (`| head`, a closed terminal): train.log still has everything."""

    def emit(self, record: logging.LogRecord) -> None:
        if self.gone or is_follower():
            return
        if record.name.split(".")[0] == __package__ or record.name == "__main__" or record.levelno >= logging.ERROR:
            try:
                text = visible(self.format(record))
                if not getattr(record, WHOLE, False):
                    text = for_screen(text)
                if get_console().is_jupyter:  # where Rich would show each line as a page of its own
                    print(text)
                else:
                    get_console().print(text, markup=False, highlight=False, soft_wrap=True)
            except SystemExit as error:
                if error.code != 1:  # not Rich's answer to a broken pipe, but SIGTERM while it was printing
                    raise
                self.gone = True
            except OSError:
                self.gone = True


class LogFile(logging.FileHandler):
    """train.log, which is no link, and where one record is one line, whatever words of a stranger's are in it.

    A disk that is full is no news in it, and must not drown the one line that says so in tracebacks.
    """

    def _open(self) -> TextIOWrapper:
        return os.fdopen(open_to_append(Path(self.baseFilename)), "a", encoding=self.encoding)

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line, and a traceback indented below it."""
        plain = copy.copy(record)
        plain.msg, plain.args, plain.exc_text = escaped(record.getMessage()), None, None
        line, *below = super().format(plain).split("\n")
        return "\n".join([line, *(f"    {escaped(text)}" for text in below)])

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the base class's name
        """Leave the record out."""

    def close(self) -> None:
        with suppress(OSError):
            super().close()


def say_interrupted(remedy: str = "") -> None:
    """The one line on stderr for a run that was told to stop. At a terminal it takes the place of the ^C there."""
    clear()
    start = "\r" if sys.stderr.isatty() else ""
    with suppress(OSError):  # of a terminal that has been closed
        print(f"{start}interrupted{remedy}", file=sys.stderr)


def visible(text: str) -> str:
    """Text for a terminal: a class or a file from elsewhere may be called by what clears a screen or turns words round.

    Line breaks and tabs stay.
    """
    return COMMANDS.sub("�", text)


def for_screen(text: str) -> str:
    """Text whose lines a terminal doesn't break within a word or a number; elsewhere as it is."""
    console = get_console()
    return wrapped(text, console.width) if console.is_terminal else text


def escaped(text: str) -> str:
    """Text on one line, its line breaks and other signs without a shape as Python writes them: `\\n`."""
    return ODD.sub(lambda sign: sign[0].encode("unicode_escape").decode(), text)


def say_lines(log: logging.Logger, text: str) -> None:
    """Say several lines of ours, such as a table, each as a record of its own."""
    for line in text.split("\n"):
        log.info("%s", line)


@contextmanager
def while_read() -> Iterator[None]:
    """Print what was asked for as long as somebody reads it: `| head` leaves early, and that is no error."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it ends
