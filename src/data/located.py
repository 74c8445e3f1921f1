"""Images whose objects' places are known, and these places as the network sees them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from .datasets import FileDataset, ImageDataset
from .places import Places
from .splits import round_robin
from .transforms import make_square

if TYPE_CHECKING:
    from .module import ImageDataModule


@dataclass(frozen=True, eq=False)
class Located:
    """N images, uint8 (N, C, S, S), their targets (N,) and paths, and where their objects are, bool (N, S, S)."""

    images: torch.Tensor
    targets: NDArray[np.int64]
    paths: list[str]
    masks: NDArray[np.bool_]


def object_masks(
    dataset: ImageDataset, chosen: Sequence[int] | NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return where the objects are in some of the images, (n, S, S), and whether that is known of each, (n,)."""
    side = dataset.geometry.image_size
    masks, known = np.zeros((len(chosen), side, side), bool), np.zeros(len(chosen), bool)
    if not isinstance(dataset, FileDataset):
        return masks, known
    places = Places(dataset.root)
    whole, seen = replace(dataset.geometry, decode="exact"), replace(dataset.geometry, in_channels=1, fill=(0,))
    for number, index in enumerate(chosen):
        path = dataset.paths[int(index)]
        if not places.knows(path):
            continue
        mask = places.mask(path, whole.read(dataset.root / path, side).size)
        masks[number], known[number] = np.asarray(make_square(mask, seen)) > 127, True
    return masks, known


def sample_located(data: "ImageDataModule", split: str, most: int) -> Located | None:
    """Return at most `most` images of a split whose objects' places are known, the classes in turn, always the same.

    None where no place is known, and where an image has several labels: places don't say whose they are.

    Raises:
        InputError: A `boxes.csv` can't be read.
    """
    targets = data.targets(split)
    if data.found.images is not None or targets.ndim > 1:
        return None
    places = Places(data.data_root)
    known = np.flatnonzero([places.knows(path) for path in data.paths(split)])
    chosen = known[round_robin(targets[known], most, data.seed)]
    dataset = data.dataset(split, None, chosen)
    masks, _ = object_masks(dataset, range(len(chosen)))
    seen = np.flatnonzero(masks.any(axis=(1, 2)))  # a crop may have left an object out
    if not len(seen):
        return None
    images = torch.stack([dataset[int(place)][0] for place in seen])
    paths = data.paths(split)
    return Located(images, targets[chosen[seen]], [paths[place] for place in chosen[seen]], masks[seen])
