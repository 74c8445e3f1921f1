"""How many batches /dev/shm has room for, where workers leave them: Docker gives it 64 MB."""

import logging
import shutil
import time
from contextlib import suppress
from pathlib import Path

import torch

log = logging.getLogger(__name__)

SHARED = Path("/dev/shm")
MORE = "give it more (docker run --shm-size=8g, or --ipc=host)"

PAGE = 4096  # bytes that the targets of a batch take at least

AHEAD = 2
"""Batches that each worker makes before they are asked for, as PyTorch does by default (`prefetch_factor`)."""


def fit_workers(wanted: int, batch: int, sharers: int = 1) -> tuple[int, int]:
    """Return how many workers, and batches ahead of each, there is room for beside two batches in use: one, and the
    next, which comes before the first is let go.

    Eight workers with batches of 64 images of 224 px want 173 MB. Fewer may be slower, but they don't fail.

    Args:
        wanted: workers, from 0.
        batch: bytes of a batch.
        sharers: processes that share the memory, each with so many workers.
    """
    if wanted == 0 or not SHARED.is_dir():
        return wanted, AHEAD
    room = max(0, shutil.disk_usage(SHARED).free // sharers // (batch + PAGE) - 2)
    workers = min(wanted, room)
    return workers, AHEAD if room >= workers * AHEAD else 1


def say_fewer(workers: int, wanted: int) -> None:
    log.warning(
        "%s is too small for the batches of %d processes that read images, so that %d do, which may be slower: %s",
        SHARED, wanted, workers, MORE,
    )  # fmt: skip


def share(part: torch.Tensor) -> torch.Tensor:
    """Move a tensor to memory shared with the parent, and wait up to five seconds for room.

    The worker that sent a batch holds it for a moment longer than the parent may need it, on a busy machine.

    Raises:
        RuntimeError: there is still no room.
    """
    for _ in range(500 if SHARED.is_dir() else 0):
        with suppress(RuntimeError):  # another worker may have been faster
            if shutil.disk_usage(SHARED).free >= part.nbytes:
                return part.share_memory_()  # type: ignore[no-untyped-call, no-any-return]
        time.sleep(0.01)
    return part.share_memory_()  # type: ignore[no-untyped-call, no-any-return]
