"""A command in a session of its own, as at a terminal: it can be killed with all its processes, and leaves none.

It is forked, so that torch and Lightning are there already, and ends as an interpreter does.
"""

import atexit
import ctypes
import faulthandler
import gc
import logging
import os
import pty
import resource
import signal
import sys
import threading
import time
import traceback
import warnings
from importlib import import_module
from multiprocessing import util
from pathlib import Path
from types import TracebackType

import rich
from torch.utils.data import _utils

from src.command.main import main
from src.data.processes import quiet_fork


class Launched:
    """`python -m src.train WORDS` in `cwd`. All that its processes say comes together in `said`.

    Args:
        terminal: whether it stands at a terminal of its own, where Ctrl-C is a key.
        memory: the bytes that it may take, beside what a process has that has imported everything.
    """

    def __init__(self, *words: str, cwd: Path, terminal: bool = False, memory: int | None = None) -> None:
        reader, writer = pty.openpty() if terminal else os.pipe()
        with quiet_fork():
            self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(reader)
                _stand(writer, terminal)
                if memory is not None:
                    limit_memory(memory)
                _become(words, cwd)
            finally:
                os._exit(99)
        os.close(writer)
        self._output = bytearray()
        self._reader, self._terminal = reader, terminal
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._code: int | None = None

    def __enter__(self) -> "Launched":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        self.code(10)
        self._listener.join(10)
        os.close(self._reader)

    @property
    def said(self) -> str:
        return self._output.decode(errors="replace").replace("\r\n", "\n")

    def key(self, key: bytes) -> None:
        """Press a key at its terminal."""
        os.write(self._reader, key)

    def is_alive(self) -> bool:
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code is None

    def work(self, seconds: float) -> bool:
        """Let it go on until it has worked for so many seconds of a processor: whether it is still alive then.

        On a machine that is busy with other things the clock would say nothing of how far it has come.
        """
        stat = Path(f"/proc/{self.pid}/stat")
        while self.is_alive():
            if sum(map(int, stat.read_text().rpartition(")")[2].split()[11:13])) >= seconds * os.sysconf("SC_CLK_TCK"):
                return True
            time.sleep(0.005)
        return False

    def code(self, seconds: float = 300) -> int:
        """Wait for its end; what a shell calls its exit code, or minus the signal that killed it."""
        end = time.monotonic() + seconds
        while self.is_alive():
            assert time.monotonic() < end, f"still at work after {seconds} s:\n{self.said}"
            time.sleep(0.01)
        assert self._code is not None
        return self._code

    def processes(self) -> list[int]:
        """Those of its session that are still there, itself too."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
            except (OSError, ValueError):  # it has just ended
                continue
            if int(session) == self.pid and state != "Z":
                found.append(int(stat.parent.name))
        return found

    def workers(self) -> list[int]:
        return [pid for pid in self.processes() if pid != self.pid]

    def _listen(self) -> None:
        while True:
            try:
                block = os.read(self._reader, 1 << 16)
            except OSError:  # how a terminal says that nobody is there any more
                return
            if not block:
                return
            self._output += block


def limit_memory(more: int) -> None:
    """Let this process, which was forked, take so many more bytes of addresses.

    What its parent has left lying about is thrown away first: what is freed later would add to what it may take.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + more, used + more))


def _stand(output: int, terminal: bool) -> None:
    """A session of its own, that says everything into `output`."""
    if terminal:
        os.login_tty(output)
        return
    os.setsid()
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    os.close(output)


def _become(words: tuple[str, ...], cwd: Path) -> None:
    """Take off all that belongs to the tests' process, and be the command."""
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w", buffering=1), open(2, "w", buffering=1)  # noqa: SIM115
    faulthandler.disable()
    warnings.simplefilter("default")
    for name in ("root", "lightning", "lightning.pytorch", "lightning.fabric"):  # as if they were imported later
        logging.getLogger(None if name == "root" else name).handlers.clear()
        logging.getLogger(name).propagate = True
    rich._console = None
    signal.signal(signal.SIGINT, signal.default_int_handler)
    atexit._clear()
    # what torch and the standard library have registered when they were imported
    atexit.register(util._exit_function)
    atexit.register(_utils._set_python_exit_flag)
    os.chdir(cwd)
    sys.argv = ["-m", *words]
    sys.orig_argv = [sys.executable, "-m", "src.train", *words]
    module, code = import_module("src.train"), 1
    try:
        main("train", module.train, after_sweep=module.compare)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    try:
        atexit._run_exitfuncs()
        sys.stdout.flush()
    finally:
        os._exit(code)
