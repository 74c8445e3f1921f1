"""One picture decoded in a process of its own, for a server that has to go on whatever the picture does."""

import multiprocessing
import os
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection

import numpy as np

from .images import reason_of
from .processes import FAULTS, fork_context, guard, quiet_fork
from .refusal import UnreadableImageError
from .workers import shielded

_one_at_a_time = threading.Lock()
"""Several would take the memory of all, and `multiprocessing` mixes up processes that threads start at once."""


def decoded_apart(work: Callable[[], np.ndarray], seconds: float, memory: int) -> np.ndarray:
    """Return what `work` returns, within so many seconds and bytes beside those that this process has.

    A process for each picture, forked: it starts in milliseconds, has the file already, takes along whatever the
    decoder leaves behind, and ends with the thread that waits for it. (Systems without fork decode in this process.)

    Raises:
        UnreadableImageError: whatever `work` raises, or the process crashes or exceeds a limit.
    """
    with _one_at_a_time:
        found = work() if fork_context() is None else _ask(work, seconds, memory)
    if isinstance(found, str):
        raise UnreadableImageError(found)
    return found


def _ask(work: Callable[[], np.ndarray], seconds: float, memory: int) -> np.ndarray | str:
    """Return the array from a new process, or why there is none."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(os.getpid(), work, theirs, memory), daemon=True)
    try:
        with quiet_fork(), shielded():
            process.start()
        theirs.close()  # so that the pipe ends when the process does
        if not ours.poll(seconds):
            return f"takes over {seconds:g} s to decode"
        found: np.ndarray | str = ours.recv()
        return found
    except EOFError:
        process.join()
        number = -(process.exitcode or 0)
        return FAULTS.get(number, f"its process was killed (signal {number})")
    finally:
        if process.pid is not None:
            process.kill()
            process.join()
        process.close()
        ours.close()


def _answer(parent: int, work: Callable[[], np.ndarray], pipe: Connection, memory: int) -> None:
    """Send the array, or why there is none.

    Everything else that the parent has open is closed: a visitor's connection would stay open here when it ends there.
    """
    guard(parent, memory)
    os.closerange(3, pipe.fileno())
    os.closerange(pipe.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
    try:
        found: np.ndarray | str = work()
    except UnreadableImageError as error:
        found = error.reason
    except Exception as error:  # resizing may want more memory than there is
        found = reason_of(error, "")
    pipe.send(found)
    os._exit(0)  # what the parent wants to do at its end is not for this process
