"""Which machine this is, for the record and before a device is asked for that isn't there."""

import os
import platform
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError


def describe_hardware() -> dict[str, Any]:
    """Return the processor's name, this process's cores and torch's threads, the memory in GiB, and the GPUs' names."""
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),  # on which the last digit of a figure can depend
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
    }


def uses_cuda(accelerator: str) -> bool:
    """Return whether this `trainer.accelerator` trains on a CUDA GPU here.

    Raise `InputError` if one is wanted and there is none, before the data are read.
    """
    present = torch.cuda.is_available()
    if accelerator in ("gpu", "cuda") and not present and not torch.backends.mps.is_available():
        raise InputError(
            f"trainer.accelerator={accelerator}: torch finds no GPU on this machine; take trainer=cpu or auto"
        )
    return present and accelerator in ("auto", "gpu", "cuda")


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
