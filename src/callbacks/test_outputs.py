"""The logits of each test image, or of another split's, kept for tables and pictures."""

from collections.abc import Iterable
from typing import Any, cast

import lightning as L
import numpy as np
import torch
from torch import Tensor, distributed

from ..data.batches import Batch


class Predictions(L.Callback):
    """Keeps logits and targets of the data loader measured as `split`, in the order of its data set.

    Of several processes each has seen a share; when all is seen, the first gets those of all, and the others none.
    """

    def __init__(self, split: str = "test") -> None:
        self.split = split
        self._logits: list[Tensor] = []
        self._targets: list[Tensor] = []

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._logits, self._targets = [], []

    def on_test_batch_end(  # type: ignore[override]
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Tensor,
        batch: tuple[Tensor, Tensor],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if cast("tuple[str, ...]", pl_module.evaluated)[dataloader_idx] == self.split:
            self._logits.append(outputs.float().cpu())
            self._targets.append(batch[1].cpu())

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        evaluated = cast("tuple[str, ...]", pl_module.evaluated)
        if trainer.world_size > 1 and self.split in evaluated:
            loaders: Any = trainer.test_dataloaders
            loader = loaders[evaluated.index(self.split)] if isinstance(loaders, list) else loaders
            self._gather(trainer, loader.batch_sampler)

    def _gather(self, trainer: L.Trainer, batches: Iterable[Batch]) -> None:
        """Give the first process the shares of all, and put the images in the order of the data set.

        `trainer.limit_test_batches` may have cut the shares off.
        """
        logits, targets = torch.cat(self._logits), torch.cat(self._targets)
        indices = torch.from_numpy(np.concatenate([batch.indices for batch in batches]))[: len(targets)]
        shares: list[tuple[Tensor, ...]] | None = [()] * trainer.world_size if trainer.is_global_zero else None
        distributed.gather_object((indices, logits, targets), shares)
        self._logits, self._targets = [], []
        if shares is not None:
            indices, logits, targets = (torch.cat(parts) for parts in zip(*shares, strict=True))
            order = indices.argsort()
            self._logits, self._targets = [logits[order]], [targets[order]]

    @property
    def targets(self) -> np.ndarray:
        """Class indices, (N,) int64."""
        return torch.cat(self._targets).numpy()

    @property
    def logits(self) -> np.ndarray:
        """(N, classes) float32, whatever the network's number format."""
        return torch.cat(self._logits).numpy()

    @property
    def probabilities(self) -> np.ndarray:
        """Softmax of the logits, (N, classes) float32."""
        return torch.cat(self._logits).softmax(dim=1).numpy()
