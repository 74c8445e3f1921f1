"""Which machine this is, for the record and before a device is asked for that isn't there."""

import os
import platform
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError


def describe_hardware() -> dict[str, Any]:
    """The processor's name, the cores that this process may use and the threads that torch takes, the memory in GiB,
    and the names of the GPUs.
    """
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),  # on which the last digit of a figure can depend
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
    }


def uses_cuda(accelerator: str) -> bool:
    """Whether this `trainer.accelerator` trains on a CUDA GPU here.

    Raises `InputError` where one is asked for and there is none, rather than after the data have been read.
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
