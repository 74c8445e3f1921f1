"""The programs that `bench_training` compares with ResLens, and ResLens itself: each prints a line a training batch.

    python -m tests.benchmarks.marked reslens|bare|lightning …

`reslens` is the verb train, with the words of its command line. `bare` is the loop that one writes with care and
without a framework: the number format that is faster here, channels_last, a fused optimizer, two loader processes, and
nothing measured or kept. `lightning` is what one writes first: a LightningModule, a Trainer as it comes, torchvision's
data set and network. All cut and mirror pictures in the same way.
"""

import argparse
import runpy
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from src.training.precision import cpu_gains_from_bf16

BATCH, SCALE, RATE = 32, 0.35, 0.05
BF16 = cpu_gains_from_bf16()
"""Whether those that know what they do train in mixed precision: on other CPUs it is slower, and no peer of ours."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Marks(L.Callback):
    """Says each training batch."""

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        mark(trainer.current_epoch, batch[1])


def mark(epoch: int, targets: Tensor) -> None:
    print(f"batch {epoch} {len(targets)}", flush=True)


def reslens(words: Sequence[str]) -> None:
    from src.training import session

    assemble = session.assemble
    session.assemble = lambda cfg, folder, checkpoint=None, own=(), data=None: assemble(
        cfg, folder, checkpoint, (*own, Marks()), data
    )
    sys.argv = ["train.py", *words]
    runpy.run_module("src.train", run_name="__main__", alter_sys=True)


def has_stem(model: str) -> bool:
    """Return whether it is a network of torchvision and timm: it is trained with the paper's stem at any size."""
    return model.startswith("resnet")


def network(name: str, classes: int, size: int) -> torch.nn.Module:
    from src.networks import build_network

    stem = {"stem": "imagenet"} if has_stem(name) else {}
    return build_network(name, num_classes=classes, image_size=size, **stem)


def loader(root: Path, split: str, size: int) -> "DataLoader[Any]":
    if split == "train":
        squares = [transforms.RandomResizedCrop(size, (SCALE, 1.0)), transforms.RandomHorizontalFlip()]
    else:
        squares = [transforms.Resize(size), transforms.CenterCrop(size)]
    pictures = datasets.ImageFolder(
        root / split, transforms.Compose([*squares, transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    )
    return DataLoader(pictures, BATCH, shuffle=split == "train", num_workers=2, persistent_workers=True)


def bare(chosen: argparse.Namespace) -> None:
    train, val = (loader(chosen.root, split, chosen.size) for split in ("train", "val"))
    net = network(chosen.model, len(train.dataset.classes), chosen.size).to(memory_format=torch.channels_last)  # type: ignore[attr-defined]
    optimizer = torch.optim.SGD(net.parameters(), RATE, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, chosen.epochs * len(train))
    for epoch in range(chosen.epochs):
        net.train()
        for images, targets in train:
            with torch.autocast("cpu", torch.bfloat16, enabled=BF16):
                loss = F.cross_entropy(net(images.contiguous(memory_format=torch.channels_last)), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            mark(epoch, targets)
        net.eval()
        right = 0
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=BF16):
            for images, targets in val:
                logits = net(images.contiguous(memory_format=torch.channels_last))
                right += int((logits.argmax(dim=1) == targets).sum())
        print(f"epoch {epoch + 1}: {right} right", flush=True)


class Plain(L.LightningModule):
    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        loss = F.cross_entropy(self.net(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        logits = self.net(batch[0])
        self.log("val_accuracy", (logits.argmax(dim=1) == batch[1]).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), RATE, momentum=0.9)


def lightning(chosen: argparse.Namespace) -> None:
    train, val = (loader(chosen.root, split, chosen.size) for split in ("train", "val"))
    net = network(chosen.model, len(train.dataset.classes), chosen.size)  # type: ignore[attr-defined]
    trainer = L.Trainer(max_epochs=chosen.epochs, callbacks=[Marks()], default_root_dir=chosen.output)
    trainer.fit(Plain(net), train, val)


def main() -> None:
    if sys.argv[1:2] == ["reslens"]:
        return reslens(sys.argv[2:])
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("way", choices=("bare", "lightning"))
    options.add_argument("--root", type=Path, required=True, help="with train/ and val/")
    options.add_argument("--model", required=True)
    options.add_argument("--size", type=int, required=True)
    options.add_argument("--epochs", type=int, required=True)
    options.add_argument("--output", type=Path, required=True)
    chosen = options.parse_args()
    warnings.filterwarnings("ignore")
    return {"bare": bare, "lightning": lightning}[chosen.way](chosen)


if __name__ == "__main__":
    main()
