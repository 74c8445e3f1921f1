"""What is said of a process that reads images and dies. (tests/test_faults.py kills real ones.)"""

import os
import signal
import subprocess
import sys
import time

import pytest

from src.data.processes import fork_context
from src.data.workers import deaths_named, follow_parent
from src.errors import RunError


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGTERM])
def test_the_signal_is_named(number: signal.Signals) -> None:
    """As PyTorch words it when SIGCHLD comes."""
    words = f"DataLoader worker (pid 4711) is killed by signal: {signal.strsignal(number)}. "
    with pytest.raises(RunError, match=f"was killed by {number.name}[,:]"), deaths_named():
        raise RuntimeError(words)


class Dead:
    """A worker's process, as `multiprocessing` knows it."""

    def __init__(self, exitcode: int | None) -> None:
        self.exitcode = exitcode


@pytest.mark.parametrize(("code", "said"), [(-9, "was killed by SIGKILL,"), (3, "has died:")])
def test_the_workers_are_asked_where_it_has_no_name(code: int, said: str) -> None:
    with pytest.raises(RunError, match=said), deaths_named(lambda: [Dead(None), Dead(code)]):  # type: ignore[list-item]
        raise RuntimeError("DataLoader worker (pid(s) 4711, 4712) exited unexpectedly")


@pytest.mark.parametrize(
    "said",
    [
        "unable to allocate shared memory(shm) for file </torch_31_17_0>: No space left on device (28)",
        "unable to write to file </torch_31_17_0>: No space left on device (28)",
        "unable to mmap 4816896 bytes from file </torch_31_17_0>: Cannot allocate memory (12)",
        "Caught RuntimeError in DataLoader worker process 0.\nOriginal Traceback\n  RuntimeError: unable to resize "
        "file </torch_31_17_0> to the right size: No space left on device (28)",
    ],
)
def test_a_full_shared_memory_names_the_remedy(said: str) -> None:
    with pytest.raises(RunError, match="/dev/shm, is too small .*--shm-size.*data.num_workers=0"), deaths_named():
        raise RuntimeError(said)


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="^something else$"), deaths_named():
        raise RuntimeError("something else")


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")
def test_a_worker_whose_parent_is_gone_already_ends() -> None:
    """Killed between the worker's start and its first look, the parent is another process by then."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()

    def work() -> None:
        follow_parent(gone.pid)
        time.sleep(60)
        os._exit(1)

    context = fork_context()
    assert context is not None
    worker = context.Process(target=work)  # type: ignore[attr-defined]
    worker.start()
    worker.join(30)
    assert worker.exitcode == 0
