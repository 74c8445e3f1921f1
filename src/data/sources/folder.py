"""Any folder of class folders, with or without train, val and test above them."""

from pathlib import Path

from ..collection import ImageCollection
from ..folders import collect, find_splits, list_classes


def find(root: Path, *, download: bool) -> ImageCollection:  # noqa: ARG001
    return collect(list_classes(root, find_splits(root)))
