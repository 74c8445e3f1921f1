"""Which images come in which batch: a function of seed and epoch alone, so that a resumed run goes on as it was."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from src.errors import InputError


class Batch(NamedTuple):
    """What a data set is asked for: `indices` (n,) into the data set, for batch `number` of `epoch` (both from 0)."""

    epoch: int
    number: int
    indices: np.ndarray


class EpochBatchSampler(Sampler[Batch]):
    """Batches of one process's share of every epoch: all images, each once, over all processes together.

    Batch k of all processes is a run of `batch_size * world_size` images of the epoch's order; process `rank` takes
    every `world_size`-th of them. So there are as many batches in every process, and no image is shown twice to fill
    one up. A remainder of fewer than `smallest * world_size` images joins the batch before: batch norm cannot train on
    a single image.

    The order is drawn from (seed, epoch), never from a global generator; `set_epoch` moves on. Lightning calls it at
    the start of each epoch if it finds it under `batch_sampler.sampler`.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int = 0,
        smallest: int = 1,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if size < world_size * smallest:
            raise InputError(f"{size} images are too few for {world_size} processes: use fewer devices or more images.")
        self.size = size
        self.shuffle = shuffle
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        together = batch_size * world_size
        self.starts = list(range(0, size, together))
        if len(self.starts) > 1 and size - self.starts[-1] < smallest * world_size:
            self.starts.pop()

    @property
    def sampler(self) -> "EpochBatchSampler":
        """Where Lightning looks for `set_epoch` (`lightning.fabric.utilities.data._set_sampler_epoch`)."""
        return self

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def order(self) -> np.ndarray:
        """This epoch's order of all images, before it is divided into batches and shares."""
        if not self.shuffle:
            return np.arange(self.size)
        return np.random.default_rng((self.seed, self.epoch)).permutation(self.size)

    def __iter__(self) -> Iterator[Batch]:
        order, epoch = self.order(), self.epoch
        ends = [*self.starts[1:], self.size]
        for number, (start, end) in enumerate(zip(self.starts, ends, strict=True)):
            yield Batch(epoch, number, order[start:end][self.rank :: self.world_size])

    def __len__(self) -> int:
        return len(self.starts)
