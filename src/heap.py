"""Memory that is freed stays with the process, so that the next batch finds it there."""

import ctypes
import os
import re
from collections.abc import Mapping

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h

_kept = False


def keep_heap() -> None:
    """Let glibc keep what this process frees, for a process that is a verb's own: a notebook's is somebody else's.

    By itself glibc gives large blocks back to the system at once, and a batch's activations are large blocks: each step
    gets new pages, which the kernel fills with zeros one by one (mallopt(3)). Where there is no glibc, or somebody has
    chosen otherwise, nothing changes. [What it brings](training/README.md#the-heap-kept).
    """
    global _kept
    if _kept or not _is_glibc() or is_chosen(os.environ):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    _kept = bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))


def is_kept() -> bool:
    return _kept


def is_chosen(environment: Mapping[str, str]) -> bool:
    """Return whether the environment says how memory is allocated: by settings of glibc's, or another allocator."""
    preloaded = re.search("malloc", environment.get("LD_PRELOAD", ""))  # jemalloc, tcmalloc, mimalloc
    tuned = "glibc.malloc." in environment.get("GLIBC_TUNABLES", "")
    return bool(preloaded) or tuned or any(name.startswith("MALLOC_") for name in environment)


def _is_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError, OSError):  # Windows has no confstr; musl and macOS don't know the name
        return False
