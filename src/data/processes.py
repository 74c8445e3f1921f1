"""How many processes decode images, how they start, and what happens to a file that kills one."""

import ctypes
import faulthandler
import multiprocessing
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import product
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

from rich import get_console
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..activity import cleared
from ..errors import RunError
from .workers import shielded

T = TypeVar("T")
Item = TypeVar("Item")

MOST_WORKERS = 8  # each decodes some 200 photographs/s, enough for a large GPU; more only cost memory
CHUNK = 64  # files: large enough that handing over costs nothing, small enough that both cores end together
AHEAD = 2  # parts given to each process, so that it need not wait for us between them
SECONDS = 60  # for one file: the 179 million pixels that an image may have take a slow core 12 (JPEG 2000)
MEMORY = 4 << 30  # bytes for one file, beside what a process has already: so many pixels take under 3 GB


def cpu_count() -> int:
    """Return the cores that this process may use (a container or batch system often grants fewer than there are)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def worker_count(num_workers: int | str, devices: int = 1) -> int:
    """Return how many processes decode for one of the `devices`; "auto": one a core, at most `MOST_WORKERS`.

    Cats and dogs at 224 px, flipped and cropped, on 2 cores of which one was busy: 0, 1 and 2 workers gave 200, 330 and
    400 images/s. A network on these cores trains at 50: there workers mostly wait. A GPU needs them all.
    """
    return num_workers if isinstance(num_workers, int) else min(max(1, cpu_count() // devices), MOST_WORKERS)


def fork_context() -> BaseContext | None:
    """Return the context that forks where that is sound (Linux), else None, the platform's default.

    A forked worker starts in milliseconds, a fresh one spends seconds importing PyTorch; and a plain script or notebook
    may train without an `if __name__ == "__main__"`. Our workers only read files and call Pillow, so they take none of
    the locks that a thread of the parent might have held while it forked.
    """
    return multiprocessing.get_context("fork") if sys.platform == "linux" else None


@contextmanager
def quiet_fork() -> Iterator[None]:
    """Silence the warning of Python 3.12 and later about forking beside threads (python/cpython#100229)."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*use of fork", category=DeprecationWarning)
        yield


def map_files(
    work: Callable[[Item], T],
    files: Sequence[Item],
    what: str,
    lost: Callable[[str], T] | None = None,
    *,
    bar: bool = True,
    taken: Callable[[Sequence[Item], Sequence[T]], None] | None = None,
) -> list[T]:
    """Run `work` on all `files`, on all cores, and return one result a file, in order.

    Processes rather than threads: Pillow releases the GIL only inside its decoders, so two threads took 1.3 times as
    long as two processes over 3,000 photographs of 30 kB (1.30 s and 1.01 s, 2 cores), and more threads took longer.
    And a process is expendable: where a file crashes its decoder, or takes longer than `SECONDS`, its result is
    `lost(reason)`. (Systems without fork, all but Linux, use threads and have no such protection.)

    Args:
        what: names the job in the progress bar, which shows on a terminal only, and in errors.
        taken: called here with some of the files and their results as soon as these are known, in any order.

    Raises:
        RunError: a process was killed from outside, or a file crashed one and there is no `lost`.
    """
    with file_progress(what, len(files), shown=bar) as advance:
        if fork_context() is None:
            with ThreadPoolExecutor(cpu_count()) as pool:
                listed = list(pool.map(work, files))
            if taken is not None:
                taken(files, listed)
            return listed
        results = in_processes(work, files, what, lost, advance, taken)
    return [results[place] for place in range(len(files))]


class Part(NamedTuple):
    """Places in the list of files that a process reads at a time. `alone`: one file, which may kill its process."""

    start: int
    stop: int
    alone: bool = False


class Reader(NamedTuple):
    """A process, our end of its pipe, and what it has been given: the part it is at, and the one after that."""

    process: BaseProcess
    pipe: Connection
    parts: list[Part]


def in_processes(
    work: Callable[[Item], T],
    files: Sequence[Item],
    what: str,
    lost: Callable[[str], T] | None,
    advance: Callable[[int], None],
    taken: Callable[[Sequence[Item], Sequence[T]], None] | None = None,
) -> dict[int, T]:
    """Return the results by place in `files`; see `map_files`.

    Each process has its own pipe. When one dies, its pipe ends; the files it had are read again one by one, and the one
    that kills its process again is the culprit. Pools share a pipe and its lock among all workers, and a worker killed
    while it holds the lock stops the rest: of 20 runs with results of 200 kB and one worker killed at random,
    `concurrent.futures` hung in 6 and pebble 5.2.3 in 8, this in none. loky 3.7 does not fork: its workers import
    PyTorch again.
    """
    results: dict[int, T] = {}
    waiting = [Part(start, min(start + CHUNK, len(files))) for start in range(0, len(files), CHUNK)][::-1]
    readers: dict[Connection, Reader] = {}
    try:
        while len(results) < len(files):
            while len(readers) < min(cpu_count(), len(waiting)):
                reader = start_reader(work, files)
                readers[reader.pipe] = reader
            hand_out(waiting, readers.values())
            for pipe in cast(list[Connection], wait(list(readers))):
                reader = readers[pipe]
                try:
                    found, error = pipe.recv()
                    part = reader.parts.pop(0)
                except (EOFError, OSError):
                    number = dismiss(readers.pop(pipe))
                    if not reader.parts:
                        continue
                    part, *rest = reader.parts
                    waiting += rest
                    if not part.alone:
                        waiting += [Part(place, place + 1, alone=True) for place in range(part.start, part.stop)][::-1]
                        continue
                    found, error = [verdict(files[part.start], number, what, lost)], None
                if error is not None:
                    raise error
                results |= enumerate(found, part.start)
                if taken is not None:
                    taken(files[part.start : part.start + len(found)], found)
                advance(len(results))
        return results
    finally:
        for reader in readers.values():
            dismiss(reader)


def hand_out(waiting: list[Part], readers: Iterable[Reader]) -> None:
    """Give each process up to `AHEAD` parts, one to every process before any has a second."""
    for depth, reader in product(range(AHEAD), readers):
        if waiting and len(reader.parts) == depth:
            reader.parts.append(waiting.pop())
            with suppress(OSError):  # it has died, which reading from its pipe will show
                reader.pipe.send(reader.parts[-1])


def start_reader(work: Callable[[Item], T], files: Sequence[Item]) -> Reader:
    """Fork a process that answers each part from its pipe with the results of its files."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=read_parts, args=(os.getpid(), work, files, theirs), daemon=True)
    with quiet_fork(), shielded():
        process.start()
    theirs.close()  # so that the pipe ends when the process does
    return Reader(process, ours, [])


def dismiss(reader: Reader) -> int:
    """End a process, be it idle, dead, or at work that nobody needs now. Return the signal that ended it, or 0."""
    reader.process.kill()
    reader.process.join()
    reader.pipe.close()
    return -(reader.process.exitcode or 0)


# In such a process ----------------------------------------------------------------------------------------------------


PR_SET_PDEATHSIG = 1  # prctl(2)


def read_parts(parent: int, work: Callable[[Item], T], files: Sequence[Item], pipe: Connection) -> None:
    """Answer each part with (results, None) or (some, error). SIGALRM ends the process if a file takes `SECONDS`."""
    guard(parent)
    while True:
        start, stop, _ = pipe.recv()
        results: list[T] = []
        error = None
        try:
            for file in files[start:stop]:
                signal.setitimer(signal.ITIMER_REAL, SECONDS)
                results.append(work(file))
        except Exception as raised:
            raised.add_note(traceback.format_exc())  # which the pipe would lose
            error = raised
        signal.setitimer(signal.ITIMER_REAL, 0)
        pipe.send((results, error))


def guard(parent: int, memory: int | None = None) -> None:
    """Limit the harm a decoder can do to the end of this process: no core file, no output, `memory` or `MEMORY`.

    The process also dies with its parent; otherwise it would wait for work forever.
    """
    import resource  # there is none on Windows

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    faulthandler.disable()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process, even in the midst of C code
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    limit = used + (memory or MEMORY)
    resource.setrlimit(resource.RLIMIT_AS, (limit if most == resource.RLIM_INFINITY else min(limit, most), most))


# A file that ends a process -------------------------------------------------------------------------------------------

FAULTS = {
    getattr(signal, name): f"crashes its decoder ({name})"
    for name in ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGFPE", "SIGILL")
    if hasattr(signal, name)
}


def verdict(file: object, number: int, what: str, lost: Callable[[str], T] | None) -> T:
    """Return the result for a file whose process was ended by a signal of this number."""
    reason = f"takes over {SECONDS} s to decode" if number == signal.SIGALRM else FAULTS.get(number)
    if reason is not None and lost is not None:
        return lost(reason)
    path = getattr(file, "path", file)
    name = repr(str(path)) if isinstance(path, str | Path) else "an image"
    if reason is not None:
        raise RunError(f"{what}: {name} {reason}. Remove it, then retry.")
    raise RunError(f"{what}: a process was killed at {name}, perhaps for want of memory. Free some, then retry.")


@contextmanager
def file_progress(what: str, total: int, *, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """Show a bar on the terminal that counts files and disappears when done; nothing where there is no terminal.

    It shares the console of the log, so that lines are printed above it; where stdout goes elsewhere, it is on stderr.
    """
    console = get_console() if get_console().is_terminal else Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not (shown and console.is_terminal))
    with cleared(), bar as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)
