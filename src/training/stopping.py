"""Being told to stop: the batch at hand is finished and a checkpoint written; told twice, it ends at once."""

import logging
import signal
import threading
from types import FrameType

log = logging.getLogger(__name__)

# SLURM sends SIGUSR1 some time before it ends a job (sbatch --signal), any system SIGTERM.
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]


class Stop:
    """Whether somebody wants the training to stop. Truthy from then on; `signal` says which way."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    def ask(self, number: int, _: FrameType | None = None) -> None:
        """The handler of a signal."""
        if self:
            self.leave(number)
        self.signal = number
        log.info("%s: stopping after this batch, with a checkpoint; again stops at once", signal.Signals(number).name)

    def leave(self, number: int | None = None) -> None:
        """Raise what ends the process: KeyboardInterrupt for Ctrl-C (exit 130), else SystemExit(143)."""
        if (number or self.signal) == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + signal.SIGTERM)

    def listen(self) -> None:
        """Take the signals from now on; outside the main thread, which alone gets them, do nothing."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self.ask)
