"""Images and targets by the batch, from memory or from files, and the loader around them."""

import os
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, get_worker_info

from ..errors import RunError
from .augmentation import Views, augment_batch, draw_view, draw_views
from .augmented import Augmentation, augment, augment_square, load_augmented
from .batches import Batch, EpochBatchSampler
from .download import describe
from .kept_kinds import to_picture
from .picture_store import Shelf
from .processes import fork_context, quiet_fork
from .shared_memory import AHEAD, share
from .transforms import Geometry, load_image
from .workers import deaths_named, follow_parent, shielded

# images uint8 (N, C, S, S), targets int64 (N,)
ImagesAndTargets = tuple[torch.Tensor, torch.Tensor]

FIRST_TURNS = 0x466C6970  # no epoch: together with the seed it is where these draws come from


class ImageDataset(Dataset[ImagesAndTargets]):
    """A split that returns whole batches: PyTorch's loader calls `__getitems__` with what the batch sampler yields.

    `augmentation` is None for evaluation. Randomness comes from (seed, epoch, index, repeat) for files, where `repeat`
    counts how often the image came before in this epoch, and from (seed, epoch, batch) in memory, so that it depends
    neither on workers nor on earlier draws.
    """

    def __init__(self, targets: np.ndarray, geometry: Geometry, augmentation: Augmentation | None, seed: int) -> None:
        self.targets = targets
        self.geometry = geometry
        self.augmentation = augmentation
        self.seed = seed

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> ImagesAndTargets:
        images, targets = self.__getitems__(Batch(0, 0, np.array([index]), np.array([0])))
        return images[0], targets[0]

    def __getitems__(self, batch: Batch) -> ImagesAndTargets:
        return self.images(batch), torch.from_numpy(self.targets[batch.indices])

    def images(self, batch: Batch) -> torch.Tensor:
        raise NotImplementedError

    @cached_property
    def first_turns(self) -> np.ndarray:
        """0 or 1 for each image, (N,), by chance: whether it is mirrored in the first epoch where that alternates."""
        return np.random.default_rng((self.seed, FIRST_TURNS)).integers(0, 2, size=len(self))

    def turns(self, batch: Batch) -> np.ndarray:
        """Return the turns (n,) of `src.data.augmented.mirrors`."""
        if self.augmentation is None or self.augmentation.flip != "alternate":
            return np.zeros(len(batch.indices), dtype=np.int64)
        turns: np.ndarray = self.first_turns[batch.indices] + batch.epoch + batch.repeats
        return turns


class PictureDataset(ImageDataset):
    """A split of pictures: `indices` (N,) are theirs among all images."""

    indices: np.ndarray

    def views(self, batch: Batch) -> Views:
        """Return how the batch's pictures are seen, where training does nothing but flip and shift them."""
        raise NotImplementedError


class MemoryDataset(PictureDataset):
    """A split of images held in memory.

    Args:
        images: uint8 (M, C, H, W), those of all splits.
        indices: which of them, and of `targets` (M,), belong to this split.
    """

    def __init__(self, images: torch.Tensor, targets: np.ndarray, indices: np.ndarray, *settings: Any) -> None:
        super().__init__(targets[indices], *settings)
        self.pixels = images.numpy()  # shares the memory; see `src.data.augmentation` for why NumPy
        self.indices = indices

    def images(self, batch: Batch) -> torch.Tensor:
        images = fit(torch.from_numpy(self.pixels[self.indices[batch.indices]]), self.geometry)
        if self.augmentation is None:
            return images
        return torch.from_numpy(augment_batch(images.numpy(), self.augmentation, self.random(batch), self.turns(batch)))

    def views(self, batch: Batch) -> Views:
        return draw_views(self.turns(batch), self.augmentation or Augmentation(), self.random(batch))

    def random(self, batch: Batch) -> np.random.Generator:
        return np.random.default_rng((self.seed, batch.epoch, batch.number))


class FeatureDataset(ImageDataset):
    """A split of which a frozen network has seen everything: its features (N, F) take the place of the images."""

    def __init__(self, features: torch.Tensor, targets: np.ndarray, geometry: Geometry, seed: int) -> None:
        super().__init__(targets, geometry, None, seed)
        self.features = features

    def images(self, batch: Batch) -> torch.Tensor:
        return self.features[torch.from_numpy(batch.indices)]


class FileDataset(PictureDataset):
    """A split of image files, decoded when asked for, unless their pictures are kept.

    Args:
        shelf: the pictures of all `paths`: squares, or, with random crops, what they are taken from.
    """

    def __init__(
        self,
        root: Path,
        paths: Sequence[str],
        targets: np.ndarray,
        indices: np.ndarray,
        *settings: Any,
        shelf: Shelf | None = None,
    ) -> None:
        super().__init__(targets[indices], *settings)
        self.root = root
        self.paths = [paths[i] for i in indices]
        self.indices = indices
        self.shelf = shelf

    @property
    def needs_no_workers(self) -> bool:
        """Whether reading a batch costs less than handing it over from another process."""
        changes = self.augmentation
        return (changes is None or changes.is_cheap) and self.is_kept

    @property
    def is_kept(self) -> bool:
        """Whether the pictures of all its files are kept."""
        return self.shelf is not None and self.shelf.has_all(self.indices)

    def images(self, batch: Batch) -> torch.Tensor:
        geometry, draws = self.geometry, zip(*(part.tolist() for part in self.draws(batch)), strict=True)
        shape = (len(batch.indices), geometry.in_channels, geometry.image_size, geometry.image_size)
        images = np.empty(shape, dtype=np.uint8)
        for image, (index, repeat, turn) in zip(images, draws, strict=True):
            self.read(batch.epoch, index, repeat, turn, image)
        return torch.from_numpy(images)

    def draws(self, batch: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return batch.indices, batch.repeats, self.turns(batch)

    def views(self, batch: Batch) -> Views:
        changes, seen = self.augmentation or Augmentation(), []
        for index, repeat, turn in zip(*(part.tolist() for part in self.draws(batch)), strict=True):
            seen.append(draw_view(turn, changes, np.random.default_rng((self.seed, batch.epoch, index, repeat))))
        mirrored, down, right = np.array(seen, dtype=np.int64).reshape(-1, 3).T
        return Views(mirrored == 1, down, right)

    def read(self, epoch: int, index: int, repeat: int, turn: int, into: np.ndarray) -> None:
        """Read an image, changed at random where it is to be, into uint8 (C, S, S)."""
        path, place, changes = self.root / self.paths[index], int(self.indices[index]), self.augmentation
        random = None if changes is None else np.random.default_rng((self.seed, epoch, index, repeat))
        try:
            kept = None if self.shelf is None else self.shelf.read(place, into if changes is None else None)
            if changes is None or random is None:
                if kept is None:
                    into[:] = load_image(path, self.geometry).numpy()
            elif kept is None or self.shelf is None:
                into[:] = load_augmented(path, self.geometry, changes, random, turn).numpy()
            elif changes.is_cheap:
                into[:] = augment_square(kept, changes, random, turn)
            elif changes.crops:
                size = self.shelf.size(place)
                into[:] = augment(to_picture(kept), self.geometry, changes, random, size, turn).numpy()
            else:
                square = to_picture(kept.transpose(1, 2, 0))
                into[:] = augment(square, self.geometry, changes, random, turn=turn).numpy()
        except Exception as error:  # it was whole when the folder was scanned
            raise RunError(complaint(path, error)) from error


def complaint(path: Path, error: Exception) -> str:
    """Return why an image that was whole at first can no longer be read, and what to do."""
    if isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError):
        return f"the memory is too small to read {path}: free some or lower data.num_workers, then resume."
    return f"{path} has changed since training began ({describe(error)}): restore it, then resume."


def fit(images: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Return square images held in memory, uint8 (N, C, H, W), at the size and with the channels wanted."""
    if images.shape[1] != geometry.in_channels:
        images = to_grey(images) if geometry.in_channels == 1 else images.expand(-1, 3, -1, -1)
    if images.shape[-1] == geometry.image_size:
        return images.contiguous()
    size = (geometry.image_size, geometry.image_size)
    return functional.interpolate(images.contiguous(), size, mode=geometry.interpolation, antialias=True)


def to_grey(images: torch.Tensor) -> torch.Tensor:
    """Return the luma (ITU-R 601) of uint8 (N, 3, H, W), rounded as Pillow does: (N, 1, H, W)."""
    weights = torch.tensor([19595, 38470, 7471], dtype=torch.int32)[:, None, None]
    return ((images.int() * weights).sum(1, keepdim=True) + 32768 >> 16).to(torch.uint8)


class ImageLoader(DataLoader[Any]):
    """PyTorch's loader for an `ImageDataset`. In workers PyTorch itself runs on one thread.

    Args:
        ahead: batches that each worker makes before they are asked for.
        pinned: batches lie where a GPU fetches them fastest, which costs a copy, and memory that can't be swapped.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        batches: EpochBatchSampler,
        num_workers: int,
        ahead: int = AHEAD,
        *,
        pinned: bool = True,
    ) -> None:
        super().__init__(
            dataset,
            batch_sampler=batches,  # type: ignore[arg-type]  # a Batch, not a list of indices
            collate_fn=as_it_is,
            num_workers=num_workers,
            prefetch_factor=ahead if num_workers > 0 else None,
            persistent_workers=num_workers > 0,
            pin_memory=pinned and torch.cuda.is_available(),
            multiprocessing_context=fork_context() if num_workers > 0 else None,
            worker_init_fn=partial(follow_parent, os.getpid()),
        )

    def __iter__(self) -> Iterator[ImagesAndTargets]:  # type: ignore[override]
        """Yield the batches. Workers start at the first `next`: resuming, Lightning calls `iter` before `set_epoch`."""
        try:
            with deaths_named(self.workers):
                with quiet_fork(), shielded():
                    iterator = super().__iter__()
                yield from iterator
        except RunError as error:
            if self._iterator is not None:  # left to the garbage collector, each worker would be waited for for 5 s
                self._iterator._shutdown_workers()  # type: ignore[attr-defined]
                self._iterator = None
            # PyTorch puts a worker's whole traceback into the message: its last line is ours
            raise RunError(str(error).splitlines()[-1].removeprefix(f"{RunError.__module__}.RunError: ")) from error

    def workers(self) -> Sequence[BaseProcess]:
        """Return its processes, dead ones included; they stay from epoch to epoch."""
        return getattr(self._iterator, "_workers", ())


def as_it_is(batch: Any) -> Any:
    """Return the batch, which the data set has made already.

    A worker moves it to memory shared with its parent. PyTorch would do so only while sending it, where an error, most
    often too little memory, loses the batch and leaves the parent waiting forever.
    """
    if get_worker_info() is None:
        return batch
    return tuple(share(part) if isinstance(part, torch.Tensor) else part for part in batch)
