"""What the module adds up over batches, of which some may be empty."""

import math

import lightning as L
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from src.training.classifier import ImageClassifier

Batches = list[tuple[Tensor, Tensor]]


def module() -> ImageClassifier:
    L.seed_everything(3)
    return ImageClassifier(
        architecture={"name": "simple_cnn", "num_classes": 3, "in_channels": 1, "image_size": 8, "width": 4},
        class_names=["a", "b", "c"],
        preprocessing={"mean": [0.5], "std": [0.2]},
        optimizer={},
        scheduler={},
    )


def batches(*sizes: int) -> Batches:
    random = torch.Generator().manual_seed(0)
    return [
        (
            torch.randint(0, 256, (size, 1, 8, 8), dtype=torch.uint8, generator=random),
            torch.randint(0, 3, (size,), generator=random),
        )
        for size in sizes
    ]


def figures(given: Batches, verb: str = "test", **settings: object) -> dict[str, float]:
    trainer = L.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False, **settings
    )
    getattr(trainer, verb)(module(), DataLoader(given, batch_size=None), verbose=False)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.parametrize(("verb", "split"), [("test", "test"), ("validate", "val")])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_an_empty_batch_changes_no_figure(verb: str, split: str, precision: str) -> None:
    some, none = batches(4, 3), batches(0)
    alone = figures(some, verb, precision=precision)
    assert len(alone) == 6
    assert 0 < alone[f"{split}/loss"] < 10
    for given in ([*some, *none], [*none, *some], [some[0], *none, some[1]]):
        assert figures(given, verb, precision=precision) == alone


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_nothing_but_empty_batches_is_no_error() -> None:
    """Such a process takes part in summing up; it doesn't warn, and its own zeros count nothing."""
    model, (none,) = module(), batches(0)
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    trainer.test(model, DataLoader([none], batch_size=None), verbose=False)
    assert trainer.callback_metrics["test/accuracy"] == 0


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_a_loss_that_is_not_a_number_in_one_batch_is_none_in_all() -> None:
    """Left out of the mean, it would let a broken network pass for a whole one."""
    some = batches(4, 3, 4)
    model = module()
    whole = model.forward
    seen = []
    model.forward = lambda images: whole(images) * (float("nan") if (seen.append(0) or len(seen)) == 2 else 1)
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    trainer.test(model, DataLoader(some, batch_size=None), verbose=False)
    assert math.isnan(trainer.callback_metrics["test/loss"])
