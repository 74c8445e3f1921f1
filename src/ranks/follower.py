"""Any process of a training but the first: it takes what is handed out, writes nothing, and ends with the first."""

import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Client
from typing import Any

from .crew import (
    SECONDS_TO_END,
    SECONDS_TO_KNOW,
    SECONDS_TO_UNWIND,
    TOLD,
    Crew,
    Ended,
    GiveUp,
    Value,
    follows,
    receive,
    send,
)
from .place import Place

SECONDS_FOR_THE_FIRST = 2 * SECONDS_TO_UNWIND
"""How long a process that was told to stop waits for the first to end before it does."""


class Follower(Crew):
    """Any other process: it takes what the first hands out, writes nothing, and ends when the first does."""

    def __init__(self, place: Place, address: str) -> None:
        super().__init__(place)
        host, port, key = address.split()
        self._first = Client((host, int(port)), authkey=bytes.fromhex(key))
        send(self._first, (place._replace(environment=None), f"pid {os.getpid()} on {socket.gethostname()}"))
        self._handed_out = queue.Queue[tuple[str, Any]]()
        self._over = False
        self._signal: int | None = None
        self._gone = threading.Event()
        threading.Thread(target=self._listen, daemon=True, name="crew").start()

    def share(self, name: str, make: Callable[[], Value], adopt: Callable[[Value], None] | None = None) -> Value:  # noqa: ARG002
        came, value = self._handed_out.get()
        if came != name:
            raise RuntimeError(f"{self.place.name} waits for {name}, and the first hands out {came}")
        if adopt is not None and self.place.local_rank == 0:
            adopt(value)
            send(self._first, ("ready", name))
        return value  # type: ignore[no-any-return]

    def must_end(self, code: int, signal: int | None) -> None:
        self._signal = signal or self._signal
        timer = threading.Timer(SECONDS_TO_UNWIND, self._leave, (code,))
        timer.daemon = True
        with suppress(RuntimeError):  # no memory for a thread
            timer.start()

    def end(self, code: int, message: str = "", traceback: str = "") -> None:
        """Part. If all were told to stop, wait for the first to end: it has a record to write, and a job to requeue.

        A launcher would end it as soon as this process has ended. After an error this one ends at once, so that no
        collective waits for it.
        """
        self._over = True
        with suppress(OSError, ValueError):
            send(self._first, ("end", Ended(code, message, traceback, self._signal)))
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

    def _leave(self, code: int) -> None:
        if not self._over:
            self.end(code)
            os._exit(code)

    def _listen(self) -> None:
        try:
            while True:
                word, *rest = receive(self._first)
                if word == "end":
                    os._exit(rest[0])
                self._handed_out.put((rest[0], rest[1]))
        except (OSError, EOFError):
            if not self._over:
                os._exit(1)
        self._gone.set()
