"""Processes that read images: they leave Ctrl-C and SIGTERM to their parent and end with it; if one is killed, the
signal is named.
"""

import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue

from ..errors import RunError
from .shared_memory import MORE, SHARED

# A terminal sends Ctrl-C and SIGHUP, a batch system SIGTERM and SIGUSR1, to all processes of a command at once.
PARENTS = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP") if hasattr(signal, name)}

SECONDS_BETWEEN_LOOKS = 1.0

# What PyTorch says when a batch is overdue, or, from its handler of SIGCHLD, in any line at all.
DEATH = re.compile(r"DataLoader worker \(pid.*?\) (?:is killed by signal: (?P<signal>[^.]+)|exited)")

# What PyTorch says in a worker that finds no room for a batch: 256 images of 224 px take 39 MB, and Docker gives 64.
NO_ROOM = re.compile(r"unable to (allocate|write|resize|mmap|open)\b.*(shared memory|/torch_)")
ROOM = f"{MORE}, or say data.num_workers=0, then resume"

LIKELY: dict[str | None, str] = {
    "SIGKILL": ", perhaps for want of memory: free some or lower data.num_workers, then resume",
    "SIGBUS": f", perhaps because {SHARED} is full: {ROOM}",
}


@contextmanager
def shielded() -> Iterator[None]:
    """Keep all signals of `PARENTS` from a process forked inside the block; this one gets them when the block ends.

    A worker would otherwise run its parent's handlers, or die while its parent finishes the batch.
    """
    if sys.platform != "linux":  # workers are not forked there
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, PARENTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def follow_parent(parent: int, _: int = 0) -> None:
    """End this worker of PyTorch, started `shielded`, when the process `parent` sends SIGTERM or is gone.

    The parent may be gone already, so that the worker can't find out by itself whom to follow. PyTorch itself looks
    for the parent only every five seconds, and only between batches.
    """
    if sys.platform != "linux":
        return
    Queue._on_queue_feeder_error = staticmethod(_lose)  # type: ignore[attr-defined]  # in this process
    # PyTorch's handlers would add lines of their own to the one that the parent has for a crash.
    for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE):
        signal.signal(number, signal.SIG_DFL)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _lose(*_: object) -> None:
    """Die where a batch can't be sent, most likely for want of memory; Python would leave the parent waiting."""
    os.kill(os.getpid(), signal.SIGKILL)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        told = signal.sigtimedwait([signal.SIGTERM], SECONDS_BETWEEN_LOOKS)
        if told is not None and told.si_pid == parent:
            break
    os._exit(0)


@contextmanager
def deaths_named(workers: Callable[[], Iterable[BaseProcess]] = tuple) -> Iterator[None]:
    """Turn PyTorch's error of a worker that died, or had no room for a batch, into a `RunError`.

    `workers` returns the processes to ask where the error names no signal: PyTorch's handler of SIGCHLD is gone once
    Lightning's first loop has ended, which restores all handlers as they were before the first worker started.
    """
    try:
        yield
    except RuntimeError as error:
        if lacks_room(error):
            raise RunError(f"the shared memory, {SHARED}, is too small for the batches: {ROOM}") from error
        if not is_death(error):
            raise
        killed = (signal.Signals(-w.exitcode).name for w in workers() if w.exitcode is not None and w.exitcode < 0)
        name = _signal(str(error)) or next(killed, None)
        how = "has died" if name is None else f"was killed by {name}"
        remedy = LIKELY.get(name, ": resume, with data.num_workers=0 if it happens again")
        raise RunError(f"a process that reads images {how}{remedy}") from error


@contextmanager
def deaths_when_waiting() -> Iterator[None]:
    """Suspend PyTorch's handler of SIGCHLD, which raises in any line at all, even in the code that uses a batch.

    Whoever waits for the batch of a dead worker still hears of it within five seconds.
    """
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)


def is_death(error: BaseException) -> bool:
    """Return whether PyTorch means by it that a worker has died."""
    return DEATH.search(str(error)) is not None


def lacks_room(error: BaseException) -> bool:
    """Return whether PyTorch means by it that /dev/shm is full."""
    return NO_ROOM.search(str(error)) is not None


def _signal(said: str) -> str | None:
    """Return the name in `… is killed by signal: Killed.` -> `SIGKILL`; PyTorch uses the system's words for it."""
    match = DEATH.search(said)
    words = match["signal"] if match else None
    return next((number.name for number in signal.Signals if signal.strsignal(number) == words), words)
