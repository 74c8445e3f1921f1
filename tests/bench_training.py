"""Training images/s of ResLens beside a bare PyTorch loop and beside Lightning's defaults, in turn, in one process.

    python -m tests.bench_training [--root data] [--batches 16] [--rounds 5]

ResNet-18 on photographs of cats and dogs at 224², batch 32 (`data=catsdogs`; `--data folder` takes a folder of your
own). All three read the same images through the same loader. The bare loop has the same network, precision, layout and
optimizer and nothing else; Lightning's defaults are fp32 and contiguous. These machines are shared, so that only the
ratios of a round mean something: their median over the rounds is printed, with the smallest and the largest.
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from src.callbacks.gradcam import GradCAMCallback
from src.run import RunFolder
from src.session import Session
from src.training.optimizers import build_optimizer

WARM_UP = 3
"""Batches before the clock starts: workers start, oneDNN compiles its kernels."""


class Clock(L.Callback):
    """Images a second behind the first batches of the epoch."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.images: list[int] = []

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.tick(len(batch[1]))

    def tick(self, images: int) -> None:
        self.times.append(time.perf_counter())
        self.images.append(images)

    @property
    def rate(self) -> float:
        return sum(self.images[WARM_UP:]) / (self.times[-1] - self.times[WARM_UP - 1])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--data", default="catsdogs")
    options.add_argument("--root", type=Path, default=Path("data"))
    options.add_argument("--batches", type=int, default=16)
    options.add_argument("--rounds", type=int, default=5)
    arguments = options.parse_args()
    warnings.filterwarnings("ignore")
    rates: dict[str, list[float]] = {"reslens": [], "bare loop": [], "lightning defaults": []}
    gradcam = []
    for number in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            rates["reslens"].append(trained(arguments, Path(folder)))
        rates["bare loop"].append(bare(arguments))
        rates["lightning defaults"].append(
            trained(arguments, None, "trainer.precision=32-true", "memory_format=contiguous")
        )
        with tempfile.TemporaryDirectory() as folder:
            seconds, images = explained(arguments, Path(folder))
        gradcam.append(seconds * rates["reslens"][-1] / images)
        shown = "  ".join(f"{name} {values[-1]:.1f}" for name, values in rates.items())
        print(f"round {number + 1}: {shown} images/s  Grad-CAM {seconds:.2f} s", flush=True)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, batch {config(arguments).data.batch_size}")
    for name in ("bare loop", "lightning defaults"):
        ratios = [ours / other for ours, other in zip(rates["reslens"], rates[name], strict=True)]
        print(f"reslens / {name}: {spread(ratios)}")
    print(f"Grad-CAM callback / epoch: {spread(gradcam)}")


def spread(values: Iterable[float]) -> str:
    values = sorted(values)
    return (
        f"median {statistics.median(values):.3f} (smallest {values[0]:.3f}, largest {values[-1]:.3f}, n {len(values)})"
    )


def config(arguments: argparse.Namespace, *overrides: str) -> DictConfig:
    with initialize_config_dir(config_dir=str(Path(__file__).parent.parent / "conf"), version_base="1.3"):
        return compose(
            "train",
            overrides=[
                f"data={arguments.data}", f"data.root='{arguments.root}'", "model=resnet18", "callbacks=none",
                "trainer.max_epochs=1", f"trainer.limit_train_batches={arguments.batches}",
                "trainer.limit_val_batches=1", "trainer.num_sanity_val_steps=0", "trainer.enable_checkpointing=false",
                "trainer.enable_progress_bar=false", *overrides,
            ],
        )  # fmt: skip


def trained(arguments: argparse.Namespace, folder: Path | None, *overrides: str) -> float:
    """Our own Trainer, with all that a run has; without a folder, no logger."""
    extra = () if folder else ("logger=none",)
    session = Session(config(arguments, *overrides, *extra), RunFolder(folder or Path(tempfile.gettempdir()) / "none"))
    clock = Clock()
    session.trainer.callbacks.append(clock)
    if folder is None:
        session.trainer.callbacks = [clock]
    session.trainer.fit(session.module, datamodule=session.data)
    return clock.rate


def bare(arguments: argparse.Namespace) -> float:
    """The loop that one writes without a framework: no metrics, no log, no checks."""
    session = Session(config(arguments), RunFolder("none"))
    module, settings = session.module, session.module.hparams["optimizer"]
    optimizer = build_optimizer(module.network, **settings)
    bf16 = session.trainer.precision == "bf16-mixed"
    clock = Clock()
    module.train()
    for number, (images, targets) in enumerate(session.data.train_dataloader()):
        if number == arguments.batches:
            break
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = F.cross_entropy(module(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        clock.tick(len(targets))
    return clock.rate


def explained(arguments: argparse.Namespace, folder: Path) -> tuple[float, int]:
    """Seconds of the Grad-CAM callback, with picture, arrays and log, and the training images of an epoch."""
    overrides = ("trainer.limit_train_batches=2", "callbacks=default", "baseline=false")
    session = Session(config(arguments, *overrides), RunFolder(folder))
    session.trainer.fit(session.module, datamodule=session.data)
    callback = next(c for c in session.trainer.callbacks if isinstance(c, GradCAMCallback))
    return callback.seconds, session.data.size("train")


if __name__ == "__main__":
    main()
