"""MNIST as torchvision reads it, in `root/MNIST/raw`."""

from collections.abc import Sequence
from pathlib import Path

import torch

from ...errors import InputError
from ..collection import ImageCollection
from ..download import download_with_torchvision
from ..in_memory import in_memory


def find(root: Path, *, download: bool) -> ImageCollection:
    from torchvision.datasets import MNIST

    def read(train: bool) -> tuple[torch.Tensor, Sequence[int]]:
        part = MNIST(str(root), train=train)
        if len(part.data) != len(part.targets):
            raise ValueError(f"{len(part.data)} images and {len(part.targets)} labels")
        return part.data[:, None], part.targets.tolist()

    def fetch(folder: Path) -> None:
        MNIST(str(folder), download=True)

    try:
        parts = {"train": read(True), "test": read(False)}
    except (RuntimeError, ValueError, AssertionError, KeyError, TypeError, EOFError) as error:
        if "not found" not in str(error):  # an IDX file that is cut short or has a meaningless header
            raise InputError(f"{root / 'MNIST' / 'raw'} is damaged: remove it to download it again.") from error
        if not download:
            raise InputError(f"no MNIST in {root}: set data.root to the folder that holds MNIST/raw.") from error
        archives = [f"MNIST/raw/{file}" for file, _ in MNIST.resources]
        download_with_torchvision(root, "MNIST", archives, fetch)
        return find(root, download=False)
    return in_memory("mnist", root, [str(digit) for digit in range(10)], parts)
