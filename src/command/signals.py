"""How a command answers signals that tell it to stop, while no training does (`src.resuming.stopping`)."""

import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn

OMEGACONF = f"{os.sep}omegaconf{os.sep}"
WEAK = {code.co_filename for code in (weakref.WeakSet.add.__code__, weakref.finalize.__call__.__code__)}
"""Files of the callbacks of weak references."""
SECONDS = 0.1  # until the next look at what must not be interrupted

SECONDS_TO_LEAVE = 60.0
"""What Python's own end may take: the threads of loggers, processes that it waits for."""


def answer_signals() -> Callable[[], int | None]:
    """Make Ctrl-C raise KeyboardInterrupt, and SIGTERM, SLURM's notice of it (SIGUSR1) or SIGHUP SystemExit(143).

    An import is never interrupted: C extensions, torch's above all, turn what is raised in them into another error or
    into none. Nor is OmegaConf, which fails while it tidies up, nor what Python calls when an object dies: there it
    prints an exception and goes on. The signal waits until the outermost of them is done. What is ignored stays
    ignored: Ctrl-C in the background, and by nohup the end of the terminal (SIGHUP).

    Return what tells which signal was answered in this way; None without one.
    """
    told: int | None = None

    def leave(number: int, frame: FrameType | None) -> None:
        nonlocal told
        told = told if number == alarm else number
        if alarm is not None:
            signal.setitimer(signal.ITIMER_REAL, SECONDS if _is_delicate(frame) else 0)
            if _is_delicate(frame):
                return
        if told == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + signal.SIGTERM)

    # Windows has neither a timer nor SIGUSR1.
    alarm: Any = getattr(signal, "SIGALRM", None)
    for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP", "SIGALRM"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, leave)
    return lambda: told


def answer_no_more() -> None:
    """Ignore what tells this process to stop, one of several: it has begun to leave, and is ended anyway (`leave`).

    An exception in the midst of it would leave the others of a training without the news, or end in a traceback.
    """
    for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def leave(code: int) -> NoReturn:
    """End this process, one of several, with all said and done: where Python's own end hangs, without it.

    A thread does it with the exit code; where none can run any more, as in the destructors of C++, the system.
    """
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    timer = threading.Timer(SECONDS_TO_LEAVE, os._exit, (code,))
    timer.daemon = True
    with suppress(RuntimeError):  # no memory for a thread
        timer.start()
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 2 * SECONDS_TO_LEAVE)
    sys.exit(code)


def _is_delicate(frame: FrameType | None) -> bool:
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith("<frozen importlib") or OMEGACONF in file:
            return True
        if frame.f_code.co_name == "__del__" or file in WEAK:
            return True
        frame = frame.f_back
    return False
