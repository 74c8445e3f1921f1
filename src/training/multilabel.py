"""MultilabelClassifier: the LightningModule of networks that give an image any number of labels."""

from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MetricCollection

from ..analysis.label_scores import USUAL_THRESHOLD
from ..analysis.tasks import MULTILABEL, Task
from .classifier import ImageClassifier
from .label_figures import Ranking, add_batch, label_figures


class MultilabelClassifier(ImageClassifier):
    """Binary cross-entropy for each label. Targets are float (N, K): 1, 0, or NaN where nobody knows, which counts not.

    `class_weights` weigh the images that have a label (`pos_weight`). `label_smoothing` moves targets towards a half.

    A label is decided where its probability, the sigmoid of its logit, is at least its threshold. Each validation finds
    the `thresholds` (K,) with the best F1, and the checkpoint of that epoch keeps them. While a network trains, figures
    are those at a half; all that is measured afterwards uses the checkpoint's.
    """

    task: ClassVar[Task] = MULTILABEL
    thresholds: Tensor

    def __init__(self, *, task: str = MULTILABEL.name, **settings: Any) -> None:  # noqa: ARG002  # for the checkpoint
        super().__init__(**settings)
        self.register_buffer("thresholds", torch.full((len(self.class_names),), USUAL_THRESHOLD))

    def training_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        smoothing = self.hparams["label_smoothing"]
        return masked_loss(logits, targets * (1 - smoothing) + smoothing / 2, self.class_weights)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return masked_loss(logits, targets)

    def weight_of(self, targets: Tensor) -> Tensor:
        return (~targets.isnan()).sum()

    def make_figures(self, split: str) -> MetricCollection:
        return label_figures(len(self.class_names), f"{split}/", binned=split == "train")

    def count(self, figures: MetricCollection, logits: Tensor, targets: Tensor) -> None:
        probabilities = logits.double().sigmoid()
        thresholds = self.thresholds if self.trainer.testing else USUAL_THRESHOLD
        add_batch(figures, probabilities, probabilities >= thresholds, targets)

    def batch_figures(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        return {}

    def likeliest(self, shares: Tensor) -> Tensor:
        return (shares > 0.5).float().where(~shares.isnan(), torch.nan)

    def random_targets(self, images: int, device: torch.device) -> Tensor:
        return torch.randint(2, (images, len(self.class_names)), device=device).float()

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        ranking = cast(Ranking, cast(MetricCollection, self.figures["val_"])["map"])
        if not self.trainer.sanity_checking and ranking.update_called:
            self.thresholds.copy_(torch.from_numpy(ranking.best_thresholds()))


def masked_loss(logits: Tensor, targets: Tensor, pos_weight: Tensor | None = None) -> Tensor:
    """Return the mean binary cross-entropy of all labels that are known; 0 where none is."""
    known = ~targets.isnan()
    wanted = targets.nan_to_num(0).to(logits.dtype)
    weight = None if pos_weight is None else pos_weight.to(logits.dtype)
    losses = F.binary_cross_entropy_with_logits(logits, wanted, pos_weight=weight, reduction="none")
    return losses.where(known, 0).sum() / known.sum().clamp(min=1)
