"""What training costs: memory against arithmetic, images a second, and nothing changed by measuring."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from src.cost import network
from src.cost.network import count_parameters
from src.errors import InputError
from src.training import classifier_cost as cost
from src.training.classifier import ImageClassifier

CPU = torch.device("cpu")


def classifier(**settings: Any) -> ImageClassifier:
    arguments: dict[str, Any] = {
        "architecture": {"name": "simple_cnn", "num_classes": 3, "in_channels": 1, "image_size": 16, "width": 16},
        "class_names": ["a", "b", "c"],
        "preprocessing": {"mean": [0.5], "std": [0.25]},
        "optimizer": {"name": "sgd", "lr": 0.1, "weight_decay": 0.0, "momentum": 0.9},
        "scheduler": {"name": "constant"},
    }
    return ImageClassifier(**arguments | settings)


def cost_of(module: ImageClassifier, training_batch_size: int = 8, **settings: Any) -> dict[str, Any]:
    chosen: dict[str, Any] = {"precision": "32-true", "batch_size": 2, "budget": 0.01} | settings
    return cost.classifier_cost(module, device=CPU, training_batch_size=training_batch_size, **chosen)


def test_the_peak_of_training_holds_weights_gradients_momentum_and_activations() -> None:
    module = classifier()
    small, large, again = (
        cost_of(module, size, training_images_per_second=1.0)["training_peak_memory_mib"] for size in (8, 256, 8)
    )
    weights = 4 * count_parameters(module.network) / 2**20
    first_block = 4 * 8 * 16 * 16 * 16 / 2**20  # a batch of 8 behind the first convolution
    assert small > 3 * weights + first_block
    assert large > small + 31 * first_block
    assert again == small


def test_a_frozen_backbone_trains_with_less_memory() -> None:
    frozen, free = (
        cost_of(classifier(freeze=freeze), 64, training_images_per_second=1.0) for freeze in ("backbone", "none")
    )
    assert frozen["training_peak_memory_mib"] < 0.7 * free["training_peak_memory_mib"]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed", "bf16-true"])
def test_measuring_trains_nothing(precision: str) -> None:
    module = classifier().eval()
    state, random_state = copy.deepcopy(module.state_dict()), torch.get_rng_state()
    figures = cost_of(module, precision=precision)
    assert json.loads(json.dumps(figures)) == figures
    assert figures["training_images_per_second"] > 0
    assert figures["precision"] == precision
    assert figures["num_classes"] == 3
    assert figures["memory_format"] == "contiguous"
    assert all(torch.equal(state[name], value) for name, value in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())
    assert not any(part.training for part in module.modules())
    assert torch.equal(random_state, torch.get_rng_state())


def test_images_per_second_are_counted_from_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "time_passes", lambda _, **__: [0.5, 0.25, 0.25])
    assert cost_of(classifier(), 32)["training_images_per_second"] == 96


def test_an_unknown_precision_is_told() -> None:
    with pytest.raises(InputError, match=r"trainer.precision=int8 is not possible here: take auto or 32-true"):
        cost_of(classifier(), precision="int8")


def test_what_was_measured_today_is_taken_again_only_of_the_same_network_and_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Speed in training is the run's own; everything that the rest depends on makes it another measurement."""
    monkeypatch.setenv("RESLENS_CACHE", str(tmp_path))
    measured: list[int] = []
    passes = cost.time_passes
    monkeypatch.setattr(network, "time_passes", lambda *some, **more: measured.append(0) or passes(*some, **more))

    def figures(module: ImageClassifier, speed: float = 1.0, **settings: Any) -> dict[str, Any]:
        given = {"batch_size": 2, "training_batch_size": 2, "precision": "32-true"} | settings
        return cost.classifier_cost(
            module, device=CPU, budget=0.1, training_images_per_second=speed, keep=True, **given
        )

    first = figures(classifier())
    assert len(measured) == 2
    assert figures(classifier(), 7.0) == first | {"training_images_per_second": 7.0}
    assert len(measured) == 2
    for others in (
        {"batch_size": 3},
        {"training_batch_size": 3},
        {"precision": "bf16-mixed"},
        {"module": classifier(freeze="backbone")},
    ):
        before = len(measured)
        figures(**{"module": classifier()} | others)  # type: ignore[arg-type]
        assert len(measured) == before + 2, others
    torch.set_num_threads(threads := torch.get_num_threads() % 2 + 1)
    try:
        assert figures(classifier())["threads"] == threads
        assert len(measured) == 12
    finally:
        torch.set_num_threads(threads % 2 + 1)
