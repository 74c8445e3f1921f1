"""How a command answers signals that tell it to stop, while no training does (`src.resuming.stopping`)."""

import os
import signal
from types import FrameType
from typing import Any

OMEGACONF = f"{os.sep}omegaconf{os.sep}"
SECONDS = 0.1  # until the next look at what must not be interrupted


def answer_signals() -> None:
    """Make Ctrl-C raise KeyboardInterrupt, and SIGTERM, SLURM's notice of it (SIGUSR1) or SIGHUP SystemExit(143).

    An import is never interrupted: C extensions, torch's above all, turn what is raised in them into another error or
    into none. Nor is OmegaConf, which fails while it tidies up. The signal waits until the outermost of them is done.
    What is ignored stays ignored: Ctrl-C in the background, and by nohup the end of the terminal (SIGHUP).
    """
    told = 0

    def leave(number: int, frame: FrameType | None) -> None:
        nonlocal told
        told = told if number == alarm else number
        if alarm is not None:
            signal.setitimer(signal.ITIMER_REAL, SECONDS if _is_delicate(frame) else 0)
            if _is_delicate(frame):
                return
        if told == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + signal.SIGTERM)

    # Windows has neither a timer nor SIGUSR1.
    alarm: Any = getattr(signal, "SIGALRM", None)
    for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP", "SIGALRM"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, leave)


def _is_delicate(frame: FrameType | None) -> bool:
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith("<frozen importlib") or OMEGACONF in file:
            return True
        frame = frame.f_back
    return False
