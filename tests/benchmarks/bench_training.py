"""Training speed of ResLens beside a bare loop, Lightning's defaults and timm's script: whole programs, in turns.

    python -m tests.benchmarks.bench_training [--pictures FOLDER] [--timm CHECKOUT] [--only resnet18:128 …]
        [--epochs 2] [--turn 8] [--csv FILE]

All train the same network on the same pictures, batch 32, random crops and mirroring, from scratch. `--pictures` is a
folder with a folder a class, such as PetImages; without it pictures are made. `--timm` is a checkout of timm's
repository; its `train.py` is given what is fastest here: channels_last, two loader processes and, on a CPU that gains
from it, bfloat16.

images/s is that of training batches, waiting for pictures included; ratios are those of neighbouring turns. Seconds
are those of the whole process, from the command to its end, of which ResLens spends some on measuring train,
validation and test images, Grad-CAM, a page and the network's cost. Memory is the most that all its processes take,
shared pages counted once.
"""

import argparse
import re
import statistics
import sys
import tempfile
from collections.abc import Sequence
from math import nan
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image

from src.training.hardware import describe_hardware
from tests.benchmarks.marked import BATCH, BF16, RATE, SCALE, has_stem
from tests.benchmarks.turns import Program, take_turns

ROOT = Path(__file__).parents[2]
NETWORKS = {"resnet18": 1.0, "resnet50": 0.25, "mini_resnet_basic_post": 1.0}
"""Networks, and how many of a size's pictures they train on, so that each takes some minutes."""

SIZES = {64: 2000, 128: 1000, 224: 500}
OURS, TIMM = "ResLens", "timm"
BATCH_LINE = re.compile(r"^batch (\d+) (\d+)$")
TIMM_LINE = re.compile(r"Train: (\d+) \[\s*\d+/\d+")


class Work(NamedTuple):
    """What all programs train."""

    model: str
    size: int
    pictures: int
    epochs: int

    def __str__(self) -> str:
        return f"{self.model} {self.size}²"


def our_mark(line: str) -> tuple[int, int] | None:
    found = BATCH_LINE.match(line)
    return None if found is None else (int(found[1]), int(found[2]))


def timm_mark(line: str) -> tuple[int, int] | None:
    found = TIMM_LINE.search(line)
    return None if found is None else (int(found[1]), BATCH)


def programs(work: Work, root: Path, output: Path, timm: Path | None) -> dict[str, Program]:
    marked = [sys.executable, "-m", "tests.benchmarks.marked"]
    plain = ["--root", root, "--model", work.model, "--size", work.size, "--epochs", work.epochs, "--output", output]
    words = [
        "data=folder", f"data.root={root}", f"model={work.model}", f"data.image_size={work.size}",
        f"data.batch_size={BATCH}", f"optimizer.lr={RATE}", f"trainer.max_epochs={work.epochs}",
        f"hydra.run.dir={output / 'run'}", *(["model.stem=imagenet"] if has_stem(work.model) else []),
    ]  # fmt: skip
    commands: dict[str, tuple[Sequence[object], object, Path]] = {
        OURS: ([*marked, "reslens", *words], our_mark, ROOT),
        "bare loop": ([*marked, "bare", *plain], our_mark, ROOT),
        "Lightning's defaults": ([*marked, "lightning", *plain], our_mark, ROOT),
    }
    if timm is not None and has_stem(work.model):
        classes = len(list((root / "train").iterdir()))
        script: list[object] = [
            sys.executable, "train.py", "--data-dir", root, "--train-split", "train", "--val-split", "val",
            "--model", work.model, "--num-classes", classes, "--img-size", work.size, "-b", BATCH,
            "--epochs", work.epochs, "--warmup-epochs", 1, "--opt", "sgd", "--lr", RATE, "--scale", SCALE, 1.0,
            "--color-jitter", 0, *(["--amp", "--amp-dtype", "bfloat16"] if BF16 else []), "--channels-last", "-j", 2,
            "--device", "cpu", "--log-interval", 1, "--output", output / "timm",
        ]  # fmt: skip
        commands[TIMM] = (script, timm_mark, timm)
    return {
        name: Program([str(word) for word in command], mark, folder)  # type: ignore[arg-type]
        for name, (command, mark, folder) in commands.items()
    }


def make_pictures(root: Path, number: int) -> None:
    """Write two classes of JPEGs as large as photographs on the web, with as much detail as these."""
    random = np.random.default_rng(0)
    for index in range(number):
        coarse = Image.fromarray(random.integers(0, 256, (40, 50, 3), dtype=np.uint8)).resize((500, 375))
        pixels = np.asarray(coarse) + random.normal(0, 8, (375, 500, 3)) + 30 * (index % 2)
        path = root / ("light" if index % 2 else "dark") / f"{index:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=88)


def divide(pictures: Path, root: Path, number: int) -> None:
    """Link `number` pictures, the classes alike, into root/train, and a tenth as many into root/val."""
    classes = sorted(folder for folder in pictures.iterdir() if folder.is_dir())
    each = -(-number // len(classes))
    for folder in classes:
        files = sorted(file for file in folder.iterdir() if file.suffix.lower() in (".jpg", ".jpeg", ".png"))
        files = [file for file in files if file.stat().st_size][: each + max(1, each // 10)]
        for index, file in enumerate(files):
            link = root / ("train" if index < each else "val") / folder.name / file.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file.resolve())


def rows(work: Work, ran: dict[str, Program]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for name, program in ran.items():
        pairs = zip(ran[OURS].rates, program.rates, strict=False)
        ratios = [ours / theirs for ours, theirs in pairs if ours and theirs]
        found.append(
            {
                "work": str(work),
                "program": name,
                "images/s": statistics.median(known) if (known := [rate for rate in program.rates if rate]) else nan,
                "ResLens's": "" if name == OURS else in_words(ratios),
                "seconds": round(program.seconds, 1),
                "ResLens's seconds": "" if name == OURS else f"{ran[OURS].seconds / program.seconds:.2f} times",
                "memory in GB": round(program.memory / 1e9, 2),
            }
        )
    return found


def in_words(ratios: Sequence[float]) -> str:
    """1.02 times (0.98 to 1.05, n = 7)"""
    if not ratios:
        return "no turn of both"
    return f"{statistics.median(ratios):.2f} times ({min(ratios):.2f} to {max(ratios):.2f}, n = {len(ratios)})"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pictures", type=Path)
    options.add_argument("--timm", type=Path)
    options.add_argument("--only", nargs="+", default=[f"{model}:{size}" for size in SIZES for model in NETWORKS])
    options.add_argument("--epochs", type=int, default=2)
    options.add_argument("--number", type=int, help="of pictures; default: 500 to 2,000, a quarter for ResNet-50")
    options.add_argument("--turn", type=float, default=8.0, help="seconds")
    options.add_argument("--csv", type=Path, help="write the table here, too")
    chosen = options.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {describe_hardware()['cpu']}", flush=True)
    table: list[dict[str, object]] = []
    for one in chosen.only:
        model, size = one.split(":")
        number = chosen.number or int(SIZES.get(int(size), 1000) * NETWORKS.get(model, 1.0))
        work = Work(model, int(size), number, chosen.epochs)
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            if chosen.pictures is None:
                make_pictures(folder / "pictures", number + number // 5)
            divide(chosen.pictures or folder / "pictures", folder / "data", number)
            ran = programs(work, folder / "data", folder, chosen.timm and chosen.timm.resolve())
            print(f"{work}, {number} pictures, {chosen.epochs} epochs: images/s of {', '.join(ran)}", flush=True)
            take_turns(list(ran.values()), chosen.turn, lambda line: print(f"  {line}", flush=True))
            table += rows(work, ran)
        if chosen.csv is not None:
            pd.DataFrame(table).to_csv(chosen.csv, index=False)
    print(pd.DataFrame(table).to_string(index=False, float_format=lambda value: f"{value:.1f}"))


if __name__ == "__main__":
    main()
