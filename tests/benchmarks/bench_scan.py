"""The scan of a large folder beside a bare parallel decode of the same files, in turn, in one run:

    python -m tests.benchmarks.bench_scan --files 100000
    python -m tests.benchmarks.bench_scan --files 10000 100000 1000000 --rounds 1 --audit

It makes that many small photographs (about 2 kB each, below --folder, removed in the end), and measures the seconds of

- bare: a pool of as many processes as there are cores opens and loads every file with Pillow;
- bare, an eighth: the same, but of a JPEG only an eighth of its size is reconstructed, as the scan does it;
- scan: what `data=folder` does with a folder it has never seen: list, decode, remember;
- again: the same with what it remembers;
- audit (`--audit`): `src.audit` of the same files, near duplicates among them, after the scan;

each of the clock and of the processors, which other work on the machine disturbs less; and the most memory that all
processes of a scan held together, looked at every 0.2 s. A table at the end has the exponents between sizes: processor
seconds grow with the number of files to this power.
"""

import argparse
import math
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import psutil
from PIL import Image

from src.data.processes import cpu_count, fork_context
from src.data.sources import find_images
from tests.data.mutations import photograph

CLASSES = 10
CHUNK = 64


def make_part(root: Path, numbers: Sequence[int]) -> None:
    """Crops of large pictures, 500 of each, 96 to 128 pixels wide: a few overlap so far that they are near twins."""
    seed, source = -1, photograph(0)
    for number in numbers:
        if number // 500 != seed:
            seed = int(number // 500)
            source = photograph(seed, (1024, 768))
        random = np.random.default_rng(number)
        width, height = (int(side) for side in random.integers(96, 129, 2))
        left, top = int(random.integers(0, 1024 - width)), int(random.integers(0, 768 - height))
        picture = source.crop((left, top, left + width, top + height))
        picture.save(root / f"class{number % CLASSES}" / f"{number:06d}.jpg", quality=85)


def make_files(root: Path, count: int) -> None:
    for number in range(CLASSES):
        (root / f"class{number}").mkdir(parents=True)
    with ProcessPoolExecutor(cpu_count(), mp_context=fork_context()) as pool:
        list(pool.map(partial(make_part, root), np.array_split(np.arange(count), cpu_count())))


def decode(paths: Sequence[str], *, eighth: bool) -> int:
    for path in paths:
        with Image.open(path) as image:
            if eighth:
                image.draft(None, (2, 2))
            image.load()
    return len(paths)


def bare(paths: Sequence[str], *, eighth: bool) -> None:
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    with ProcessPoolExecutor(cpu_count(), mp_context=fork_context()) as pool:
        assert sum(pool.map(partial(decode, eighth=eighth), chunks)) == len(paths)


def scan(root: Path, count: int) -> None:
    found = find_images("folder", root, download=False, max_skipped=0.0, options={})
    assert len(found.paths) == count


def audit(root: Path) -> None:
    words = ["data=folder", f"data.root={root}", f"output={root.parent / 'audit'}"]
    subprocess.run([sys.executable, "-m", "src.audit", *words], check=True, stdout=subprocess.DEVNULL)


# What is measured -----------------------------------------------------------------------------------------------------


def seconds(work: Callable[[], Any]) -> tuple[float, float]:
    """Of the clock, and of the processors, in this process and those that it started."""
    wall, cpu = time.perf_counter(), sum(os.times()[:4])
    work()
    return time.perf_counter() - wall, sum(os.times()[:4]) - cpu


KINDS = ("Pss", "Pss_Anon")


def held(process: int) -> tuple[int, ...]:
    """The bytes of a process: all, and those without the files that it has mapped, which are mostly PyTorch.

    They are PSS: pages that n processes share count as an n-th in each (proc(5), smaps_rollup).
    """
    found = dict.fromkeys(KINDS, 0)
    with suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            kind, _, value = line.partition(":")
            if kind in found:
                found[kind] = 1024 * int(value.split()[0])
    return tuple(found.values())


def watch(parent: int, peaks: Any) -> None:
    """Keep the most that `parent` and its children have held together; this process is one, and shares all it has."""
    while True:
        children = [child.pid for child in psutil.Process(parent).children(recursive=True)]
        for position, values in enumerate(zip(*(held(process) for process in [parent, *children]), strict=True)):
            peaks[position] = max(peaks[position], sum(values))
        time.sleep(0.2)


def most_memory(work: Callable[[], Any]) -> tuple[int, ...]:
    peaks = multiprocessing.Array("q", len(KINDS))
    watcher = multiprocessing.get_context("fork").Process(target=watch, args=(os.getpid(), peaks), daemon=True)
    watcher.start()
    work()
    watcher.kill()
    watcher.join()
    return tuple(peaks)


class Cost(NamedTuple):
    """Seconds of the clock and of the processors, and bytes (PSS)."""

    clock: float
    processors: float
    memory: int


def measure(root: Path, cache: Path, count: int, rounds: int, *, audited: bool) -> dict[str, Cost]:
    paths = [str(path) for path in sorted(root.rglob("*.jpg"))]
    size = sum(Path(path).stat().st_size for path in paths)
    print(f"{count:,} JPEG files, {size / count / 1000:.1f} kB each, {cpu_count()} cores", flush=True)
    before = held(os.getpid())
    works: dict[str, Callable[[], Any]] = {
        "bare": partial(bare, paths, eighth=False),
        "scan": partial(scan, root, count),
        "bare, an eighth": partial(bare, paths, eighth=True),
        "again": partial(scan, root, count),
    }
    if audited:
        works["audit"] = partial(audit, root)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    peaks: dict[str, list[tuple[int, ...]]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            if name == "scan":
                shutil.rmtree(cache, ignore_errors=True)
            peak = most_memory(lambda work=work, name=name: taken[name].append(seconds(work)))  # type: ignore[misc]
            peaks[name].append(peak)
    print("median seconds of the clock, of the processors")
    for name, values in taken.items():
        walls, cpus = zip(*values, strict=True)
        print(f"{name:16} {median(walls):7.2f} {median(cpus):7.2f}   clock: {', '.join(f'{w:.2f}' for w in walls)}")
    for name in ("bare", "bare, an eighth"):
        for which, unit in enumerate(("clock", "processors")):
            ratios = [one[which] / two[which] for one, two in zip(taken[name], taken["scan"], strict=True)]
            shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
            print(f"speed of the scan over that of {name}, by the {unit}: {median(ratios):.2f} ({shown})")
    for position, kind in enumerate(KINDS):
        most = max(peak[position] for peak in peaks["scan"])
        print(f"{kind}: {most / 1e6:.0f} MB at most in a scan, {before[position] / 1e6:.0f} MB before it")
    print(f"manifest: {sum(file.stat().st_size for file in cache.iterdir()) / 1e6:.1f} MB", flush=True)
    return {
        name: Cost(median(one[0] for one in taken[name]), median(one[1] for one in taken[name]), max(peaks[name])[0])
        for name in works
    }


def growth(costs: dict[int, dict[str, Cost]]) -> str:
    """Return a Markdown table of what each size costs, and the exponents from the size before."""
    lines = ["| | files | seconds | processor seconds | exponent | GB |", "|" + "---|" * 6]
    sizes = sorted(costs)
    for name in costs[sizes[0]]:
        for before, size in zip([None, *sizes], sizes, strict=False):
            clock, processors, memory = costs[size][name]
            power = ""
            if before is not None:
                power = f"{math.log(processors / costs[before][name].processors) / math.log(size / before):.2f}"
            lines.append(f"| {name} | {size:,} | {clock:.1f} | {processors:.1f} | {power} | {memory / 1e9:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, nargs="+", default=[100_000])
    parser.add_argument("--audit", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to make the files (default: the system's temporary folder)")
    arguments = parser.parse_args()
    costs: dict[int, dict[str, Cost]] = {}
    for count in arguments.files:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            root, cache = Path(folder, "files"), Path(folder, "cache")
            os.environ["RESLENS_CACHE"] = str(cache)
            print(f"made in {seconds(partial(make_files, root, count))[0]:.0f} s", flush=True)
            costs[count] = measure(root, cache, count, arguments.rounds, audited=arguments.audit)
    print(growth(costs))


if __name__ == "__main__":
    main()
