"""How errors end a command: one line for the user, and the exit code."""

import os
import sys
import traceback
from collections.abc import Sequence

from ..activity import clear
from ..errors import InputError, RunError
from ..logs import visible

Failure = tuple[str, Exception]
"""The overrides of a run, and what ended it early."""

MOST_SAID = 600
"""Characters of an error that are shown; train.log has all of it."""


def report_all(failures: Sequence[Failure], *, some_done: bool) -> int:
    """Print one line for the runs that failed and return the exit code of all runs together.

    It is 2 only where no run was begun: where `some_done`, wrong input of another run gives 1 too.
    """
    clear()
    if not failures:
        return 0
    if len(failures) == 1 and not some_done:
        return report(failures[0][1])
    runs = "; ".join(f"{overrides} ({one_line(error)})" for overrides, error in failures)
    print(f"error: {len(failures)} run{'s' if len(failures) > 1 else ''} failed: {runs}", file=sys.stderr)
    return 2 if not some_done and all(isinstance(error, InputError) for _, error in failures) else 1


def report(error: BaseException) -> int:
    """Print what went wrong, our own two errors in a line, a bug with its traceback, and return the exit code."""
    clear()
    # A full disk, a folder that vanished, too little memory: no bugs, and train.log has the traceback.
    expected = isinstance(error, (InputError, RunError, OSError, MemoryError))
    if not expected or os.environ.get("HYDRA_FULL_ERROR") == "1":
        traceback.print_exception(error)
    if expected:
        print(f"error: {one_line(error)}", file=sys.stderr)
    return exit_code(error)


def exit_code(error: BaseException) -> int:
    """Return 2 where nothing was begun, for the input was wrong, else 1."""
    return 2 if isinstance(error, InputError) else 1


def one_line(error: BaseException) -> str:
    """Return the error's message on one line of limited length; its type if it has none."""
    text = " ".join(visible(str(error)).split()) or type(error).__name__
    return text if len(text) <= MOST_SAID else f"{text[:MOST_SAID]}…"
