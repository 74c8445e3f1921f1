"""A running average of the weights, which is what is validated, kept and used: it forgets the last steps' noise."""

from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch import Tensor, distributed, nn
from torch.optim.swa_utils import AveragedModel


class RunningAverage(EMAWeightAveraging):
    """Lightning's exponential moving average of weights, for runs of any length, that resume with the same bits.

    Step n keeps min(decay, (1 + n) / (10 + n)) of the average, as in TensorFlow's `ExponentialMovingAverage`: it never
    reaches back much further than a tenth of the steps so far. At a decay of 0.998, a run of 3 short epochs averages
    its last steps, where without this warm-up it would still remember its random start, and a long one its last 500.

    Batch norm's statistics are averaged with the weights: those of the present weights would not fit the average, and
    to measure them anew would take a pass over the training images for each validation.

    A checkpoint's `state_dict` is the average, so that no verb need know of it; `current_model_state` is what training
    goes on with.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(decay=decay)
        self._decay = decay
        self._kwargs = {"multi_avg_fn": self._average}

    def _average(self, averages: list[Tensor], values: list[Tensor], _: Any) -> None:
        """Move the averages towards the values; counters, such as of batch norm's batches, are taken over."""
        if not averages[0].is_floating_point():
            torch._foreach_copy_(averages, values)
            return
        steps = self._latest_update_step  # a number: reading the tensor would wait for a GPU
        torch._foreach_lerp_(averages, values, 1 - min(self._decay, (1 + steps) / (10 + steps)))

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._device = trainer.strategy.root_device  # where the module comes to only after this hook
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            pl_module.answering = self._network  # type: ignore[assignment]

    def _network(self) -> nn.Module:
        """Return the network that is validated."""
        assert isinstance(self._average_model, AveragedModel)
        return self._average_model.module.network  # type: ignore[return-value]

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Validate the average; of several processes that of the first, which is the one that is saved."""
        if self._average_model is not None and trainer.world_size > 1:
            for buffer in self._average_model.module.buffers():
                distributed.broadcast(buffer, 0)
        super().on_validation_epoch_start(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Wait: the module has not yet noted what it finds in this validation, such as thresholds."""

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Go on with the present weights, and with what the module has found; checkpoints are written after this."""
        if self._average_model is None:
            return
        self._swap_models(pl_module)
        found = self._average_model.module.buffers(recurse=False)
        for own, value in zip(pl_module.buffers(recurse=False), found, strict=True):
            own.copy_(value)

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Go on with the present weights only where training goes on: the best checkpoint is tested as it is."""
        if trainer.state.fn == "fit":
            super().on_load_checkpoint(trainer, pl_module, checkpoint)

    def state_dict(self) -> dict[str, Any]:
        return {"latest_update_step": self._latest_update_step}
