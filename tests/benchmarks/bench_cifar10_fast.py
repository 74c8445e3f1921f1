"""`experiment=cifar10_fast` beside airbench94: seconds and test accuracy on the same images, in turns.

    python -m tests.benchmarks.bench_cifar10_fast --airbench FOLDER [--images N] [--epochs 10] [--turns 1] [--threads 2]

FOLDER holds airbench94_cpu.py: legacy/airbench94.py of https://github.com/KellerJordan/cifar10-airbench with `cuda`
and `half` taken out, that takes `--data FOLDER --epochs --threads --width --seed --json FILE` and writes a list of one
`{"accuracy", "seconds", "cpu"}`. It gets glibc's heap kept, as our verbs have it. Its seconds are those of training and
of the last test, of six views an image. Ours are `train_seconds`, with validation, Grad-CAM and checkpoints, and a test
of two views; whole processes are beside them. Images are those of data/cifar10.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import src.settings.composing  # noqa: F401  # the resolvers of conf/
from src.data import ImageDataModule
from src.runs.folder import RunFolder
from src.settings.defaults import CONF
from src.training.hardware import describe_hardware

EXPERIMENT = "experiment=cifar10_fast"
KEPT_HEAP = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=100000000000"


class Outcome(NamedTuple):
    """`seconds` as the program tells them; `whole` and `processor` are those of its process."""

    accuracy: float
    seconds: float
    whole: float
    processor: float


def timed(words: list[str], threads: int, **variables: str) -> tuple[float, float]:
    """Run a command; its seconds and processor seconds."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), **variables}
    before, start = os.times(), time.perf_counter()
    subprocess.run(words, check=True, env=environment, stdout=subprocess.DEVNULL)
    whole, after = time.perf_counter() - start, os.times()
    return whole, after.children_user + after.children_system - before.children_user - before.children_system


def ours(words: list[str], run: Path, threads: int) -> Outcome:
    command = [sys.executable, "-m", "src.train", EXPERIMENT, *words, "cost=false", "baseline=false"]
    times = timed([*command, f"hydra.run.dir={run}"], threads)
    metrics = RunFolder(run).metrics()
    return Outcome(metrics["test/accuracy"], metrics["train_seconds"], *times)


def theirs(words: list[str], script: Path, images: Path, threads: int) -> Outcome:
    file = images / "result.json"
    command = [sys.executable, str(script), "--data", str(images), "--threads", str(threads), "--json", str(file)]
    times = timed([*command, *words], threads, GLIBC_TUNABLES=KEPT_HEAP)
    (result,) = json.loads(file.read_text())
    return Outcome(result["accuracy"], result["seconds"], *times)


def export_images(words: list[str], folder: Path) -> None:
    """Write the images of our run where airbench94 finds them."""
    with initialize_config_dir(str(CONF), version_base=None):
        cfg = compose("train", [EXPERIMENT, *words])
    data = ImageDataModule(**OmegaConf.to_container(cfg.data, resolve=True), seed=cfg.seed)  # type: ignore[arg-type]
    data.setup()
    assert data.found.images is not None
    for split in ("train", "test"):
        pixels = data.found.images[data.indices(split)].permute(0, 2, 3, 1).contiguous()
        labels = torch.from_numpy(data.targets(split))
        torch.save({"images": pixels, "labels": labels, "classes": data.class_names}, folder / f"{split}.pt")


def said(values: list[float], digits: int) -> str:
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--airbench", type=Path, required=True)
    parser.add_argument("--images", type=int)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--width", type=int, default=64)
    asked = parser.parse_args()
    outcomes: dict[str, list[Outcome]] = {"airbench94": [], "ResLens": []}
    for seed in range(1, asked.turns + 1):
        with tempfile.TemporaryDirectory() as folder:
            words = [f"seed={seed}", *([f"data.max_images={asked.images}"] if asked.images else [])]
            export_images(words, Path(folder))
            its = ["--seed", str(seed), "--epochs", str(asked.epochs - 0.1), "--width", str(asked.width)]
            script = asked.airbench / "airbench94_cpu.py"
            outcomes["airbench94"].append(theirs(its, script, Path(folder), asked.threads))
            words += [f"trainer.max_epochs={asked.epochs}", f"model.width={asked.width}"]
            outcomes["ResLens"].append(ours(words, Path(folder) / "run", asked.threads))
            print(seed, {name: found[-1] for name, found in outcomes.items()}, file=sys.stderr, flush=True)
    print(f"{describe_hardware()['cpu']}, {asked.threads} threads, torch {torch.__version__}, n = {asked.turns}\n")
    print("| | test accuracy | seconds | whole process | its processor seconds |\n|---|---|---|---|---|")
    for name, found in outcomes.items():
        accuracy, *times = (said(list(values), digits) for values, digits in zip(zip(*found), (4, 1, 1, 1)))  # noqa: B905
        print(f"| {name} | {accuracy} | {' | '.join(times)} |")


if __name__ == "__main__":
    main()
