"""In place while training, with the same bits; in evaluation what comes in stays as it is."""

import pytest
import torch
from torch import Tensor, nn

from src.networks import build_network
from src.networks.relu import ReLU

NETWORKS = ["cifar_resnet20", "cifar_plain20", "mini_resnet_basic_post", "mini_resnet_bottleneck_pre"]


def step(name: str, *, in_place: bool) -> list[Tensor]:
    """Return logits, gradients and batch norm's statistics of a step of training."""
    torch.manual_seed(0)
    network = build_network(name, num_classes=3, in_channels=3, image_size=16).train()
    found = [module for module in network.modules() if isinstance(module, nn.ReLU)]
    assert {type(module) for module in found} == {ReLU}
    for module in found:
        if not in_place:
            module.forward = nn.functional.relu  # type: ignore[method-assign]
    logits = network(torch.rand(4, 3, 16, 16))
    logits.square().sum().backward()
    gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
    assert len(gradients) == len(list(network.parameters()))
    return [logits, *gradients, *network.buffers()]


@pytest.mark.parametrize("name", NETWORKS)
def test_training_in_place_gives_the_same_bits(name: str) -> None:
    for ours, usual in zip(step(name, in_place=True), step(name, in_place=False), strict=True):
        assert torch.equal(ours, usual)


def test_in_place_only_while_training() -> None:
    relu, features = ReLU(), torch.tensor([-1.0, 2.0])
    assert relu.eval()(features).tolist() == [0, 2]
    assert features.tolist() == [-1, 2]
    assert relu.train()(features).data_ptr() == features.data_ptr()
    assert features.tolist() == [0, 2]
