"""How a command's process ends once all is said and done."""

import atexit
import os
import sys
import threading
from contextlib import suppress
from typing import NoReturn

from ..settings.defaults import PACKAGE


def end(code: int) -> NoReturn:
    """End with this exit code; a process that is a command's own at once.

    Python's own end takes torch apart, object by object: one to two seconds. What it does before that is done here, in
    its order, as `multiprocessing` does for its processes: threads are waited for, what was registered to be called is
    called, and what was printed is flushed.
    """
    if is_own():
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        with suppress(OSError, ValueError):  # nobody reads: Python's own end says so
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    sys.exit(code)


def is_own() -> bool:
    """Whether this process was started as a command, not by somebody who goes on when `main` is done."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec is not None and spec.name.partition(".")[0] == PACKAGE
