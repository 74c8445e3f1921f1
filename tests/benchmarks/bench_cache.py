"""What `data.cache` costs and gives: reading alone as the number of files grows, training steps, and first starts.

    python -m tests.benchmarks.bench_cache --files 1000 10000 100000
    python -m tests.benchmarks.bench_cache --train --root data
    python -m tests.benchmarks.bench_cache --first 128 --data folder --root PHOTOS

The first makes so many small photographs (about 2 kB each, in the system's temporary folder, removed in the end), and
reads one epoch of training images at 64 px, at most --most of them, as a training with two workers does: kept or not,
flipped and shifted (`squares`) or cropped at random (`crops`). It shows images/s, processor milliseconds an image of
all processes, the most memory (PSS) of them together, and what filling took.

The second trains ResNet-18 at 128², batch 32, on cats and dogs (--data, and more settings at the end, change that),
with two loaders in turns every few batches: one reads the JPEGs, one what is kept. The third starts for the first time,
in turns with the check of all files and the filling apart, and together. Only the ratios of a round mean something, and
best those of processor time, which other work on the machine disturbs least.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from torch.nn import functional

from src.data import ImageDataModule
from src.data.datasets import ImageLoader
from src.data.processes import cpu_count
from src.runs.folder import RunFolder
from src.settings import composing  # noqa: F401  # which knows what ${usual_monitor:} means
from src.training.assemble import Parts, assemble
from src.training.optimizers import build_optimizer
from tests.benchmarks.bench_scan import make_files, most_memory
from tests.benchmarks.ratios import show

PLENTY = 1 << 40

CHANGES = {
    "squares": {"flip": True, "shift": 4, "scale": 1.0, "color": 0.0},
    "crops": {"flip": True, "shift": 0, "scale": 0.35, "color": 0.0},
}


def processor_seconds() -> float:
    """Of this process, of those that it has waited for, and of those that are there."""
    own = psutil.Process()
    living = [sum(child.cpu_times()[:2]) for child in own.children(recursive=True)]
    return sum(own.cpu_times()[:4]) + sum(living)


def read(loader: ImageLoader, most: int) -> tuple[int, float, float]:
    """Read at most so many images; return how many, and the seconds of clock and processors."""
    wall, cpu, images = time.perf_counter(), processor_seconds(), 0
    for batch, _ in loader:
        images += len(batch)
        if images >= most:
            break
    return images, time.perf_counter() - wall, processor_seconds() - cpu


def grow(root: Path, cache: Path, count: int, most: int, ways: list[str]) -> None:
    """Print a row for each way to change the pictures and to keep them."""
    for changes in ways:
        augment = CHANGES[changes]
        for how in ("none", "disk"):
            data = ImageDataModule(
                name="folder", root=root, image_size=64, in_channels=3, batch_size=128, num_workers=2, cache=how,
                augment=augment,
            )  # fmt: skip
            data.setup()
            start, cpu = time.perf_counter(), processor_seconds()
            data.use_kept(data.keep_pictures(PLENTY))
            filling = f"{time.perf_counter() - start:.1f} s, {processor_seconds() - cpu:.1f} s of processors"
            size = sum(path.stat().st_size for path in cache.rglob("*.pixels"))
            read(data.train_dataloader(), most)
            found: list[tuple[int, float, float]] = []
            peak = most_memory(lambda data=data, found=found: found.append(read(data.train_dataloader(), most)))  # type: ignore[misc]
            images, wall, used = found[0]
            print(
                f"{count:8,} {changes:8} {how:5} {images / wall:7.0f} images/s  {1000 * used / images:6.3f} ms an image"
                f"  {peak[0] / 1e6:6.0f} MB PSS  filling {filling}, {size / 1e6:.0f} MB kept",
                flush=True,
            )


def config(arguments: argparse.Namespace, *overrides: str) -> DictConfig:
    with initialize_config_dir(config_dir=str(Path(__file__).parents[2] / "conf"), version_base="1.3"):
        words = [
            f"data={arguments.data}", f"data.root='{arguments.root}'", "data.image_size=128", "data.batch_size=32",
            "model=resnet18", "callbacks=none", "logger=none", "trainer=cpu", "baseline=false", "cost=false",
            *overrides, *arguments.settings,
        ]  # fmt: skip
        return compose("train", overrides=words)


def steps(parts: Parts) -> Iterator[int]:
    """Training steps for ever; the images of each."""
    module, bf16 = parts.module, parts.trainer.precision == "bf16-mixed"
    optimizer, loader = build_optimizer(module.network, **module.hparams["optimizer"]), parts.data.train_dataloader()
    module.train()
    while True:
        for images, targets in loader:
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = functional.cross_entropy(module(images), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield len(targets)


class Loop:
    """Training steps on one loader; of each turn images/s and processor seconds an image."""

    def __init__(self, parts: Parts) -> None:
        self.data = parts.data
        self.steps: Iterator[int] = steps(parts)
        self.rates: list[float] = []
        self.costs: list[float] = []

    def turn(self, batches: int) -> None:
        wall, cpu = time.perf_counter(), processor_seconds()
        images = sum(next(self.steps) for _ in range(batches))
        self.rates.append(images / (time.perf_counter() - wall))
        self.costs.append((processor_seconds() - cpu) / images)


def train(arguments: argparse.Namespace) -> None:
    words = (f"data.max_images={arguments.images}",)
    loops = {
        how: Loop(assemble(config(arguments, *words, f"data.cache={how}"), RunFolder(Path("none"))))
        for how in ("none", *arguments.cache)
    }
    for _ in range(3):
        for how, loop in loops.items():
            for split in ("train", "val"):
                images, _, used = read(getattr(loop.data, f"{split}_dataloader")(), arguments.images)
                print(f"reading alone, {split}, {how}: {1000 * used / images:.3f} ms an image", flush=True)
    for _ in range(arguments.rounds + 1):  # the first is a warm-up
        for loop in loops.values():
            loop.turn(arguments.batches)
        print("  ".join(f"{how} {1000 * loop.costs[-1]:.2f} ms" for how, loop in loops.items()), flush=True)
    none = loops.pop("none")
    for how, loop in loops.items():
        show(f"images/s, {how} / none", [ours / its for ours, its in zip(loop.rates[1:], none.rates[1:], strict=True)])
        ratios = [its / ours for ours, its in zip(loop.costs[1:], none.costs[1:], strict=True)]
        show(f"images a processor second, {how} / none", ratios)


def start(arguments: argparse.Namespace, cache: Path) -> None:
    """Print what first starts cost: checking and filling apart and together."""
    for changes in arguments.changes:
        ratios = []
        for _ in range(arguments.rounds):
            apart, together = (first_start(arguments, cache, changes, free) for free in (None, PLENTY))
            ratios.append(sum(together) / sum(apart))
            costs = [f"{1000 * cost:.2f}" for cost in (*apart, sum(together))]
            print("milliseconds a file: checking {}, filling {}; together {}".format(*costs), flush=True)
        show(f"processor time together / apart, {changes}", ratios)


def first_start(arguments: argparse.Namespace, cache: Path, changes: str, free: int | None) -> tuple[float, float]:
    """Return the processor seconds a file that finding the images takes, and then keeping their pictures."""
    shutil.rmtree(cache, ignore_errors=True)
    data = ImageDataModule(
        name=arguments.data, root=arguments.root, image_size=arguments.first, in_channels=3, augment=CHANGES[changes],
        decode="fast",
    )  # fmt: skip
    begun = processor_seconds()
    data.take(data.find(download=False, free=free))
    data.setup()
    found = processor_seconds()
    data.use_kept(data.keep_pictures(PLENTY))
    count = len(data.found.paths)
    return (found - begun) / count, (processor_seconds() - found) / count


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--files", type=int, nargs="+", default=[1000, 10_000, 100_000])
    options.add_argument("--most", type=int, default=20_000, help="images that are read of an epoch")
    options.add_argument("--changes", nargs="+", choices=CHANGES, default=[*CHANGES])
    options.add_argument("--train", action="store_true", help="train instead")
    options.add_argument("--first", type=int, metavar="SIZE", help="start for the first time instead, at this size")
    options.add_argument("--data", default="catsdogs")
    options.add_argument("--root", type=Path, default=Path("data"))
    options.add_argument("--cache", nargs="+", default=["auto"])
    options.add_argument("--images", type=int, default=2000)
    options.add_argument("--batches", type=int, default=8, help="of each loader in a round")
    options.add_argument("--rounds", type=int, default=10)
    options.add_argument("settings", nargs="*", help="of the training, such as model=resnet50")
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RESLENS_CACHE"] = str(Path(folder, "cache"))
        if arguments.train:
            return train(arguments)
        if arguments.first:
            return start(arguments, Path(folder, "cache"))
        for count in arguments.files:
            root, cache = Path(folder, f"files{count}"), Path(folder, "cache")
            make_files(root, count)
            print(f"{count:,} files, {cpu_count()} cores", flush=True)
            grow(root, cache, count, arguments.most, arguments.changes)
    return None


if __name__ == "__main__":
    main()
