"""Images a second from files, shards and an S3 server on this machine: to fetch, and to read what is there.

python -m tests.benchmarks.bench_buckets FOLDER [--images 2000] [--rounds 3]

FOLDER holds class folders. Needs s3fs and moto. Ways take turns; fetching has its own empty cache each time.
"""

import argparse
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from src.data.bucket_copies import local_copy
from src.data.members import know, opened, read_index
from src.data.sources import folder
from tests.support.command_line import run_here
from tests.support.s3_server import serving, variables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, serving(Path(name), proxied=False) as server:
        place = Path(name)
        os.environ |= variables(server)
        chosen = choose(words.folder, place / "photos", words.images)
        result = run_here("data=folder", f"data.root={place / 'photos'}", "output=shards", cwd=place, verb="pack")
        assert result.returncode == 0, result.stderr
        upload(place, "photos", "shards")
        know(place / "shards", read_index(place / "shards") or [])
        found: dict[str, list[float]] = {}
        for _ in range(words.rounds):
            measure(found, "fetch files", len(chosen), lambda: fetch(place, "photos"))
            measure(found, "fetch shards", len(chosen), lambda: fetch(place, "shards"))
            measure(found, "one by one from the server", 200, lambda: one_by_one(chosen[:200]))
            measure(found, "read files", len(chosen), lambda: read(place / "photos", chosen))
            measure(found, "read members", len(chosen), lambda: read(place / "shards", chosen))
    for way, speeds in found.items():
        print(f"{way:<28}{statistics.median(speeds):>10,.0f} images/s ({min(speeds):,.0f} to {max(speeds):,.0f})")


def choose(source: Path, target: Path, images: int) -> list[str]:
    """Copy some whole pictures; return their paths in an order by chance."""
    paths = sorted(path for path in source.rglob("*.jpg") if path.stat().st_size)
    paths = random.Random(1).sample(paths, min(images, len(paths)))
    for path in paths:
        (target / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / path.parent.name / path.name)
    return [f"{path.parent.name}/{path.name}" for path in paths]


def upload(place: Path, *names: str) -> None:
    import fsspec

    system = fsspec.filesystem("s3", skip_instance_cache=True)
    system.mkdir("shots")
    for name in names:
        system.put(f"{place / name}/", f"shots/{name}/", recursive=True)


def measure(found: dict[str, list[float]], way: str, images: int, work: Callable[[], object]) -> None:
    start = time.perf_counter()
    work()
    found.setdefault(way, []).append(images / (time.perf_counter() - start))


def fetch(place: Path, name: str) -> None:
    with tempfile.TemporaryDirectory(dir=place) as cache:
        os.environ["RESLENS_CACHE"] = cache
        local_copy(f"s3://shots/{name}", folder.wanted)


def one_by_one(paths: list[str]) -> None:
    import fsspec

    system = fsspec.filesystem("s3", skip_instance_cache=True)
    for path in paths:
        system.cat_file(f"shots/photos/{path}")


def read(root: Path, paths: list[str]) -> None:
    for path in paths:
        with opened(root / path) as file:
            file.read()


if __name__ == "__main__":
    main()
