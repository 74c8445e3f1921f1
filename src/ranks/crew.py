"""The processes of one training, joined: the first hands out what it has decided, and none outlives another for long.

torch.distributed moves tensors. It waits for a process that has died for up to half an hour, some of its backends for
ever, and can't tell what that process died of. Here each process keeps a connection to the first: what ends one of
them ends all, at once, with one line and the same exit code.

    process 0                            process k
    share(name, make) makes, sends   →   share(name, make) waits, receives
    an error: record, line, exit     →   exit
    the same, with its words         ←   an error: says it, exits
"""

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, TypeVar

from ..errors import InputError, RunError
from .place import Place

Value = TypeVar("Value")
GiveUp = Callable[["Ended"], bool]

TOLD = (130, 143)
"""Exit codes of what was told to stop."""

SECONDS_TO_END = 5.0
"""What the first process has to notice by itself that another one is gone: mostly a collective fails at once."""

SECONDS_TO_UNWIND = 30.0
"""What a process that was told to stop has for it: loggers, and processes that read images, end."""

SECONDS_TO_KNOW = 2.0
"""How long an error waits for the news that another process, not this one, is the cause of it."""


class Ended(NamedTuple):
    """What ended a process: its exit code, what it said (its traceback too, for train.log), the signal that it got."""

    code: int
    message: str
    traceback: str = ""
    signal: int | None = None

    @property
    def told(self) -> bool:
        """Whether somebody told that process to stop."""
        return self.code in TOLD

    def error(self) -> BaseException:
        """Return the error that this makes here."""
        if self.code == 130:
            return KeyboardInterrupt()
        if self.code == 143:
            return SystemExit(143)
        return (InputError if self.code == 2 else RunError)(self.message)


class Crew:
    """The crew of a process alone, to begin with: it shares with nobody.

    Attributes:
        machines: how many there are, each with as many processes.
    """

    machines = 1

    def __init__(self, place: Place) -> None:
        self.place = place
        self.shared: list[tuple[str, Any]] = []  # also for those that Lightning starts later

    def share(self, name: str, make: Callable[[], Value], adopt: Callable[[Value], None] | None = None) -> Value:  # noqa: ARG002
        """Return what the first process makes, in all of them.

        `adopt` is called with it in one process of every other machine, before the others there go on: what lies on a
        disk may have to come to theirs, too. An error that the first one raises ends all.
        """
        value = make()
        self.shared.append((name, value))
        return value

    def must_end(self, code: int, signal: int | None) -> None:
        """Note that a signal is ending this process; where it hangs on the way out, it is ended all the same.

        A process that waits in a collective for one that has left answers no signal: only a thread can end it.
        """

    def end(self, code: int, message: str = "", traceback: str = "") -> None:
        """Part: what is left of the crew ends with this exit code."""

    @contextmanager
    def answering(self, give_up: GiveUp | None = None) -> Iterator[None]:  # noqa: ARG002
        """Raise what ended another process, in place of an error that only follows from it.

        Args:
            give_up: called, from a thread, with what happened where the block doesn't end by itself; then the process
                does. It returns whether it has said so.
        """
        yield


def follows(error: BaseException) -> bool:
    """Whether an error is a collective's, which fails because another process is gone."""
    from torch.distributed import DistError  # it has been imported where there are several processes

    link: BaseException | None = error
    while link is not None:
        if isinstance(link, DistError) or any(words in str(link) for words in ("gloo", "NCCL", "by peer")):
            return True
        link = link.__cause__ or link.__context__
    return False


def send(connection: Connection, words: Any) -> None:
    """Send what pickle takes: a connection's own `send` would pass torch's tensors as files of one machine."""
    connection.send_bytes(pickle.dumps(words))


def receive(connection: Connection) -> Any:
    """Return what was sent. Who has sent it has the key."""
    return pickle.loads(connection.recv_bytes())
