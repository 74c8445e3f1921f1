"""How fast training is: images a second, without validation, checkpoints and Grad-CAM."""

import time
from typing import Any

import lightning as L
from torch import Tensor


class Throughput(L.Callback):
    """Logs the training images per second of each epoch, and adds up the run's images and seconds.

    The clock runs from the epoch's start to each batch's end, so waiting for data counts; it stops during validation.
    Nothing here waits for a GPU: compared with an epoch its queue is short.
    """

    def __init__(self) -> None:
        self.images = 0
        self.seconds = 0.0
        self._epoch_images = 0
        self._epoch_seconds = 0.0
        self._mark = 0.0

    @property
    def images_per_second(self) -> float:
        """Over all epochs; 0 before the first batch."""
        return self.images / self.seconds if self.seconds else 0.0

    @property
    def epoch_images_per_second(self) -> float:
        """In the current epoch so far."""
        return self._epoch_images / self._epoch_seconds if self._epoch_seconds else 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._mark = time.perf_counter()  # a run resumed in the middle of an epoch has no epoch start

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._epoch_images, self._epoch_seconds = 0, 0.0
        self._mark = time.perf_counter()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._mark = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: tuple[Tensor, Tensor],
        batch_idx: int,
    ) -> None:
        now = time.perf_counter()
        images, seconds = len(batch[1]) * trainer.world_size, now - self._mark
        self._mark = now
        self._epoch_images += images
        self._epoch_seconds += seconds
        self.images += images
        self.seconds += seconds

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        pl_module.log("images_per_second", self.epoch_images_per_second, rank_zero_only=True)
