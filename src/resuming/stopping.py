"""Signals that stop a run: the first finishes the batch and writes a checkpoint, the second ends the run at once.

Lightning 2.6.6 answers SIGTERM by raising after the batch, without a checkpoint of its middle, and Ctrl-C by ending in
whatever line it is; neither knows a second signal.
"""

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from ..ranks.joining import crew

log = logging.getLogger(__name__)

# SLURM sends SIGUSR1 some time before it ends a job (sbatch --signal), any system SIGTERM; SIGHUP comes when a
# terminal is closed, or the connection to it lost.
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP") if hasattr(signal, name)]

SECONDS_OF_ONE_REQUEST = 2.0
"""Two signals within this time are one request, unless somebody presses Ctrl-C twice: Slurm sends a job that it
preempts SIGTERM twice within milliseconds, and torchrun passes on what has come to its processes as well."""

SECONDS_UNTIL_SAID = 1.0
"""How long the run waits before it says that it is stopping: most batches end sooner, and the last line is enough."""


class Stop:
    """Whether somebody wants the training to stop: true from then on. `signal` is the signal that asked."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._asked_at = 0.0
        self._notice: threading.Timer | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    def ask(self, number: int, _: FrameType | None = None) -> None:
        """Handle a signal."""
        if self:
            if number == signal.SIGINT or time.monotonic() - self._asked_at > SECONDS_OF_ONE_REQUEST:
                self.leave(number)
            return
        self.signal, self._asked_at = number, time.monotonic()
        # A thread says it: the handler may have interrupted a print, and could not print itself.
        self._notice = threading.Timer(SECONDS_UNTIL_SAID, self._say)
        self._notice.daemon = True
        with suppress(RuntimeError):  # no memory for a thread: then nobody says it
            self._notice.start()

    def leave_if_asked(self) -> None:
        """End the process if somebody asked for it."""
        if self:
            self.leave()

    def leave(self, number: int | None = None) -> None:
        """Raise KeyboardInterrupt for Ctrl-C (exit 130), or else SystemExit(143)."""
        self._say_nothing_more()
        number = number or self.signal
        code = 128 + (signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)
        crew().must_end(code, self.signal)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(code)

    @contextmanager
    def patience(self) -> Iterator[None]:
        """Let signals wait until somebody calls `leave_if_asked`, at the latest at the block's end.

        An exception from a signal handler could hit Lightning while it tidies up, which then raises another one, or a
        destructor, which swallows it.
        """
        before = {number: signal.getsignal(number) for number in SIGNALS}
        self.listen()
        try:
            yield
        finally:
            self._say_nothing_more()
            if threading.current_thread() is threading.main_thread():
                for number, handler in before.items():
                    # None is a handler that Python did not set, and cannot set again
                    signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self.leave_if_asked()

    def listen(self) -> None:
        """Handle the signals from now on; do nothing outside the main thread, which alone gets them.

        One that is ignored stays ignored, as by nohup, and so does one that submitit answers: it requeues by itself.
        """
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                handler = signal.getsignal(number)
                if handler is not signal.SIG_IGN and not getattr(handler, "__module__", "").startswith("submitit"):
                    signal.signal(number, self.ask)

    def _say_nothing_more(self) -> None:
        """Cancel the notice: the line about an error, for one, must come last."""
        if self._notice is not None:
            self._notice.cancel()

    def _say(self) -> None:
        assert self.signal is not None
        name = signal.Signals(self.signal).name
        log.info("%s: stopping after this batch, with a checkpoint; again stops at once", name)
