"""The head is fitted to the features: as well as scikit-learn would, and before the first step."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from sklearn.linear_model import LogisticRegression

from src.errors import InputError
from src.train import train
from src.training.head_first import PENALTIES, choose_penalty, fit_head
from tests.training.test_classifier import batches, module
from tests.training.test_multilabel import module as label_module

Config = Callable[..., DictConfig]


def test_the_head_is_the_one_with_the_least_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("src.training.head_first.PENALTIES", (1.0,))
    own = module()
    given = batches(40, 40, 23)
    targets = torch.cat([target for _, target in given])
    before = {name: value.clone() for name, value in own.state_dict().items() if not name.startswith("network.fc")}
    torch.manual_seed(1)
    random = torch.get_rng_state()
    fit_head(own, given, targets, device=torch.device("cpu"), context=nullcontext())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, own.state_dict()[name]) for name, value in before.items())
    own.eval()
    with torch.no_grad():
        features = torch.cat([own.features(images) for images, _ in given])
        answers = torch.cat([own(images) for images, _ in given])
    centred = features - features.mean(dim=0)
    scaled = (centred / centred.square().mean().sqrt()).numpy()
    other = LogisticRegression(max_iter=1000, tol=1e-8).fit(scaled, targets.numpy())
    np.testing.assert_allclose(answers.softmax(dim=1).numpy(), other.predict_proba(scaled), atol=2e-3)


def test_large_weights_cost_what_images_held_out_say() -> None:
    """Noise is worth the largest penalty; features that tell the classes apart, the smallest."""
    random = torch.Generator().manual_seed(0)
    targets, noise = torch.arange(200) % 10, torch.randn(200, 64, generator=random)
    own, head = module(), torch.nn.Linear(64, 10)
    assert choose_penalty(own, head, noise, targets) == PENALTIES[-1]
    clear = noise + 20 * torch.eye(64)[targets]
    assert choose_penalty(own, head, clear, targets) == PENALTIES[0]
    assert choose_penalty(own, head, clear[:4], targets[:4]) == PENALTIES[-1], "too few to hold any out"


def test_unknown_labels_count_nothing() -> None:
    own = label_module()
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (20, 3, 16, 16), dtype=torch.uint8, generator=random)
    targets = torch.randint(0, 2, (20, 3), generator=random).float()
    targets[3] = torch.nan
    fit_head(own, [(images, targets)], targets, device=torch.device("cpu"), context=nullcontext())
    assert all(weight.isfinite().all() for weight in own.parameters())


def test_without_pretrained_weights_there_is_nothing_to_fit_to(config: Config, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="head_first=true fits the head to pretrained features: say weights="):
        train(config("data=digits", "head_first=true"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_training_begins_with_it(config: Config, tmp_path: Path) -> None:
    """From a run's own weights: the first epoch is as good as the run was, though its head is new."""
    words = (
        "data=digits", "data.max_images=300", "model=simple_cnn", "trainer=cpu", "baseline=false", "cost=false",
        "callbacks.gradcam=null",
    )  # fmt: skip
    # another seed, or the new head would be the one that the run began with
    before = train(config(*words, "trainer.max_epochs=3", "seed=5"), tmp_path / "before")
    tuned = (*words, f"weights='{tmp_path / 'before'}'", "head=new", "trainer.max_epochs=1", "optimizer.lr=1e-6")
    random = train(config(*tuned), tmp_path / "random")
    fitted = train(config(*tuned, "head_first=true"), tmp_path / "fitted")
    assert random["val/accuracy"] < 0.5 < fitted["val/accuracy"]
    assert fitted["val/accuracy"] > before["val/accuracy"] - 0.05
