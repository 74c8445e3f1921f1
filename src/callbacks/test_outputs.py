"""The logits of each test image, kept for tables and pictures."""

from typing import cast

import lightning as L
import numpy as np
import torch
from torch import Tensor


class Predictions(L.Callback):
    """Keeps logits and targets of the data loader measured as `test`, in its order."""

    def __init__(self) -> None:
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
        if cast("tuple[str, ...]", pl_module.evaluated)[dataloader_idx] == "test":
            self._logits.append(outputs.float().cpu())
            self._targets.append(batch[1].cpu())

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
