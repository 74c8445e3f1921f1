"""What takes part in a search, and what is said of the rest."""

from pathlib import Path

import pytest
import torch

from src.errors import InputError
from src.networks import build_network
from src.selection.candidates import HEAD, SCRATCH, TUNED, WHOLE, choose_networks, choose_sizes, list_candidates

MODELS = {
    ("simple_cnn", 16): {"name": "simple_cnn", "width": 4},
    ("cifar_resnet20", 16): {"name": "cifar_resnet20", "shortcut_padding": "auto"},
    ("cifar_resnet20", 4): {"name": "cifar_resnet20", "shortcut_padding": "auto"},
}


@pytest.fixture
def weights(tmp_path: Path) -> str:
    torch.save(build_network("cifar_resnet20", num_classes=5).state_dict(), tmp_path / "mine.pth")
    return str(tmp_path / "mine.pth")


def test_an_unknown_network_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"model=resnet81 is unknown; nearest: .*resnet18"):
        choose_networks(["simple_cnn", "resnet81"])
    assert choose_networks(["simple_cnn", "simple_cnn"]) == ["simple_cnn"]


def test_photographs_are_tried_smaller_too() -> None:
    assert choose_sizes(None, 224) == [224, 128, 64]
    assert choose_sizes(None, 128) == [128, 96, 64]
    assert choose_sizes(None, 32) == [32]
    assert choose_sizes([64, 128, 64], 224) == [128, 64]


def test_weights_are_for_the_networks_that_they_fit(weights: str) -> None:
    found, _ = list_candidates(["simple_cnn", "cifar_resnet20"], [16], weights, MODELS, in_channels=3, classes=2)
    assert {(candidate.network, candidate.how) for candidate in found} == {
        ("simple_cnn", SCRATCH),
        *(("cifar_resnet20", how) for how in (HEAD, TUNED, WHOLE, SCRATCH)),
    }
    assert found[0].how == HEAD, "what is trained already, and cheap, is tried first"
    assert f"weights='{weights}'" in found[0].words
    assert "freeze=backbone" in found[0].words
    assert len({candidate.name for candidate in found}) == len(found)


def test_weights_that_fit_none_are_refused(weights: str) -> None:
    with pytest.raises(InputError, match=r"mine.pth fit none of simple_cnn \("):
        list_candidates(["simple_cnn"], [16], weights, MODELS, in_channels=3, classes=2)


def test_the_rest_is_named() -> None:
    models = {(name, 16): model for (name, _), model in MODELS.items()}
    found, out = list_candidates(["simple_cnn", "cifar_resnet20"], [16], None, models, in_channels=3, classes=2, most=1)
    assert [candidate.network for candidate in found] == ["simple_cnn"]
    assert out == {"cifar_resnet20, 16 px, from scratch": "only 1 take part: name them with model= and sizes="}
