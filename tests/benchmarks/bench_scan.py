"""The scan of a large folder beside a bare parallel decode of the same files, in turn, in one run:

    python -m tests.benchmarks.bench_scan --files 100000

It makes that many small photographs (about 2 kB each, below --folder, removed in the end), and measures the seconds of

- bare: a pool of as many processes as there are cores opens and loads every file with Pillow;
- bare, an eighth: the same, but of a JPEG only an eighth of its size is reconstructed, as the scan does it;
- scan: what `data=folder` does with a folder it has never seen: list, decode, remember;
- again: the same with what it remembers;

each of the clock and of the processors, which other work on the machine disturbs less; and the most memory that all
processes of a scan held together, looked at every 0.2 s.
"""

import argparse
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from src.data.processes import cpu_count, fork_context
from src.data.sources import find_images
from tests.data.mutations import photograph

CLASSES = 10
CHUNK = 64


def make_part(root: Path, numbers: Sequence[int]) -> None:
    """Crops of a few large pictures, each at a place of its own, 96 to 128 pixels wide."""
    sources = [photograph(seed, (1024, 768)) for seed in range(8)]
    for number in numbers:
        random = np.random.default_rng(number)
        width, height = (int(side) for side in random.integers(96, 129, 2))
        left, top = int(random.integers(0, 1024 - width)), int(random.integers(0, 768 - height))
        picture = sources[number % 8].crop((left, top, left + width, top + height))
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
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        for position, values in enumerate(
            zip(*(held(process) for process in [parent, *map(int, children)]), strict=True)
        ):
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


def measure(root: Path, cache: Path, count: int, rounds: int) -> None:
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
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    peaks = []
    for _ in range(rounds):
        for name, work in works.items():
            if name == "scan":
                shutil.rmtree(cache, ignore_errors=True)
            peak = most_memory(lambda work=work, name=name: taken[name].append(seconds(work)))  # type: ignore[misc]
            peaks += [peak] if name == "scan" else []
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
        most = max(peak[position] for peak in peaks)
        print(f"{kind}: {most / 1e6:.0f} MB at most in a scan, {before[position] / 1e6:.0f} MB before it")
    print(f"manifest: {sum(file.stat().st_size for file in cache.iterdir()) / 1e6:.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to make the files (default: the system's temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        root, cache = Path(folder, "files"), Path(folder, "cache")
        os.environ["RESLENS_CACHE"] = str(cache)
        print(f"made in {seconds(lambda: make_files(root, arguments.files))[0]:.0f} s", flush=True)
        measure(root, cache, arguments.files, arguments.rounds)


if __name__ == "__main__":
    main()
