"""The first batch that a training sees, kept as it came: a picture of it shows what augmentation does."""

from typing import Any

import lightning as L
import torch
from torch import Tensor

MOST = 32
"""Images that are kept."""


class FirstBatch(L.Callback):
    """Keeps up to `MOST` images of the first process's first batch, of the training or of what is resumed.

    Attributes:
        images: uint8 (n, C, S, S), augmented and not yet normalised; None before, and where the head learns from
            features that were kept.
        targets: (n,), or of several labels an image (n, K).
        epoch: from 1.
    """

    def __init__(self) -> None:
        self.images: Tensor | None = None
        self.targets = torch.empty(0)
        self.epoch = 0
        self._seen = False

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: tuple[Tensor, Tensor], batch_idx: int
    ) -> Any:
        if self._seen or not trainer.is_global_zero:
            return
        self._seen = True
        images, targets = batch
        if images.ndim == 4:
            # Copies: the memory of the batch may be given to the next one.
            self.images, self.targets = (part[:MOST].detach().cpu().clone() for part in (images, targets))
            self.epoch = trainer.current_epoch + 1
