"""The first process of a training: it listens, hands out, and answers for what ends another."""

import logging
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, Listener, answer_challenge, deliver_challenge
from typing import Any

from ..errors import InputError, RunError
from .crew import (
    SECONDS_TO_END,
    SECONDS_TO_KNOW,
    SECONDS_TO_UNWIND,
    Crew,
    Ended,
    GiveUp,
    Value,
    follows,
    receive,
    send,
)
from .place import Place

SECONDS_TO_MEET = 300
"""How long processes wait for each other at the start: Python and torch may lie on a slow, shared disk."""


class Leader(Crew):
    """The first process, which listens. Its threads read; they never touch the training.

    Args:
        host: where it can be reached, and from where: 127.0.0.1 alone, or all networks of this machine.
    """

    def __init__(self, place: Place, host: str) -> None:
        super().__init__(place)
        self._listener = Listener((host if host == "127.0.0.1" else "", 0), backlog=place.size)
        self._key = secrets.token_bytes(32)
        self.address = f"{host} {self._listener.address[1]} {self._key.hex()}"
        self._change = threading.Condition()
        self._others: dict[Place, Connection] = {}
        self._parted: set[Place] = set()
        self._ready: set[tuple[str, Place]] = set()
        self._ended: Ended | None = None
        self._give_up: list[GiveUp] = []
        self._guard: threading.Timer | None = None
        self._leaves = False  # a thread is ending this process
        self._over = False  # the main thread is, and needs no help
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

    def must_end(self, code: int, signal: int | None) -> None:
        """As in all. The others have ended by then, mostly: from now on this one has more time than they gave it."""
        with self._change:
            self._ended = self._ended or Ended(code, "", signal=signal)
            self._arm(SECONDS_TO_UNWIND)

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
            if not isinstance(error, (InputError, RunError, KeyboardInterrupt)):
                # A launcher ends all when one has died: its SIGTERM comes together with the news.
                with self._change:
                    self._change.wait_for(lambda: self._ended, SECONDS_TO_KNOW if follows(error) else 0.5)
            self._take_over()
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
            except Exception:  # somebody has hung up, or it has been closed
                if self._over:
                    return
                time.sleep(0.05)
                continue
            threading.Thread(target=self._listen, args=(connection,), daemon=True, name="crew").start()

    def _listen(self, connection: Connection) -> None:
        """Read what one of the others says, until it parts. Who never shows the key keeps nobody else waiting."""
        try:
            deliver_challenge(connection, self._key)
            answer_challenge(connection, self._key)
            other, process = receive(connection)
        except (OSError, EOFError, AuthenticationError):
            connection.close()
            return
        with self._change:
            if any(other.rank == known.rank for known in self._others):
                connection.close()  # of another training, which was told to meet at the same place
                return
            self._others[other] = connection
            for name, value in self.shared:
                self._send(other, "share", name, value)
            self._change.notify_all()
        try:
            while True:
                word, *rest = receive(connection)
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
        self._arm(SECONDS_TO_END)

    def _arm(self, seconds: float) -> None:
        if self._guard is not None:
            self._guard.cancel()
        self._guard = threading.Timer(seconds, self._leave)
        self._guard.daemon = True
        with suppress(RuntimeError):  # no memory for a thread
            self._guard.start()

    def _take_over(self) -> None:
        """Let the main thread end the process by itself, unless the guard is doing so: then only wait for it."""
        with self._change:
            self._change.wait_for(lambda: not self._leaves)
            self._over = True

    def _leave(self) -> None:
        with self._change:
            if self._over or self._ended is None:
                return
            self._leaves = True
        said = False
        try:
            for give_up in reversed(self._give_up):  # of the innermost block first
                with suppress(Exception):
                    said = said or give_up(self._ended)
            if not said:
                print(
                    "interrupted" if self._ended.told else f"error: {self._ended.message}", file=sys.stderr, flush=True
                )
            self.end(self._ended.code)
        finally:
            os._exit(self._ended.code)

    def _send(self, other: Place, *words: Any) -> None:
        """Send to a process; whether it is still there, its own thread finds out."""
        with suppress(OSError, ValueError):
            send(self._others[other], words)
