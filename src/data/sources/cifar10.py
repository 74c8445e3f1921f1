"""CIFAR-10: class folders in `root/cifar10/{train,test}`, or torchvision's `root/cifar-10-batches-py`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ...errors import InputError
from ..collection import ImageCollection
from ..download import download_with_torchvision
from ..folders import list_classes
from ..in_memory import decode_into_memory, in_memory
from ..layout import find_splits
from ..transforms import Geometry

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10


def find(root: Path, *, download: bool) -> ImageCollection:
    from torchvision.datasets import CIFAR10

    return find_cifar("cifar10", "CIFAR-10", CIFAR10, root, download=download)


def find_cifar(name: str, title: str, published: "type[CIFAR10]", root: Path, *, download: bool) -> ImageCollection:
    """Return the class folders in `root / name`, or what torchvision's class reads.

    Its files are pickles, which could run any code; torchvision opens none whose MD5 is not the published one.
    """
    folder = root / name
    if folder.is_dir():
        return decode_into_memory(list_classes(folder, find_splits(folder)), Geometry(image_size=32, in_channels=3))

    def read(train: bool) -> tuple[torch.Tensor, Sequence[int]]:
        part = published(str(root), train=train)
        names[:] = part.classes
        return torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous(), part.targets

    def fetch(folder: Path) -> None:
        published(str(folder), download=True)

    names: list[str] = []
    try:
        parts = {"train": read(True), "test": read(False)}
    except RuntimeError as error:
        if not download:
            raise InputError(f"no {title} in {root}: set data.root to the folder that holds it.") from error
        download_with_torchvision(root, published.base_folder, [published.filename], fetch)
        return find_cifar(name, title, published, root, download=False)
    return in_memory(name, root, names, parts)
