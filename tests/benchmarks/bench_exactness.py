"""What it costs that a resumed run ends in the same bits: training images/s with that and without, in one process.

    python -m tests.benchmarks.bench_exactness [--data mnist] [--model simple_cnn] [--root data]
        [--batches 10] [--rounds 40]

The two train in turns, a few batches each, because these machines are shared and their speed changes within seconds:
only the ratios of a round mean something. "Exact" reads as `src.train` does, each order and augmentation drawn anew
from seed, epoch and image, with deterministic algorithms demanded. "Loose" has what one writes without that: images
shuffled by torch's sampler, augmentation from one generator that goes on from image to image, algorithms as they come.
Both read in the training's own process, so that its CPU time has all of the work. The price of a checkpoint, flushed
or as Lightning writes it, is given beside.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from torch.utils.data import DataLoader, Dataset

from src.data.augmentation import augment_batch
from src.data.augmented import Augmentation, load_augmented
from src.data.batches import Batch
from src.data.datasets import FileDataset, ImageDataset, ImagesAndTargets, as_it_is
from src.resuming.checkpoint_files import WholeCheckpointIO
from src.runs.folder import RunFolder
from src.training.assemble import Parts, assemble
from src.training.optimizers import build_optimizer
from tests.benchmarks.ratios import show


class Loose(Dataset[ImagesAndTargets]):
    """A split whose augmentation is drawn from one generator, image after image. `split` itself has none."""

    def __init__(self, split: ImageDataset, augmentation: Augmentation | None) -> None:
        self.split = split
        self.augmentation = augmentation
        self.random = np.random.default_rng(0)

    def __len__(self) -> int:
        return len(self.split)

    def __getitems__(self, indices: Sequence[int]) -> ImagesAndTargets:
        return self.images(np.array(indices)), torch.from_numpy(self.split.targets[indices])

    def images(self, indices: np.ndarray) -> torch.Tensor:
        split, augmentation = self.split, self.augmentation
        if augmentation is None:
            return split.images(Batch(0, 0, indices, np.zeros_like(indices)))
        if isinstance(split, FileDataset):
            files = (split.root / split.paths[index] for index in indices)
            return torch.stack([load_augmented(file, split.geometry, augmentation, self.random) for file in files])
        images = split.images(Batch(0, 0, indices, np.zeros_like(indices)))
        return torch.from_numpy(augment_batch(images.numpy(), augmentation, self.random))


def loop(parts: Parts, *, exact: bool) -> Iterator[int]:
    data = parts.data
    if exact:
        return steps(parts, data.train_dataloader())
    loose = Loose(data.dataset("train", None), data.augmentation)
    return steps(parts, DataLoader(loose, data.batch_size, shuffle=True, collate_fn=as_it_is))


def steps(parts: Parts, loader: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> Iterator[int]:
    """Training steps for ever, without metrics, log and checks; the images of each."""
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


def turn(loop: Iterator[int], batches: int, *, exact: bool) -> tuple[float, float]:
    """Images per second of the clock and per second of the processor."""
    torch.use_deterministic_algorithms(exact)
    wall, processor = time.perf_counter(), time.process_time()
    images = sum(next(loop) for _ in range(batches))
    return images / (time.perf_counter() - wall), images / (time.process_time() - processor)


def seconds_to_save(io: TorchCheckpointIO, parts: Parts, folder: str) -> float:
    checkpoint = {"state_dict": parts.module.state_dict()}
    began = time.perf_counter()
    io.save_checkpoint(checkpoint, Path(folder) / "last.ckpt")
    return time.perf_counter() - began


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--data", default="mnist")
    options.add_argument("--model", default="simple_cnn")
    options.add_argument("--root", type=Path, default=Path("data"))
    options.add_argument("--batches", type=int, default=10, help="of each in a round")
    options.add_argument("--rounds", type=int, default=40)
    options.add_argument("overrides", nargs="*", help="settings of both, as data.image_size=64")
    arguments = options.parse_args()
    warnings.filterwarnings("ignore")
    overrides = [
        f"data={arguments.data}", f"model={arguments.model}", f"data.root='{arguments.root}'", "data.num_workers=0",
        "trainer.enable_progress_bar=false", *arguments.overrides,
    ]  # fmt: skip
    with initialize_config_dir(config_dir=str(Path(__file__).parents[2] / "conf"), version_base="1.3"):
        parts = assemble(compose("train", overrides=overrides), RunFolder("none"))
        other = assemble(compose("train", overrides=overrides), RunFolder("none"))
    loops = {True: loop(parts, exact=True), False: loop(other, exact=False)}
    ratios = []
    for number in range(arguments.rounds + 1):
        first = bool(number % 2)
        rates = {exact: turn(loops[exact], arguments.batches, exact=exact) for exact in (first, not first)}
        ratios.append([a / b for a, b in zip(rates[True], rates[False], strict=True)])
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; the first round is a warm-up")
    show("exact / loose, by the clock", [wall for wall, _ in ratios[1:]])
    show("exact / loose, by processor time", [processor for _, processor in ratios[1:]])
    with tempfile.TemporaryDirectory() as folder:
        for io in (WholeCheckpointIO(), TorchCheckpointIO()):
            times = [seconds_to_save(io, parts, folder) for _ in range(10)]
            show(f"seconds of a checkpoint, {type(io).__name__}", times)


if __name__ == "__main__":
    main()
