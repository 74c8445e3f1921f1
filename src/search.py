"""`python -m src.search`: which network for these images, in the minutes there are, how sure, at what cost."""

import logging
import time
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig

from .activity import show
from .command.main import checked, main
from .command.next_steps import say_next
from .errors import InputError

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)

LOADED = 1.0
"""Seconds that Python has taken until here, about."""

BEGAN = time.monotonic() - LOADED


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


def _since_the_start(cfg: "DictConfig") -> dict[str, Any]:
    return search(cfg, BEGAN)


if __name__ == "__main__":
    main("search", _since_the_start)
