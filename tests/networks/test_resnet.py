"""The ResNets against torchvision's own, with copied weights."""

import pytest
import torch
import torch.nn.functional as F
from torchvision.models import resnet as torchvision_resnet

from src.cost.network import count_macs, count_parameters
from src.errors import InputError
from src.networks import NETWORKS, build_network
from src.networks.resnet import resolve_stem

PARAMETERS = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "wide_resnet50_2": 68_883_240,
    "resnext50_32x4d": 25_028_904,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_logits_and_gradients_are_torchvisions(name: str) -> None:
    torch.manual_seed(0)
    theirs = getattr(torchvision_resnet, name)()
    ours = build_network(name, num_classes=1000)
    ours.load_state_dict(theirs.state_dict())
    assert count_parameters(ours) == PARAMETERS[name]

    images, targets = torch.randn(2, 3, 64, 64), torch.tensor([1, 7])
    gradients = []
    for network in (theirs, ours):
        network.train()
        loss = F.cross_entropy(network(images), targets)
        gradients.append(torch.autograd.grad(loss, list(network.parameters())))
    for expected, gradient in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-5)
    theirs.eval(), ours.eval()
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "giga"),
    [("resnet18", 1.814), ("resnet34", 3.664), ("resnet50", 4.089), ("wide_resnet50_2", 11.398),
     ("resnext50_32x4d", 4.230)],
)  # fmt: skip
def test_macs_are_the_published_ones(name: str, giga: float) -> None:
    network = build_network(name, num_classes=1000)
    before = [buffer.clone() for buffer in network.buffers()]
    assert count_macs(network, 3, 224) == pytest.approx(giga * 1e9, rel=1e-3)
    assert network.training
    assert all(torch.equal(old, new) for old, new in zip(before, network.buffers(), strict=True))


@pytest.mark.parametrize(
    ("size", "stem", "pool", "side"),
    [(64, "auto", "auto", 64), (65, "auto", "auto", 17), (64, "imagenet", "auto", 16), (64, "imagenet", False, 32),
     (32, "small", True, 16), (8, "auto", "auto", 8), (28, "imagenet", "auto", 7)],
)  # fmt: skip
def test_what_the_stem_leaves(size: int, stem: str, pool: object, side: int) -> None:
    with torch.device("meta"):
        network = build_network("resnet18", num_classes=2, in_channels=1, image_size=size, stem=stem, stem_pool=pool)
        features = network.maxpool(network.relu(network.bn1(network.conv1(torch.empty(1, 1, size, size)))))
    assert features.shape == (1, 64, side, side)
    assert resolve_stem(size, stem, pool)[0] == ("imagenet" if network.conv1.kernel_size == (7, 7) else "small")


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("size", "channels"), [(8, 1), (15, 3), (65, 3)])
def test_any_size_channels_and_classes(name: str, size: int, channels: int) -> None:
    with torch.device("meta"):
        network = build_network(name, num_classes=7, in_channels=channels, image_size=size)
        assert network(torch.empty(3, channels, size, size)).shape == (3, 7)


@pytest.mark.parametrize("name", ["resnet18", "simple_cnn"])
def test_one_batch_can_be_overfitted(name: str) -> None:
    torch.manual_seed(0)
    network = build_network(name, num_classes=4, in_channels=1, image_size=8)
    images, targets = torch.randn(16, 1, 8, 8), torch.arange(16) % 4
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    for _ in range(25):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(images), targets)
        loss.backward()
        optimizer.step()
    assert loss < 0.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet51"}, "model 'resnet51' is unknown; nearest: resnet50"),
        ({"name": "resnet18", "num_classes": 1}, "num_classes=1"),
        ({"name": "resnet18", "in_channels": 0}, "in_channels=0"),
        ({"name": "resnet18", "image_size": 6, "stem": "imagenet"}, "data.image_size=6 is too small for resnet18"),
        ({"name": "simple_cnn", "image_size": 7}, "data.image_size=7 is too small for simple_cnn"),
        ({"name": "simple_cnn", "width": 0}, "model.width=0"),
        ({"name": "resnet18", "stem": "huge"}, "model.stem=huge"),
        ({"name": "resnet18", "stem_pool": "maybe"}, "model.stem_pool=maybe"),
        ({"name": "simple_cnn", "stem": "small"}, "model simple_cnn has no setting 'stem'"),
    ],
)
def test_what_cannot_be_built_says_why(arguments: dict, message: str) -> None:
    with pytest.raises(InputError) as error:
        build_network(**{"num_classes": 10, "image_size": 8} | arguments)
    assert message in str(error.value)


def test_the_smallest_image_that_the_message_names_is_enough() -> None:
    with pytest.raises(InputError, match="take at least 13 pixels"):
        build_network("resnet18", num_classes=2, image_size=12, stem="imagenet", stem_pool=True)
    with torch.device("meta"):
        network = build_network("resnet18", num_classes=2, image_size=13, stem="imagenet", stem_pool=True)
        stem = network.maxpool(network.conv1(torch.empty(1, 3, 13, 13)))
    assert stem.shape[-2:] == (4, 4)


def test_an_automatic_stem_keeps_its_pooling_where_a_map_of_4x4_is_left() -> None:
    assert resolve_stem(13, "imagenet", "auto") == ("imagenet", True)
    assert resolve_stem(12, "imagenet", "auto") == ("imagenet", False)
    assert resolve_stem(8, "imagenet", True) == ("imagenet", True)
    assert resolve_stem(64, "auto", "auto") == ("small", False)
