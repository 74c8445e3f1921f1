"""Randomising from the top down: what is random when, and which explanations notice."""

import copy
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from src.attribution.cam import gradcam
from src.attribution.sanity import explained, randomised_from_the_top, top_down
from src.errors import InputError


class Small(nn.Module):
    """Two blocks and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU()
        self.layer1 = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1, stride=2), nn.BatchNorm2d(16), nn.ReLU())
        self.fc = nn.Linear(16, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.layer1(self.relu(self.bn1(self.conv1(images)))).mean(dim=(2, 3)))


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return Small().eval()


@pytest.fixture
def images() -> Tensor:
    return torch.randn(12, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@dataclass
class Edges:
    """An 'explanation' that never asks the network: the steps in brightness from one row to the next."""

    maps: np.ndarray

    @classmethod
    def of(cls, _network: nn.Module, images: Tensor, _targets: Tensor) -> "Edges":
        return cls(images.mean(dim=1).diff(dim=1).numpy())


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Over all images at once; written out here, for attribution knows nothing of analysis."""
    ranks = [maps.reshape(len(maps), -1).argsort(axis=1).argsort(axis=1) for maps in (a, b)]
    return float(np.mean([np.corrcoef(one, two)[0, 1] for one, two in zip(*ranks, strict=True)]))


class TestStages:
    def test_of_a_resnet(self) -> None:
        stages = top_down(resnet18())
        assert [stage for stage, _ in stages] == ["fc", "layer4", "layer3", "layer2", "layer1", "conv1"]
        assert stages[-1] == ("conv1", ["conv1", "bn1"]), "a norm turns random with the convolution before it"

    def test_of_a_wrapped_network(self) -> None:
        assert [stage for stage, _ in top_down(nn.Sequential(nn.Identity(), Small()))] == [
            "1.fc",
            "1.layer1",
            "1.conv1",
        ]

    def test_of_a_single_layer(self) -> None:
        assert top_down(nn.Sequential(nn.Linear(2, 2))) == [("0", ["0"])]

    def test_nothing_to_randomise(self) -> None:
        with pytest.raises(InputError, match="Sequential has no layers with weights"):
            top_down(nn.Sequential(nn.ReLU()))


class TestCascade:
    def test_what_is_random_when(self, network: nn.Module, images: Tensor) -> None:
        trained, seen, shares = copy.deepcopy(network.state_dict()), [], []

        def explain(control: nn.Module, some: Tensor, targets: Tensor) -> Edges:
            state = control.state_dict()
            seen.append({name for name in ("conv1", "layer1.0", "fc") if changed(state, trained, f"{name}.weight")})
            assert changed(state, trained, "bn1.running_var") == ("conv1" in seen[-1])
            assert not control.training
            return Edges.of(control, some, targets)

        targets = torch.zeros(12, dtype=torch.long)
        cascade = randomised_from_the_top(explain, network, images, targets, seeds=(8, 9), progress=shares.append)
        assert [stage for stage, _ in cascade] == ["fc", "fc", "layer1", "layer1", "conv1", "conv1"]
        assert seen == [{"fc"}] * 2 + [{"fc", "layer1.0"}] * 2 + [{"fc", "layer1.0", "conv1"}] * 2
        assert shares == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1])
        assert not any(changed(network.state_dict(), trained, name) for name in trained)

    def test_activations_neither_vanish_nor_explode(self, network: nn.Module, images: Tensor) -> None:
        spreads = []

        def explain(control: nn.Module, some: Tensor, targets: Tensor) -> Edges:
            with torch.no_grad():
                spreads.append(float(control.layer1[:2](control.relu(control.bn1(control.conv1(some)))).std()))
            return Edges.of(control, some, targets)

        huge = images * 1000
        list(
            randomised_from_the_top(
                explain, network, huge, torch.zeros(12, dtype=torch.long), seeds=(8,), batch_size=12
            )
        )
        assert spreads[-1] == pytest.approx(1, abs=0.1)

    def test_an_edge_detector_does_not_notice(self, network: nn.Module, images: Tensor) -> None:
        targets = torch.zeros(12, dtype=torch.long)
        maps = explained(Edges.of, network, images, targets)
        for _, others in randomised_from_the_top(Edges.of, network, images, targets, seeds=(8,)):
            assert spearman(maps, others) == pytest.approx(1)

    def test_gradcam_does(self, network: nn.Module, images: Tensor) -> None:
        def explain(control: nn.Module, some: Tensor, classes: Tensor):
            return gradcam(control, some, classes, layer="layer1")

        targets = gradcam(network, images).targets
        maps = explained(explain, network, images, torch.from_numpy(targets), batch_size=5)
        np.testing.assert_allclose(maps, gradcam(network, images, layer="layer1").maps, atol=1e-6)
        assert spearman(maps, maps) == pytest.approx(1)
        cascade = randomised_from_the_top(explain, network, images, torch.from_numpy(targets), seeds=range(8, 16))
        found: dict[str, list[float]] = {}
        for stage, others in cascade:
            found.setdefault(stage, []).append(spearman(maps, others))
        assert abs(np.mean(found["conv1"])) < 0.3
        assert abs(np.mean(found["fc"])) < 0.5


def changed(state: dict, trained: dict, name: str) -> bool:
    return not torch.equal(state[name], trained[name])
