"""The layer that is explained when nobody names one."""

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from src.attribution.layers import default_layer, find_layer, map_sizes
from src.errors import InputError


@pytest.mark.parametrize(("size", "layer"), [(28, "layer1"), (64, "layer2"), (128, "layer3"), (224, "layer4")])
def test_the_deepest_block_with_a_map_of_7x7(size: int, layer: str) -> None:
    assert default_layer(resnet18(), torch.zeros(2, 3, size, size)) == layer


def test_small_stem_at_8_pixels() -> None:
    network = resnet18(num_classes=10)
    network.conv1 = nn.Conv2d(1, 64, 3, padding=1)
    network.maxpool = nn.Identity()  # type: ignore[assignment]
    assert default_layer(network, torch.zeros(1, 1, 8, 8)) == "layer2"


def test_pooling_behind_the_last_block_is_passed_over() -> None:
    network = nn.Sequential()
    network.add_module("block", nn.Conv2d(3, 4, 3, padding=1))
    network.add_module("pool", nn.AvgPool2d(2))
    network.add_module("flatten", nn.Flatten())
    network.add_module("fc", nn.Linear(4 * 16, 2))
    assert default_layer(network, torch.zeros(1, 3, 8, 8)) == "block"


def test_a_wrapped_network_is_looked_into() -> None:
    assert default_layer(nn.Sequential(nn.Identity(), resnet18()), torch.zeros(1, 3, 128, 128)) == "1.layer3"


def test_too_small_for_any_map() -> None:
    with pytest.raises(InputError, match="no layer of ResNet has a map of at least 4×4 for images of 6×6 px"):
        default_layer(resnet18(), torch.zeros(1, 3, 6, 6))


def test_trying_leaves_the_batch_statistics_alone() -> None:
    network = resnet18().train()
    default_layer(network, torch.randn(2, 3, 64, 64))
    assert network.training
    assert network.bn1.num_batches_tracked == 0
    assert not network.layer1._forward_hooks


def test_map_sizes_leave_out_what_runs_twice() -> None:
    sizes = map_sizes(resnet18().eval(), torch.zeros(1, 3, 64, 96))
    assert (sizes["layer1"], sizes["layer4.1.conv2"], sizes["avgpool"]) == ((16, 24), (2, 3), (1, 1))
    assert "layer1.0.relu" not in sizes
    assert "fc" not in sizes


def test_unknown_names_bring_the_nearest() -> None:
    network = resnet18()
    assert find_layer(network, "layer4.1") is network.layer4[1]
    with pytest.raises(InputError, match="no layer 'layer5' in ResNet; near: layer"):
        find_layer(network, "layer5")
    with pytest.raises(InputError, match="no layer 'zzz' in ResNet; near: conv1, bn1, relu, maxpool, layer1"):
        find_layer(network, "zzz")
