"""Where log records go: what ResLens says on screen, and all of it into train.log."""

import logging
import os
import re
import sys
from contextlib import suppress

from rich import get_console

COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters (of C0 and C1, and those of Unicode that change the direction of writing)."""


class ConsoleHandler(logging.Handler):
    """Log records as plain lines on Rich's console, above a progress bar where one is on.

    Ours are shown from INFO on, those of libraries from ERROR on; train.log has all of them.
    """

    gone = False
    """Whether the reader of a pipe has left (`| head`): the run goes on, and train.log still has everything."""

    def emit(self, record: logging.LogRecord) -> None:
        if self.gone or is_follower():
            return
        if record.name.split(".")[0] == __package__ or record.name == "__main__" or record.levelno >= logging.ERROR:
            try:
                get_console().print(visible(self.format(record)), markup=False, highlight=False, soft_wrap=True)
            except SystemExit as error:
                if error.code != 1:  # not Rich's answer to a broken pipe, but SIGTERM while it was printing
                    raise
                self.gone = True


class LogFile(logging.FileHandler):
    """train.log. A disk that is full is no news in it, and must not drown the one line that says so in tracebacks."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the base class's name
        """Leave the record out."""

    def close(self) -> None:
        with suppress(OSError):
            super().close()


def say_interrupted(remedy: str = "") -> None:
    """The one line on stderr for a run that was told to stop. At a terminal it takes the place of the ^C there."""
    start = "\r" if sys.stderr.isatty() else ""
    print(f"{start}interrupted{remedy}", file=sys.stderr)


def visible(text: str) -> str:
    """Text for a terminal: a class or a file from elsewhere may be called by what clears a screen or turns words round.

    Line breaks and tabs stay.
    """
    return COMMANDS.sub("�", text)


def is_follower() -> bool:
    """Whether this is a distributed run's second or later process: the first speaks and writes for all."""
    return os.environ.get("LOCAL_RANK", "0") != "0"
