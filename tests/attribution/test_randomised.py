"""Random weights as a control have nothing of the network left, neither of what it learned nor of where it began."""

import pytest
import torch
from torch import nn

from src.attribution.randomised import randomised
from src.errors import InputError
from src.networks import build_network


def fresh(name: str, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return build_network(name, num_classes=10, image_size=32)


def weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.flatten() for name, value in network.named_parameters() if value.ndim > 1}


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", ["simple_cnn", "cifar_plain20", "mini_resnet_basic_pre", "resnet18"])
def test_nothing_is_left_of_a_network_begun_with_the_seed_of_a_run(name: str, seed: int) -> None:
    network = fresh(name, seed)
    control = weights(randomised(network))
    for layer, own in weights(network).items():
        correlation = torch.corrcoef(torch.stack([own, control[layer]]))[0, 1]
        assert abs(correlation) < 5 / len(own) ** 0.5, layer


def test_layers_that_are_not_named_and_the_random_state_stay() -> None:
    network, state = fresh("resnet18", 0), torch.get_rng_state()
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    control = randomised(network, layers=["fc", "layer4.1"], images=images)
    assert torch.equal(torch.get_rng_state(), state)
    own, theirs = network.state_dict(), control.state_dict()
    changed = {name for name in own if not torch.equal(own[name], theirs[name])}
    assert changed
    assert all(name.startswith(("fc.", "layer4.1.")) for name in changed)


def test_the_statistics_are_those_of_the_images() -> None:
    images = 3 + 2 * torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    network = fresh("resnet18", 0)
    control = randomised(network, images=images)
    stem = control.conv1(images)
    torch.testing.assert_close(control.bn1.running_mean, stem.mean(dim=(0, 2, 3)), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(control.bn1.running_var, stem.var(dim=(0, 2, 3)), rtol=1e-3, atol=1e-3)
    assert 0.05 < control(images).std() < 50
    assert not control.training


def test_one_image_with_one_cell_has_no_variance() -> None:
    network = fresh("resnet18", 0)
    with pytest.raises(InputError, match="one image has no variance"):
        randomised(network, images=torch.randn(1, 3, 8, 8))
