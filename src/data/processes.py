"""How many processes decode images, how they are started, and what becomes of a file that ends one."""

import ctypes
import faulthandler
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..errors import RunError

T = TypeVar("T")
Item = TypeVar("Item")

CHUNK = 64  # files: large enough that handing over costs nothing, small enough that both cores end together
SECONDS = 60  # for one file: the 179 million pixels that an image may have take a slow core 12 (JPEG 2000)
MEMORY = 4 << 30  # bytes for one file, beside what a process has already: so many pixels take under 3 GB


def cpu_count() -> int:
    """The cores that this process may use (a container or a batch system often grants fewer than there are)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def fork_context() -> BaseContext | None:
    """Start by fork where that is sound (Linux), else None, the platform's default.

    A forked worker is there in milliseconds, a fresh one imports PyTorch for seconds; and a plain script or notebook
    may train without an `if __name__ == "__main__"`. Our workers only read files and call Pillow, so they take none of
    the locks that a thread of the parent might have held while it forked.
    """
    return multiprocessing.get_context("fork") if sys.platform == "linux" else None


@contextmanager
def quiet_fork() -> Iterator[None]:
    """Python 3.12 and later warn of every fork beside threads (https://github.com/python/cpython/pull/100229)."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*use of fork", category=DeprecationWarning)
        yield


def map_files(
    work: Callable[[Item], T], files: Sequence[Item], what: str, lost: Callable[[str], T] | None = None
) -> list[T]:
    """`work` on all `files`, on all cores: one result a file, in order. A progress bar on a terminal only.

    Processes rather than threads: Pillow gives up the GIL only inside its decoders, so two threads took 1.3 times as
    long as two processes over 3,000 photographs of 30 kB (1.30 s and 1.01 s, 2 cores), and more threads took longer.
    And a process can be done without: of a file that crashes its decoder, or takes longer than `SECONDS`, the result
    is `lost(reason)`. (Without fork, on other systems than Linux, there are threads, and no such care.)

    Raises:
        RunError: a process was killed from outside, or a file ended one and there is no `lost`.
    """
    left = {start: files[start : start + CHUNK] for start in range(0, len(files), CHUNK)}
    results: dict[int, Sequence[T]] = {}
    with file_progress(what, len(files)) as advance:
        while left:
            try:
                run_chunks(work, left, results, advance)
            except BrokenProcessPool:  # which doesn't tell by which of the files that were being read
                suspects = [start for start in left if start not in results][: cpu_count() + 1]
                results |= {start: one_by_one(work, left[start], what, lost) for start in suspects}
            left = {start: chunk for start, chunk in left.items() if start not in results}
    return [result for start in sorted(results) for result in results[start]]


def run_chunks(
    work: Callable[[Item], T],
    chunks: Mapping[int, Sequence[Item]],
    results: dict[int, Sequence[T]],
    advance: Callable[[int], None],
) -> None:
    """Put the chunks' results into `results`. Raises BrokenProcessPool where a process died, with what was done."""
    workers, context = min(cpu_count(), len(chunks)), fork_context()
    run: Callable[[Callable[[Item], T], Sequence[Item]], Sequence[T]] = run_guarded if context else run_unguarded
    pool: Executor = (
        ProcessPoolExecutor(workers, mp_context=context, initializer=guard, initargs=(os.getpid(),))
        if context
        else ThreadPoolExecutor(workers)
    )
    broken: BrokenProcessPool | None = None
    with pool:
        with quiet_fork():
            futures = {start: pool.submit(run, work, chunk) for start, chunk in chunks.items()}
        try:
            for start, future in futures.items():
                try:
                    results[start] = future.result()
                except BrokenProcessPool as error:  # a later chunk may have been done before
                    broken = error
                advance(CHUNK * len(results))
        except BaseException:  # Ctrl-C above all: don't wait for the chunks that nobody needs any more
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if broken is not None:
        raise broken


# In a worker ----------------------------------------------------------------------------------------------------------


PR_SET_PDEATHSIG = 1  # prctl(2)


def guard(parent: int) -> None:
    """The worst that a decoder can do is end this process: no core, no word on the terminal, `MEMORY` at most.

    And it dies with its parent: left alone, a pool's worker would wait for work for ever.
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
    limit = used + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit if most == resource.RLIM_INFINITY else min(limit, most), most))


def run_guarded(work: Callable[[Item], T], files: Sequence[Item]) -> list[T]:
    """`work` on each of the files, for `SECONDS` at most: then SIGALRM ends the process."""
    results = []
    try:
        for file in files:
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
            results.append(work(file))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return results


def run_unguarded(work: Callable[[Item], T], files: Sequence[Item]) -> list[T]:
    return [work(file) for file in files]


# Files that end a process ---------------------------------------------------------------------------------------------

FAULTS = {
    getattr(signal, name): f"crashes its decoder ({name})"
    for name in ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGFPE", "SIGILL")
    if hasattr(signal, name)
}


def one_by_one(work: Callable[[Item], T], files: Sequence[Item], what: str, lost: Callable[[str], T] | None) -> list[T]:
    """`work` on each file, in a process that says each result at once: one that dies was at the file after the last."""
    context = multiprocessing.get_context("fork")
    results: list[T] = []
    while len(results) < len(files):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=say_each, args=(os.getpid(), work, files[len(results) :], sender))
        with quiet_fork():
            process.start()
        sender.close()
        try:
            while True:
                result, error = receiver.recv()
                if error is not None:
                    raise error
                results.append(result)
        except EOFError:
            process.join()
        finally:
            receiver.close()
        if len(results) < len(files):
            results.append(verdict(files[len(results)], -(process.exitcode or 0), what, lost))
    return results


def say_each(parent: int, work: Callable[[Item], T], files: Sequence[Item], sender: Connection) -> None:
    guard(parent)
    for file in files:
        try:
            sender.send((run_guarded(work, [file])[0], None))
        except Exception as error:
            sender.send((None, error))


def verdict(file: object, number: int, what: str, lost: Callable[[str], T] | None) -> T:
    """The result for a file whose process was ended by a signal of this number."""
    reason = f"takes over {SECONDS} s to decode" if number == signal.SIGALRM else FAULTS.get(number)
    if reason is not None and lost is not None:
        return lost(reason)
    name = repr(str(file)) if isinstance(file, str | Path) else "an image"
    if reason is not None:
        raise RunError(f"{what}: {name} {reason}. Remove it, then retry.")
    raise RunError(f"{what}: a process was killed at {name}, perhaps for want of memory. Free some, then retry.")


@contextmanager
def file_progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr that counts files, gone when done; nothing where stderr is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)
