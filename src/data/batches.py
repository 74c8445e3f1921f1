"""Which images come in which batch: a function of seed and epoch alone, so that a resumed run continues unchanged."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from ..errors import InputError
from .class_balance import balanced_draws


class Batch(NamedTuple):
    """What is asked of a data set: `indices` (n,) into it, for batch `number` of `epoch` (both from 0).

    `repeats` (n,) counts how often each image has been drawn already in this epoch: 0 unless classes are balanced.
    """

    epoch: int
    number: int
    indices: np.ndarray
    repeats: np.ndarray


SHARDS_AT_ONCE = 4
"""Shards whose images are mixed: with those of 256 MiB a window of 1 GiB, which memory holds."""


class EpochBatchSampler(Sampler[Batch]):
    """Batches of one process's share of every epoch: all processes together draw each image once.

    Batch k of all processes together is `batch_size * world_size` consecutive images of the epoch's order; process
    `rank` takes every `world_size`-th of them. So every process has the same number of batches, and no image is shown
    twice to fill one up: where there are too few images for all, the last batch of some processes is empty. Training
    can't have that, nor can batch norm train on a single image: a remainder of fewer than `smallest * world_size`
    images joins the batch before.

    The order is drawn from (seed, epoch), never from a global generator; `set_epoch` moves on. Lightning calls it at
    the start of each epoch if it finds it under `batch_sampler.sampler`.

    Args:
        shuffle: False: every epoch in the order of the data set, `balanced` or not.
        balanced: the targets (size,): an epoch has as many draws as there are images, but as many of each class, within
            one; see `balanced_draws`. None: each image once.
        shards: the shard of each image (size,): they come in a new order every epoch, and the images of
            `SHARDS_AT_ONCE` neighbours are mixed, so that each shard is read once an epoch. None: all images are mixed.
        smallest: the images that a batch has at least, in each process.

    Raises:
        InputError: there are too few images for one such batch.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int = 0,
        balanced: np.ndarray | None = None,
        shards: np.ndarray | None = None,
        smallest: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if size < max(1, world_size * smallest):
            raise InputError(f"{size} images are too few for {world_size} processes: use fewer devices or more images.")
        self.size = size
        self.shuffle = shuffle
        self.seed = seed
        self.members = None if balanced is None else [np.flatnonzero(balanced == c) for c in np.unique(balanced)]
        self.shards = shards
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self.skip = 0  # batches at the beginning of the next epoch that have been trained on before a resume
        together = batch_size * world_size
        self.starts = list(range(0, size, together))
        if len(self.starts) > 1 and size - self.starts[-1] < smallest * world_size:
            self.starts.pop()

    @property
    def sampler(self) -> "EpochBatchSampler":
        """Return itself: Lightning looks here for `set_epoch` (`lightning.fabric.utilities.data`)."""
        return self

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def order(self) -> np.ndarray:
        """Return this epoch's order of all images, before it is divided into batches and shares."""
        if not self.shuffle:
            return np.arange(self.size)
        rng = np.random.default_rng((self.seed, self.epoch))
        order = rng.permutation(self.size)
        if self.shards is not None:
            windows = rng.permutation(self.shards.max() + 1) // SHARDS_AT_ONCE
            return order[np.argsort(windows[self.shards[order]], kind="stable")]
        if self.members is None:
            return order
        return balanced_draws(self.members, self.size, self.seed, self.epoch)[order]

    def __iter__(self) -> Iterator[Batch]:
        order, epoch, skip = self.order(), self.epoch, self.skip
        self.skip = 0
        repeats = count_repeats(order)
        ends = [*self.starts[1:], self.size]
        for number, (start, end) in list(enumerate(zip(self.starts, ends, strict=True)))[skip:]:
            share = slice(start + self.rank, end, self.world_size)
            yield Batch(epoch, number, order[share], repeats[share])

    def __len__(self) -> int:
        return len(self.starts)


def count_repeats(order: np.ndarray) -> np.ndarray:
    """Return how often each element (N,) has come before in `order` (N,)."""
    sorting = np.argsort(order, kind="stable")
    _, starts, counts = np.unique(order[sorting], return_index=True, return_counts=True)
    repeats = np.empty(len(order), dtype=np.int64)
    repeats[sorting] = np.arange(len(order)) - np.repeat(starts, counts)
    return repeats
