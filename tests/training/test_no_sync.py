"""A step of training never waits for the device, but where it looks whether the loss is finite."""

from collections import Counter
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.data import DataLoader
from torchmetrics.classification import MultilabelPrecisionRecallCurve

from src.training.class_figures import MeanLoss
from src.training.classifier import ImageClassifier
from src.training.label_figures import BINS, UNKNOWN, label_figures
from src.training.multilabel import MultilabelClassifier

WAITING = {"_local_scalar_dense", "equal", "bincount", "nonzero", "masked_select", "_unique2", "unique_dim", "histc"}
"""Operations of aten that need to know a value, and on a GPU wait for it; `.item()`, `bool()` and `float()` of a tensor
are the first."""


class Waits(TorchDispatchMode):
    """Counts operations that would wait, and those that would bring a number to the GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        masked = name in ("index", "index_put", "index_put_") and any(
            isinstance(part, Tensor) and part.dtype == torch.bool for part in tree_iter(args[1])
        )
        if name in WAITING or masked:
            self.seen[name] += 1
        return func(*args, **(kwargs or {}))


def waits_in_steps(classifier: type[ImageClassifier], targets: Tensor) -> list[Counter[str]]:
    """What each step of a small training waits for."""
    L.seed_everything(3)
    module = classifier(
        architecture={"name": "simple_cnn", "num_classes": 3, "in_channels": 1, "image_size": 8, "width": 4},
        class_names=["a", "b", "c"],
        preprocessing={"mean": [0.5], "std": [0.2]},
        optimizer={"name": "sgd", "lr": 0.1, "weight_decay": 0.0},
        scheduler={"name": "constant"},
    )
    step, seen = module.training_step, []

    def watched(batch: tuple[Tensor, Tensor], batch_idx: int) -> Any:
        with Waits() as waits:
            result = step(batch, batch_idx)
        seen.append(waits.seen)
        return result

    module.training_step = watched  # type: ignore[method-assign]
    images = torch.randint(0, 256, (len(targets), 4, 1, 8, 8), dtype=torch.uint8)
    trainer = L.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False, max_epochs=1,
        enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(module, DataLoader(list(zip(images, targets, strict=True)), batch_size=None))
    return seen


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*no `val_dataloader`")
@pytest.mark.parametrize(
    ("classifier", "targets"),
    [(ImageClassifier, torch.randint(3, (4, 4))), (MultilabelClassifier, torch.randint(2, (4, 4, 3)).float())],
)
def test_a_step_waits_for_its_check_alone(classifier: type[ImageClassifier], targets: Tensor) -> None:
    first, *others = waits_in_steps(classifier, targets)
    assert first["_local_scalar_dense"] >= 1  # on a CPU each step looks at its loss; the first one groups metrics
    assert others == [Counter({"_local_scalar_dense": 1})] * 3


def test_a_mean_loss_is_weighted_and_keeps_what_is_not_a_number() -> None:
    mean = MeanLoss()
    mean.update(torch.tensor(2.0), 3)
    mean.update(torch.tensor(6.0), torch.tensor(1))
    assert mean.compute() == 3
    mean.update(torch.tensor(float("nan")), 1)
    mean.update(torch.tensor(1.0), 1)
    assert mean.compute().isnan()


def test_the_ranking_of_an_epoch_counts_as_torchmetrics_does() -> None:
    random = torch.Generator().manual_seed(0)
    ours = label_figures(3, "", binned=True)["map"]
    theirs = MultilabelPrecisionRecallCurve(3, thresholds=BINS, ignore_index=UNKNOWN)
    for _ in range(2):
        said = torch.rand(20, 3, generator=random, dtype=torch.float64)
        true = torch.randint(UNKNOWN, 2, (20, 3), generator=random)
        ours.update(preds=said, target=true)
        theirs.update(said, true)
    assert torch.equal(ours.confmat, theirs.confmat)
