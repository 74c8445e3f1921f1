"""Freed memory is kept while a network trains, and given back afterwards and before a fork."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from src.training.heap import freed_memory_kept

BLOCK = 64 * 2**20
"""Bytes; glibc maps a block of this size by itself."""


def faults(size: int) -> int:
    """Pages that the kernel had to find for a tensor that is filled and freed again."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(size, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def check() -> None:
    faults(BLOCK)
    before = resident()
    for _ in range(2):
        with freed_memory_kept():
            pages = 0.1 * BLOCK / resource.getpagesize()
            # Not at once: alignment leaves splinters that glibc first has to collect.
            assert any(faults(BLOCK) < pages for _ in range(100))
            assert resident() > before + 0.9 * BLOCK
            child = os.fork()
            if child == 0:
                os._exit(resident() > before + 0.1 * BLOCK)
            assert os.waitpid(child, 0)[1] == 0
            faults(BLOCK)
        assert resident() < before + 0.1 * BLOCK
        faults(BLOCK)
        assert resident() < before + 0.1 * BLOCK


@pytest.mark.skipif(
    sys.platform != "linux" or "CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="glibc is what is told to"
)
def test_freed_memory_is_kept_as_long_as_it_is_asked_for() -> None:
    """In a process of its own, whose heap nobody else has used."""
    code = "from tests.training.test_heap import check; check()"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
