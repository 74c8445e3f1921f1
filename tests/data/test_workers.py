"""What is said of a process that reads images and dies. (tests/test_faults.py kills real ones.)"""

import signal

import pytest

from src.data.workers import deaths_named
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


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="^something else$"), deaths_named():
        raise RuntimeError("something else")
