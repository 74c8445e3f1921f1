"""`python -m src.search`: which network for these images, in the minutes there are, how sure, at what cost."""

import logging
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig

from .activity import show
from .command.main import checked, main
from .command.next_steps import say_next
from .errors import InputError

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)


@checked
def search(cfg: "DictConfig", began: float | None = None) -> dict[str, Any]:
    """Search as the composed configuration says; return what search.json holds.

    Args:
        began: `time.monotonic()` from which its minutes count; None: now.

    Raises:
        InputError: A setting or the data are wrong; nothing is left behind.
        RunError: No candidate could be trained.
    """
    from .selection.session import run_search  # torch and Lightning, only now

    if not HydraConfig.initialized():
        raise InputError("a search is made of what is typed: python -m src.search data=folder data.root=PHOTOS")
    show("looking at the images")
    words = list(HydraConfig.get().overrides.task)
    record = run_search(cfg, words, time.monotonic() if began is None else began)
    say_next("search", folder=record.shown)
    return record.content


def _began() -> float:
    """Return when this process began, as `time.monotonic()` has it, where the system tells: loading takes seconds."""
    alive = 0.0
    with suppress(OSError, ValueError, IndexError):
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        alive = float(Path("/proc/uptime").read_text().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")
    return time.monotonic() - alive


def _from_the_start(cfg: "DictConfig") -> dict[str, Any]:
    return search(cfg, _began())


if __name__ == "__main__":
    main("search", _from_the_start)
