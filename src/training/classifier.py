"""ImageClassifier: the LightningModule around any network of the table."""

import math
import warnings
from contextlib import nullcontext
from functools import partial
from typing import Any, ClassVar, cast

import lightning as L
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import MetricCollection

from ..analysis.tasks import ONE_CLASS, Task
from ..errors import RunError
from ..networks import build_network, fixed_weights, row_of
from ..resuming.unfinished import gather, put_back, stay_in_epoch
from .budget import share_of_time
from .class_figures import MeanLoss, class_figures
from .mixing import Mixing
from .optimizers import build_optimizer, build_schedule
from .progressive import resized, share_done, side_at
from .small_maps import SmallMaps

STEPS_BETWEEN_CHECKS = 32
"""On a GPU the loss is checked every so many steps, because each check waits for the device.

Each process looks at its own loss, and asks no other: their mean gradient is not finite either, so that all meet it at
the next check, and whoever is first ends all (`src.ranks.crew`). No checkpoint can come in between: it is looked at.
"""


class ImageClassifier(L.LightningModule):
    """Cross-entropy training of a network on uint8 images, measured by the metrics of `src.analysis.metrics`.

    All arguments are plain values and become the checkpoint's hyper-parameters, so that a checkpoint can be used
    without anything else: `architecture` is what `build_network` takes, `preprocessing` what turns a file into the
    network's input (image_size, in_channels, mean and std of the channels in [0, 1], interpolation), `optimizer` and
    `scheduler` what `src.training.optimizers` takes. `class_weights` weigh the training loss by the true class;
    `src.data.class_balance` computes them.

    `freeze` is what stays as it is: `none`, the `backbone`, which is all but the head, or the backbone for the first so
    many epochs. A frozen part is in evaluation mode: its batch norms use the statistics they came with.

    `mixup` and `cutmix` mix training images (`src.training.mixing`, drawn from `seed`), `progressive_size` is the share
    of their side that they begin with (`src.training.progressive`). With `test_flip` an answer is the mean of the
    logits of an image and of its mirror image. `convolutions` says how the training computes small ones
    (`src.training.small_maps`): `auto`, or all by the `library`.
    """

    task: ClassVar[Task] = ONE_CLASS
    mean: Tensor
    std: Tensor
    class_weights: Tensor | None

    def __init__(
        self,
        *,
        architecture: dict[str, Any],
        class_names: list[str],
        preprocessing: dict[str, Any],
        optimizer: dict[str, Any],
        scheduler: dict[str, Any],
        label_smoothing: float = 0.0,
        class_weights: list[float] | None = None,
        freeze: str | int = "none",
        mixup: float = 0.0,
        cutmix: float = 0.0,
        progressive_size: float = 1.0,
        test_flip: bool = False,
        convolutions: str = "library",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.class_names = class_names
        self.network: nn.Module = build_network(**architecture)
        self.head = row_of(self.network).head
        self._frozen = False
        self._freeze(epoch=0)
        self.memory_format = torch.contiguous_format
        # Not in the state dict: they are in `preprocessing`, and a value has one home.
        for name in ("mean", "std"):
            values = torch.tensor(preprocessing[name], dtype=torch.float32).view(1, -1, 1, 1)
            self.register_buffer(name, values, persistent=False)
        weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.register_buffer("class_weights", weights, persistent=False)
        self.evaluated: tuple[str, ...] = ("test",)
        splits = ("train", "val", "test", "baseline", "best_train", "best_val")
        # `train` alone is a method of every module, hence the underscores.
        self.losses = nn.ModuleDict({f"{split}_": MeanLoss() for split in splits})
        self.figures = nn.ModuleDict({f"{split}_": self.make_figures(split) for split in splits})
        self._mixing = None
        if mixup > 0 or cutmix > 0:
            self._mixing = Mixing(mixup=mixup, cutmix=cutmix, num_classes=len(class_names), seed=seed)
        self._finite = torch.tensor(True)
        self._unfinished: dict[str, Any] | None = None

    def normalise(self, images: Tensor) -> Tensor:
        """Return (images / 255 - mean) / std of uint8 images (N, C, H, W), in the network's layout and number format.

        It is computed in float32; with `trainer.precision=bf16-true` and the like the result is converted.
        """
        scaled = images.to(self.mean.device, memory_format=self.memory_format).float()
        scaled = scaled.div_(255).sub_(self.mean.float()).div_(self.std.float())
        return scaled.to(next(self.network.parameters()).dtype)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, classes) of uint8 images (N, C, H, W) or of their features (N, F)."""
        if images.ndim == 2:
            head = cast(nn.Linear, self.network.get_submodule(self.head))  # the table promises one
            return cast(Tensor, head(images.to(head.weight.dtype)))
        return self.answer(self.normalise(images))

    def answer(self, inputs: Tensor) -> Tensor:
        """Return the logits (N, classes) of normalised images (N, C, H, W)."""
        wanted = self.training and self.hparams["convolutions"] == "auto"
        fits = inputs.device.type == "cpu" and self.memory_format is torch.channels_last
        with SmallMaps() if wanted and fits else nullcontext():
            logits = cast(Tensor, self.network(inputs))
        if self.hparams["test_flip"] and not self.training:
            logits = (logits + self.network(inputs.flip(-1))) / 2
        return logits

    def answering(self) -> nn.Module:
        """Return the network that is validated: a running average of this one replaces it (`RunningAverage`)."""
        return self.network

    def features(self, images: Tensor) -> Tensor:
        """Return what the head sees of uint8 images (N, C, H, W): features (N, F)."""
        head = self.network.get_submodule(self.head)
        self.network.set_submodule(self.head, nn.Identity())
        try:
            return cast(Tensor, self.network(self.normalise(images)))
        finally:
            self.network.set_submodule(self.head, head)

    # Freezing ------------------------------------------------------------------------------------------------------

    def on_train_start(self) -> None:
        """Continue in the middle of an epoch if the checkpoint is from there; `on_train_epoch_start` isn't called."""
        self._go_on_in_schedule(0 if self._unfinished is None else self._unfinished["batches"])
        if self._unfinished is not None:
            self._freeze(self.current_epoch)
            put_back(self._unfinished, self.trainer, self.network, self.figures_of_training())
            self._unfinished = None

    def on_train_epoch_start(self) -> None:
        self._freeze(self.current_epoch)

    def _freeze(self, epoch: int) -> None:
        """Freeze or thaw the backbone, as `epoch` (from 0) asks."""
        freeze = self.hparams["freeze"]
        self._frozen = epoch < freeze if isinstance(freeze, int) else freeze == "backbone"
        fixed = fixed_weights(self.network)
        for name, parameter in self.network.named_parameters():
            if self._in_backbone(name) and name not in fixed:
                parameter.requires_grad_(not self._frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> "ImageClassifier":
        super().train(mode)
        if self._frozen:
            for name, module in self.network.named_modules():
                if self._in_backbone(name):
                    module.eval()
        return self

    def _in_backbone(self, name: str) -> bool:
        """Return whether this module or parameter is neither of the head nor around it, as the whole network is."""
        around = not name or f"{self.head}.".startswith(f"{name}.")
        return not (around or name.startswith(f"{self.head}."))

    # The task: what `MultilabelClassifier` does otherwise -----------------------------------------------------------

    def training_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of classes (N,), or of mixed images' shares of each class (N, K)."""
        smoothing, weights = self.hparams["label_smoothing"], self.class_weights
        if targets.ndim == 1 or weights is None:
            return F.cross_entropy(logits, targets, weight=weights, label_smoothing=smoothing)
        # Of shares torch takes the mean over images, whatever these weigh.
        losses = F.cross_entropy(logits, targets, weight=weights, label_smoothing=smoothing, reduction="sum")
        return losses / (targets @ weights).sum()

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss that is measured: all classes alike, and not smoothed."""
        return F.cross_entropy(logits, targets)

    def weight_of(self, targets: Tensor) -> float | Tensor:
        """Return what the loss of a batch weighs in that of an epoch."""
        return len(targets)

    def make_figures(self, split: str) -> MetricCollection:
        return class_figures(len(self.class_names), f"{split}/")

    def count(self, figures: MetricCollection, logits: Tensor, targets: Tensor) -> None:
        figures.update(logits.argmax(dim=1), targets)

    def batch_figures(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return what the progress bar shows of a batch besides its loss."""
        return {"accuracy": (logits.argmax(dim=1) == targets).float().mean()}

    def likeliest(self, shares: Tensor) -> Tensor:
        """Return the targets that mixed images have most of; figures of training are counted by them."""
        return shares.argmax(dim=1)

    def random_targets(self, images: int, device: torch.device) -> Tensor:
        """Return targets of a random batch, on which speed and memory are measured."""
        return torch.randint(len(self.class_names), (images,), device=device)

    # Training ------------------------------------------------------------------------------------------------------

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Tensor]:
        loss, logits, targets = self.learn(batch, batch_idx)
        self._check_finite(loss.detach(), batch_idx)
        self._measure("train", logits.detach(), targets, loss.detach())
        self.log("train/loss_step", loss.detach())
        # A tensor of the CPU: Lightning would copy a number to the GPU, and wait for that.
        self.log("lr", torch.tensor(self.trainer.optimizers[0].param_groups[0]["lr"]))
        return {"loss": loss, **self.batch_figures(logits.detach(), targets)}

    def learn(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return a batch's loss, its logits (N, classes), and the targets that its figures are counted by."""
        images, targets = batch
        if self.hparams["progressive_size"] < 1 and images.ndim == 4:
            images = self._at_its_size(images, batch_idx)
        if self._mixing is None:
            logits = self(images)
            return self.training_loss(logits, targets), logits, targets
        place = (self.current_epoch, batch_idx, self.global_rank)
        inputs, shares = self._mixing(self.normalise(images), targets, *place)
        logits = self.answer(inputs.contiguous(memory_format=self.memory_format))
        return self.training_loss(logits, shares), logits, self.likeliest(shares)

    def _at_its_size(self, images: Tensor, batch_idx: int) -> Tensor:
        """Return the images at the size that this part of the training has."""
        done = share_done(self.trainer, batch_idx)
        return resized(images, side_at(done, images.shape[-1], self.hparams["progressive_size"]))

    def on_train_epoch_end(self) -> None:
        self._stop_unless_finite("in the last steps of the epoch")

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Measure the batch; the logits, (N, classes), go to the callbacks."""
        images, targets = batch
        logits: Tensor = self(images)
        self._measure("val", logits, targets, self.loss(logits, targets))
        return logits

    def on_validation_epoch_end(self) -> None:
        """Stop before a checkpoint of this state can be written: Lightning saves after this hook."""
        self._stop_unless_finite("in the last steps of the epoch")
        if not self.trainer.sanity_checking and not torch.isfinite(self.trainer.callback_metrics["val/loss"]):
            raise RunError(self._advice("the validation loss is not finite"))

    # Evaluation ----------------------------------------------------------------------------------------------------

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Measure data loader i under the name `evaluated[i]`; the logits, (N, classes), go to the callbacks."""
        images, targets = batch
        logits: Tensor = self(images)
        self._measure(self.evaluated[dataloader_idx], logits, targets, self.loss(logits, targets))
        return logits

    def _measure(self, split: str, logits: Tensor, targets: Tensor, loss: Tensor) -> None:
        """Add a batch to the split's metrics, which live on the device and are read once an epoch: no sync here.

        An empty batch adds nothing, but is logged: every process takes part in summing up over all of them.
        """
        mean_loss = cast(MeanLoss, self.losses[f"{split}_"])
        figures = cast(MetricCollection, self.figures[f"{split}_"])
        if len(targets) > 0:
            mean_loss.update(loss, weight=self.weight_of(targets))
            self.count(figures, logits, targets)
        else:  # maybe the only batch of this process
            warnings.filterwarnings("ignore", "The ``compute`` method of metric .* was called before the ``update``")
        self.log(f"{split}/loss", mean_loss, on_step=False, on_epoch=True, add_dataloader_idx=False)
        self.log_dict(figures, on_step=False, on_epoch=True, add_dataloader_idx=False)

    # Optimisation --------------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = build_optimizer(self.network, **self.hparams["optimizer"])
        if self.trainer.train_dataloader is None:  # Lightning asks for it only where epochs end the training
            self.trainer.fit_loop.setup_data()
        estimated, per_epoch = self.trainer.estimated_stepping_batches, self._steps_per_epoch()
        steps = int(estimated) if math.isfinite(estimated) else None  # where a time alone ends the training
        schedule = build_schedule(
            optimizer,
            steps=steps,
            steps_per_epoch=per_epoch,
            spent=partial(share_of_time, self.trainer),
            **self.hparams["scheduler"],
        )
        if schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _steps_per_epoch(self) -> int:
        return math.ceil(self.trainer.num_training_batches / self.trainer.accumulate_grad_batches)

    def _go_on_in_schedule(self, batches: int) -> None:
        """Take the place in the schedule that belongs to the epochs and `batches` done, in steps as they are now.

        A resumed run may have other steps than before: their number in an epoch changes with
        `trainer.accumulate_grad_batches`. Where `trainer.max_steps` ends the training, steps count as they were made.
        """
        schedule = self.lr_schedulers()
        if isinstance(schedule, LRScheduler):
            done = self.current_epoch * self._steps_per_epoch() + batches // self.trainer.accumulate_grad_batches
            by_steps = self.trainer.estimated_stepping_batches == self.trainer.max_steps
            schedule.last_epoch = self.trainer.global_step if by_steps else done

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by norm or by value.

        Lightning refuses to with a fused optimizer in mixed precision, though only fp16 scales its gradients.
        """
        if gradient_clip_val is None:
            return
        if self.trainer.precision == "16-mixed":
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_algorithm == "value":
            nn.utils.clip_grad_value_(self.network.parameters(), gradient_clip_val)
        else:
            nn.utils.clip_grad_norm_(self.network.parameters(), gradient_clip_val)

    # NaN and infinity ----------------------------------------------------------------------------------------------

    def _check_finite(self, loss: Tensor, batch_idx: int) -> None:
        self._finite = self._finite.to(loss.device) & torch.isfinite(loss)
        if loss.device.type == "cpu" or batch_idx % STEPS_BETWEEN_CHECKS == 0:
            self._stop_unless_finite(f"step {batch_idx + 1}")

    def _stop_unless_finite(self, when: str) -> None:
        if not self._finite:
            raise RunError(self._advice(f"the training loss is not finite (epoch {self.current_epoch + 1}, {when})"))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to save a broken network: a weight can overflow in a step whose loss was still finite."""
        states = [checkpoint["state_dict"], checkpoint.get("current_model_state", {})]
        values = [tensor for state in states for tensor in state.values() if tensor.is_floating_point()]
        if not torch.stack([value.isfinite().all() for value in values]).all():
            raise RunError(self._advice(f"a weight is not finite (epoch {self.current_epoch + 1})"))
        checkpoint["unfinished"] = gather(self.trainer, self.network, self.figures_of_training())
        if checkpoint["unfinished"] is not None:
            stay_in_epoch(checkpoint["loops"], self.trainer)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._unfinished = checkpoint.get("unfinished")

    def figures_of_training(self) -> nn.ModuleList:
        return nn.ModuleList([self.losses["train_"], self.figures["train_"]])

    def _advice(self, what: str) -> str:
        rate = self.hparams["optimizer"]["lr"]
        return (
            f"{what}: try a smaller learning rate (optimizer.lr={rate:g} now), trainer.gradient_clip_val=1, "
            "or trainer.precision=32-true"
        )
