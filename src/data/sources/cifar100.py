"""CIFAR-100 by its 100 fine labels: class folders in `root/cifar100/{train,test}`, or `root/cifar-100-python`."""

from pathlib import Path

from ..collection import ImageCollection
from .cifar10 import find_cifar


def find(root: Path, *, download: bool) -> ImageCollection:
    from torchvision.datasets import CIFAR100

    return find_cifar("cifar100", "CIFAR-100", CIFAR100, root, download=download)
