"""Being told to stop: the batch at hand is finished and a checkpoint written; told twice, it ends at once."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

log = logging.getLogger(__name__)

# SLURM sends SIGUSR1 some time before it ends a job (sbatch --signal), any system SIGTERM.
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]

SECONDS_UNTIL_SAID = 1.0
"""Until it is said that the run is about to stop. Most batches are over before, and the line at its end is enough."""


class Stop:
    """Whether somebody wants the training to stop. Truthy from then on; `signal` says which way."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._notice: threading.Timer | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    def ask(self, number: int, _: FrameType | None = None) -> None:
        """The handler of a signal."""
        if self:
            self.leave(number)
        self.signal = number
        # Said by a thread: the handler may have interrupted somebody who is printing, and then can't.
        self._notice = threading.Timer(SECONDS_UNTIL_SAID, self._say)
        self._notice.daemon = True
        with suppress(RuntimeError):  # there is no memory for a thread: it is not said, then
            self._notice.start()

    def leave_if_asked(self) -> None:
        """Raise what ends the process, where somebody wants it to."""
        if self:
            self.leave()

    def leave(self, number: int | None = None) -> None:
        """Raise what ends the process: KeyboardInterrupt for Ctrl-C (exit 130), else SystemExit(143)."""
        self._say_nothing_more()
        if (number or self.signal) == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + signal.SIGTERM)

    @contextmanager
    def patience(self) -> Iterator[None]:
        """In the block a signal waits for somebody to call `leave_if_asked`, at the latest for the block's end.

        An exception out of a signal's handler would meet Lightning in the midst of its own tidying up, which then
        raises another one instead, or a destructor, which swallows it.
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
        """Take the signals from now on; outside the main thread, which alone gets them, do nothing."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self.ask)

    def _say_nothing_more(self) -> None:
        """An error's line, for one, is the last."""
        if self._notice is not None:
            self._notice.cancel()

    def _say(self) -> None:
        assert self.signal is not None
        name = signal.Signals(self.signal).name
        log.info("%s: stopping after this batch, with a checkpoint; again stops at once", name)
