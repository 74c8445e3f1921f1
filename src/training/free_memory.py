"""How much memory a process may still take: of a GPU, or of the machine within all limits of the process.

psutil knows the machine's available memory, but neither a container's limit (control groups) nor `ulimit`, which are
most of this file.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

CGROUPS = Path("/sys/fs/cgroup")


def free_memory(device: torch.device) -> int:
    """Return the bytes that this process can still take on the device, with those that torch keeps unused.

    A GPU says what is free at this moment, whoever has the rest. Of the processes of one training none shares a GPU
    with another (NCCL refuses that), and the first asks for all. Trainings that begin side by side on one GPU may each
    take what they found: they need a number in `data.batch_size`.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return max(0, min(_rooms()))


def _rooms() -> Iterator[int]:
    """Yield the bytes left of the machine's memory, of each control group's, and of the process's own limits."""
    meminfo, membership = Path("/proc/meminfo"), Path("/proc/self/cgroup")
    if not meminfo.exists():  # other systems than Linux say how much there is, not how much is free
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
        return
    kilobytes = dict(line.split(":") for line in meminfo.read_text().splitlines())
    yield 1024 * int(kilobytes["MemAvailable"].split()[0])
    if membership.exists():
        yield from cgroup_rooms(membership.read_text(), CGROUPS)
    yield from _own_rooms()


def cgroup_rooms(membership: str, root: Path) -> Iterator[int]:
    """Yield the bytes left below each limit of the groups in `membership` (/proc/self/cgroup) and of their parents.

    Containers and batch systems set such limits:
    https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files and, of version 1,
    https://docs.kernel.org/admin-guide/cgroup-v1/memory.html
    """
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, names, dropped = root, ("memory.max", "memory.current"), "inactive_file"
        elif "memory" in controllers.split(","):
            base, names = root / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
            dropped = "total_inactive_file"
        else:
            continue
        group = base / path.lstrip("/")
        # Inside of a container the path may be that of the world outside, and the files lie at the root.
        for folder in (group, *group.parents):
            limit, used = (_number(folder / name) for name in names)
            if limit is not None and used is not None:
                yield limit - used + _cached(folder / "memory.stat", dropped)
            if folder == base:
                break


def _number(file: Path) -> int | None:
    """Return the number in a file; None without the file, or without a limit (`max`)."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _cached(file: Path, key: str) -> int:
    """Return the bytes of cached files: they count as used, and go as soon as somebody needs the memory."""
    try:
        values = dict(line.split() for line in file.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(values.get(key, 0))


def _own_rooms() -> Iterator[int]:
    """Yield what `ulimit -v` and `ulimit -d` leave."""
    if sys.platform != "linux":
        return
    import resource

    pages = [int(number) for number in Path("/proc/self/statm").read_text().split()]
    for limit, used in ((resource.RLIMIT_AS, pages[0]), (resource.RLIMIT_DATA, pages[5])):
        soft, _ = resource.getrlimit(limit)
        if soft != resource.RLIM_INFINITY:
            yield soft - used * resource.getpagesize()
