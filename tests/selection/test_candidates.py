"""What takes part in a search, and what is said of the rest."""

from pathlib import Path

import pytest
import torch

from src.data import ImageDataModule
from src.errors import InputError
from src.networks import build_network
from src.selection.candidates import HEAD, SCRATCH, TUNED, WHOLE, choose_networks, choose_sizes, list_candidates
from src.selection.origin import origin_of
from src.settings.trust import without_hydra
from src.training.assemble import to_dict
from tests.support.composed import check_overrides

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


def test_weights_that_cannot_be_read_are_said_to_be_so_once() -> None:
    models = {(name, 16): model for (name, _), model in MODELS.items()}
    with pytest.raises(InputError, match=r"^weights=nowhere.pth is no file"):
        list_candidates(["simple_cnn", "cifar_resnet20"], [16], "nowhere.pth", models, in_channels=3, classes=2)


def test_weights_do_not_hide_that_images_are_too_small(weights: str) -> None:
    with pytest.raises(InputError, match="image_size=2"):
        list_candidates(["simple_cnn"], [2], weights, {("simple_cnn", 2): MODELS["simple_cnn", 16]}, in_channels=3,
                        classes=2)  # fmt: skip


@pytest.mark.parametrize(
    ("seed", "said"), [(1, "but on none that is tested here"), (2, "of these test images, too: the figures are too")]
)
def test_weights_from_these_images_are_said_to_be(seed: int, said: str, digits_run: Path) -> None:
    """Their run divided the images by seed 1."""
    weights = digits_run / "checkpoints" / "best.ckpt"
    cfg = without_hydra(check_overrides("search", ["data=digits", f"seed={seed}", f"weights='{weights}'"]))
    data = ImageDataModule(**to_dict(cfg)["data"], seed=seed)
    data.prepare_data()
    data.setup()
    assert said in origin_of(cfg, data)["weights_of_these_images"]


def test_the_rest_is_named() -> None:
    models = {(name, 16): model for (name, _), model in MODELS.items()}
    found, out = list_candidates(["simple_cnn", "cifar_resnet20"], [16], None, models, in_channels=3, classes=2, most=1)
    assert [candidate.network for candidate in found] == ["simple_cnn"]
    assert out == {"cifar_resnet20, 16 px, from scratch": "only 1 take part: name both model= and sizes="}
