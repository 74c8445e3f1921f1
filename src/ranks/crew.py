"""The processes of one training, joined: the first hands out what it has decided, and none outlives another for long.

torch.distributed moves tensors. It waits for a process that has died for up to half an hour, some of its backends for
ever, and can't tell what that process died of. Here each process keeps a connection to the first: what ends one of
them ends all, at once, with one line and the same exit code.

    process 0                            process k
    share(name, make) makes, sends   →   share(name, make) waits, receives
    an error: record, line, exit     →   exit
    the same, with its words         ←   an error: says it, exits
"""

import logging
import os
import pickle
import queue
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Client, Connection, Listener
from typing import Any, NamedTuple, NoReturn, TypeVar

from ..errors import InputError, RunError
from .place import Place

log = logging.getLogger(__name__)

Value = TypeVar("Value")
GiveUp = Callable[["Ended"], None]

TOLD = (130, 143)
"""Exit codes of what was told to stop."""

SECONDS_TO_MEET = 300
"""How long processes wait for each other at the start: Python and torch may lie on a slow, shared disk."""

SECONDS_TO_END = 5.0
"""What the first process has to notice by itself that another one is gone: mostly a collective fails at once."""

SECONDS_FOR_THE_FIRST = 30.0
"""How long a process that was told to stop waits for the first to end before it does."""

SECONDS_TO_KNOW = 2.0
"""How long an error waits for the news that another process, not this one, is the cause of it."""


class Ended(NamedTuple):
    """What ended another process: its exit code, and what it said (its traceback too, for train.log)."""

    code: int
    message: str
    traceback: str = ""

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

    def ended(self) -> Ended | None:
        """Return what ended another process; None while all are there."""
        return None

    def end(self, code: int, message: str = "", traceback: str = "") -> None:
        """Part: what is left of the crew ends with this exit code."""

    @contextmanager
    def answering(self, give_up: GiveUp | None = None) -> Iterator[None]:  # noqa: ARG002
        """Raise what ended another process, in place of an error that only follows from it.

        Args:
            give_up: called, from a thread, with what happened where the block doesn't end by itself; then the process
                does.
        """
        yield


class Leader(Crew):
    """The first process, which listens. Its threads read; they never touch the training.

    Args:
        host: where it can be reached, and from where: 127.0.0.1 alone, or all networks of this machine.
    """

    def __init__(self, place: Place, host: str) -> None:
        super().__init__(place)
        self._listener = Listener((host if host == "127.0.0.1" else "", 0), backlog=place.size, authkey=(key := _key()))
        self.address = f"{host} {self._listener.address[1]} {key.hex()}"
        self._change = threading.Condition()
        self._others: dict[Place, Connection] = {}
        self._parted: set[Place] = set()
        self._ready: set[tuple[str, Place]] = set()
        self._ended: Ended | None = None
        self._give_up: list[GiveUp] = []
        self._over = False
        self.store: Any = None  # in which the others look for the address
        threading.Thread(target=self._accept, daemon=True, name="crew").start()

    @property
    def machines(self) -> int:  # type: ignore[override]
        return 1 + max((other.machine for other in self._others), default=0)

    def meet(self) -> None:
        """Wait until all processes have come; raise `RunError` where some don't."""
        until = time.monotonic() + SECONDS_TO_MEET
        with self._change:
            while len(self._others) + 1 < self.place.size and self._ended is None:
                if not self._change.wait(until - time.monotonic()):
                    raise RunError(
                        f"only {len(self._others) + 1} of {self.place.size} processes came within "
                        f"{SECONDS_TO_MEET // 60} min: see to the others, then start again"
                    )
        if self._ended is not None:
            raise self._ended.error()

    def share(self, name: str, make: Callable[[], Value], adopt: Callable[[Value], None] | None = None) -> Value:
        value = make()
        with self._change:
            self.shared.append((name, value))
            chiefs = [other for other in self._others if adopt and other.machine > 0 and other.local_rank == 0]
            for chief in chiefs:
                self._send(chief, "share", name, value)
            self._change.wait_for(lambda: self._ended or all((name, chief) in self._ready for chief in chiefs))
            if self._ended is not None:
                raise self._ended.error()
            for other in self._others.keys() - set(chiefs):
                self._send(other, "share", name, value)
        return value

    def ended(self) -> Ended | None:
        return self._ended

    def end(self, code: int, message: str = "", traceback: str = "") -> None:  # noqa: ARG002
        with self._change:
            self._over = True
            for other in self._others.keys() - self._parted:
                self._send(other, "end", code)
        with suppress(OSError):
            self._listener.close()

    @contextmanager
    def answering(self, give_up: GiveUp | None = None) -> Iterator[None]:
        hooks = [] if give_up is None else [give_up]
        self._give_up += hooks
        try:
            yield
        except BaseException as error:
            if isinstance(error, (InputError, RunError, KeyboardInterrupt)) and self._ended is None:
                raise
            # A launcher ends all when one has died: its SIGTERM comes together with the news.
            with self._change:
                self._change.wait_for(lambda: self._ended, SECONDS_TO_KNOW if follows(error) else 0.5)
            self._over = True
            if self._ended is None or (self._ended.told and isinstance(error, (KeyboardInterrupt, SystemExit))):
                raise
            if self._ended.traceback:
                logging.getLogger("traceback").warning("another process failed: %s", self._ended.traceback)
            raise self._ended.error() from error
        finally:
            for hook in hooks:
                self._give_up.remove(hook)

    def _accept(self) -> None:
        while not self._over:
            try:
                connection = self._listener.accept()
            except Exception:  # somebody without the key, or it has been closed
                if self._over:
                    return
                time.sleep(0.05)
                continue
            threading.Thread(target=self._listen, args=(connection,), daemon=True, name="crew").start()

    def _listen(self, connection: Connection) -> None:
        """Read what one of the others says, until it parts."""
        try:
            other, process = _receive(connection)
        except (OSError, EOFError):
            return
        with self._change:
            self._others[other] = connection
            for name, value in self.shared:
                self._send(other, "share", name, value)
            self._change.notify_all()
        try:
            while True:
                word, *rest = _receive(connection)
                with self._change:
                    if word == "ready":
                        self._ready.add((rest[0], other))
                    else:
                        self._parted.add(other)
                        if rest[0].code != 0:
                            self._note(rest[0])
                    self._change.notify_all()
        except (OSError, EOFError):
            with self._change:
                if other not in self._parted:
                    self._note(Ended(1, f"{other.name} ({process}) was killed, or has crashed: see why, then resume"))
                self._change.notify_all()

    def _note(self, ended: Ended) -> None:
        """Keep the first process's end, and end this one where it doesn't do so by itself."""
        if self._ended is not None or self._over:
            return
        self._ended = ended
        timer = threading.Timer(SECONDS_TO_END, self._leave)
        timer.daemon = True
        timer.start()

    def _leave(self) -> None:
        if self._over or self._ended is None:
            return
        for give_up in self._give_up:
            with suppress(Exception):
                give_up(self._ended)
        print("interrupted" if self._ended.told else f"error: {self._ended.message}", file=sys.stderr, flush=True)
        self.end(self._ended.code)
        os._exit(self._ended.code)

    def _send(self, other: Place, *words: Any) -> None:
        """Send to a process; whether it is still there, its own thread finds out."""
        with suppress(OSError, ValueError):
            _send(self._others[other], words)


class Follower(Crew):
    """Any other process: it takes what the first hands out, writes nothing, and ends when the first does."""

    def __init__(self, place: Place, address: str) -> None:
        super().__init__(place)
        host, port, key = address.split()
        self._first = _connect(host, int(port), bytes.fromhex(key))
        _send(self._first, (place._replace(environment=None), f"pid {os.getpid()} on {socket.gethostname()}"))
        self._handed_out = queue.Queue[tuple[str, Any]]()
        self._over = False
        self._gone = threading.Event()
        threading.Thread(target=self._listen, daemon=True, name="crew").start()

    def share(self, name: str, make: Callable[[], Value], adopt: Callable[[Value], None] | None = None) -> Value:  # noqa: ARG002
        came, value = self._handed_out.get()
        if came != name:
            raise RuntimeError(f"{self.place.name} waits for {name}, and the first hands out {came}")
        if adopt is not None and self.place.local_rank == 0:
            adopt(value)
            _send(self._first, ("ready", name))
        return value  # type: ignore[no-any-return]

    def end(self, code: int, message: str = "", traceback: str = "") -> None:
        """Part. If all were told to stop, wait for the first to end: it has a record to write, and a job to requeue.

        A launcher would end it as soon as this process has ended. After an error this one ends at once, so that no
        collective waits for it.
        """
        self._over = True
        with suppress(OSError, ValueError):
            _send(self._first, ("end", Ended(code, message, traceback)))
        if code in TOLD:
            self._gone.wait(SECONDS_FOR_THE_FIRST)

    @contextmanager
    def answering(self, give_up: GiveUp | None = None) -> Iterator[None]:  # noqa: ARG002
        """An error that only follows from another process's end is not told: the first knows better, and ends this."""
        try:
            yield
        except Exception as error:
            if follows(error):
                time.sleep(SECONDS_TO_KNOW + SECONDS_TO_END)
            raise

    def _listen(self) -> None:
        try:
            while True:
                word, *rest = _receive(self._first)
                if word == "end":
                    _leave_silently(rest[0])
                self._handed_out.put((rest[0], rest[1]))
        except (OSError, EOFError):
            if not self._over:
                _leave_silently(1)
        self._gone.set()


def follows(error: BaseException) -> bool:
    """Whether an error is a collective's, which fails because another process is gone."""
    from torch.distributed import DistError  # it has been imported where there are several processes

    link: BaseException | None = error
    while link is not None:
        if isinstance(link, DistError) or any(words in str(link) for words in ("gloo", "NCCL", "by peer")):
            return True
        link = link.__cause__ or link.__context__
    return False


def _connect(host: str, port: int, key: bytes) -> Connection:
    return Client((host, port), authkey=key)


def _send(connection: Connection, words: Any) -> None:
    """Send what pickle takes: the crew's own `send` would pass torch's tensors as files of one machine."""
    connection.send_bytes(pickle.dumps(words))


def _receive(connection: Connection) -> Any:
    return pickle.loads(connection.recv_bytes())  # of somebody who has the key


def _key() -> bytes:
    """Return a key without which nobody can say anything to the crew."""
    return secrets.token_bytes(32)


def _leave_silently(code: int) -> NoReturn:
    """End at once: this process writes nothing, and whatever it waits for won't come any more."""
    os._exit(code)
