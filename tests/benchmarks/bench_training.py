"""Training images/s of ResLens beside a bare PyTorch loop and beside fp32, Lightning's default, in one process.

    python -m tests.benchmarks.bench_training [--root data] [--batches 4] [--rounds 10]

ResNet-18 on photographs of cats and dogs at 224², batch 32 (`data=catsdogs`; `--data folder` takes a folder of your
own). The three take turns every few batches inside one training, because these machines are shared and their speed
changes within seconds: only the ratios of a round mean something. All read through the same kind of loader. The bare
loop has the same network, precision, layout and optimizer and nothing else; the fp32 loop is that in fp32 and
contiguous, which is what Lightning's Trainer does by itself, without the Trainer's own cost.
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from src.callbacks.gradcam import GradCAMCallback
from src.callbacks.tensorboard import tensorboards
from src.runs.folder import RunFolder
from src.training.assemble import Parts, assemble
from src.training.optimizers import build_optimizer


class Turns(L.Callback):
    """Times so many batches of the training that it watches, then so many of each other loop, and so on."""

    def __init__(self, batches: int, others: dict[str, Iterator[int]]) -> None:
        self.batches = batches
        self.others = others
        self.rates: dict[str, list[float]] = {name: [] for name in ("reslens", *others)}
        self._images = 0
        self._start = 0.0

    def on_train_start(self, trainer: L.Trainer, module: Any) -> None:
        self._start = time.perf_counter()

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._images += len(batch[1])
        if (batch_idx + 1) % self.batches:
            return
        self.rates["reslens"].append(self._images / (time.perf_counter() - self._start))
        for name, steps in self.others.items():
            start = time.perf_counter()
            images = sum(next(steps) for _ in range(self.batches))
            self.rates[name].append(images / (time.perf_counter() - start))
        print("  ".join(f"{name} {rates[-1]:.1f}" for name, rates in self.rates.items()), "images/s", flush=True)
        self._images, self._start = 0, time.perf_counter()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--data", default="catsdogs")
    options.add_argument("--root", type=Path, default=Path("data"))
    options.add_argument("--batches", type=int, default=4, help="of each loop in a round")
    options.add_argument("--rounds", type=int, default=10)
    arguments = options.parse_args()
    warnings.filterwarnings("ignore")
    others = {
        "bare loop": loop(arguments),
        "fp32 loop": loop(arguments, "trainer.precision=32-true", "memory_format=contiguous"),
    }
    turns = Turns(arguments.batches, others)
    with tempfile.TemporaryDirectory() as folder:
        parts = assemble(
            config(arguments, f"trainer.max_steps={arguments.batches * (arguments.rounds + 1)}"), RunFolder(folder)
        )
        parts.trainer.callbacks.append(turns)
        parts.trainer.fit(parts.module, datamodule=parts.data)
        callback = next(c for c in parts.trainer.callbacks if isinstance(c, GradCAMCallback))
        seconds = []
        for _ in range(arguments.rounds):
            start = time.perf_counter()
            callback.explain(parts.trainer, parts.module, epoch=1)
            seconds.append(time.perf_counter() - start)
        precision, images = parts.trainer.precision, parts.data.size("train")
        for logger in tensorboards(parts.trainer):  # its thread would write into the folder while it goes
            logger.experiment.close()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {precision}; the first round is a warm-up")
    ours = turns.rates["reslens"][1:]
    for name in others:
        show(f"reslens / {name}", [a / b for a, b in zip(ours, turns.rates[name][1:], strict=True)])
    show("seconds of a Grad-CAM callback", seconds)
    show("Grad-CAM callback / epoch", [second * statistics.median(ours) / images for second in seconds])


def show(what: str, values: list[float]) -> None:
    low, high = min(values), max(values)
    print(f"{what}: median {statistics.median(values):.4f}, from {low:.4f} to {high:.4f}, n = {len(values)}")


def config(arguments: argparse.Namespace, *overrides: str) -> DictConfig:
    with initialize_config_dir(config_dir=str(Path(__file__).parents[2] / "conf"), version_base="1.3"):
        return compose(
            "train",
            overrides=[
                f"data={arguments.data}", f"data.root='{arguments.root}'", "model=resnet18", "baseline=false",
                "trainer.limit_val_batches=1", "trainer.num_sanity_val_steps=0", "trainer.enable_checkpointing=false",
                "trainer.enable_progress_bar=false", *overrides,
            ],
        )  # fmt: skip


def loop(arguments: argparse.Namespace, *overrides: str) -> Iterator[int]:
    """The loop that one writes without a framework, a batch at a time: no metrics, no log, no checks."""
    parts = assemble(config(arguments, *overrides), RunFolder("none"))
    return steps(parts, parts.data.train_dataloader())


def steps(parts: Parts, loader: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> Iterator[int]:
    """Training steps for ever; the images of each."""
    module, bf16 = parts.module, parts.trainer.precision == "bf16-mixed"
    optimizer = build_optimizer(module.network, **module.hparams["optimizer"])
    module.train()
    while True:
        for images, targets in loader:
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = F.cross_entropy(module(images), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield len(targets)


if __name__ == "__main__":
    main()
