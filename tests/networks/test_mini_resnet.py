"""Mini-ResNet and its four blocks against a computation by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.attribution.layers import default_layer
from src.cost.network import count_macs, count_parameters
from src.errors import InputError
from src.networks import build_network

PARAMETERS = {
    "mini_resnet_basic_post": 698_553,
    "mini_resnet_bottleneck_post": 59_257,
    "mini_resnet_basic_pre": 698_233,
    "mini_resnet_bottleneck_pre": 58_937,
}
KERNELS = {"basic": (3, 3), "bottleneck": (1, 3, 1)}


class ByHand:
    """The network in eval mode from its weights alone, taken one by one in the order of the forward pass."""

    def __init__(self, network: nn.Module) -> None:
        self.weights = network.state_dict()
        self.used: set[str] = set()

    def __getitem__(self, key: str) -> Tensor:
        self.used.add(key)
        return self.weights[key]

    def norm(self, x: Tensor, name: str) -> Tensor:
        mean, variance = (self[f"{name}.running_{which}"].view(-1, 1, 1) for which in ("mean", "var"))
        weight, bias = (self[f"{name}.{which}"].view(-1, 1, 1) for which in ("weight", "bias"))
        return (x - mean) / (variance + 1e-5).sqrt() * weight + bias

    def post(self, x: Tensor, block: str, kernels: tuple[int, ...], stride: int) -> Tensor:
        branch = x
        for number, kernel in enumerate(kernels, start=1):
            step = stride if number == kernels.index(3) + 1 else 1
            branch = F.conv2d(branch, self[f"{block}.branch.conv{number}.weight"], stride=step, padding=kernel // 2)
            branch = self.norm(branch, f"{block}.branch.bn{number}")
            if number < len(kernels):
                branch = F.relu(branch)
        if stride == 2:
            x = self.norm(F.conv2d(x, self[f"{block}.downsample.0.weight"], stride=2), f"{block}.downsample.1")
        return F.relu(x + branch)

    def pre(self, x: Tensor, block: str, kernels: tuple[int, ...], stride: int) -> Tensor:
        first = branch = F.relu(self.norm(x, f"{block}.bn1"))
        for number, kernel in enumerate(kernels, start=1):
            if number > 1:
                branch = F.relu(self.norm(branch, f"{block}.branch.bn{number}"))
            step = stride if number == kernels.index(3) + 1 else 1
            branch = F.conv2d(branch, self[f"{block}.branch.conv{number}.weight"], stride=step, padding=kernel // 2)
        if stride == 2:
            x = F.conv2d(first, self[f"{block}.downsample.weight"], stride=2)
        return x + branch

    def logits(self, images: Tensor, kind: str, order: str) -> Tensor:
        x = F.relu(self.norm(F.conv2d(images, self["conv1.weight"], padding=1), "bn1"))
        for stage in (1, 2, 3):
            for number in (0, 1):
                stride = 2 if stage > 1 and number == 0 else 1
                x = getattr(self, order)(x, f"layer{stage}.{number}", KERNELS[kind], stride)
        if order == "pre":
            x = F.relu(self.norm(x, "norm.bn"))
        return x.mean((2, 3)) @ self["fc.weight"].T + self["fc.bias"]


def with_random_norms(network: nn.Module) -> nn.Module:
    """Weights, biases and statistics as after some training; those of a fresh norm would hide what is mixed up."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight.data, module.running_var):
                values.uniform_(0.5, 1.5)
            for values in (module.bias.data, module.running_mean):
                values.uniform_(-0.3, 0.3)
    return network


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name: str) -> None:
    assert count_parameters(build_network(name, num_classes=25, image_size=64)) == PARAMETERS[name]


@pytest.mark.parametrize(("order", "basic", "wide"), [("post", 698_553, 697_563), ("pre", 698_233, 696_423)])
def test_bottlenecks_of_width_114_have_as_many_parameters_as_basic_blocks(order: str, basic: int, wide: int) -> None:
    """The study `mini_resnet_blocks` compares them: no other width is nearer."""
    counts = {
        width: count_parameters(
            build_network(f"mini_resnet_bottleneck_{order}", num_classes=25, image_size=64, width=width)
        )
        for width in (113, 114, 115)
    }
    assert counts[114] == wide
    assert min(counts, key=lambda width: abs(counts[width] - basic)) == 114


def test_the_usual_width_is_that_of_earlier_versions() -> None:
    networks = []
    for arguments in ({}, {"width": 32}):
        torch.manual_seed(0)
        networks.append(build_network("mini_resnet_bottleneck_pre", num_classes=5, image_size=16, **arguments))
    one, other = (network.state_dict() for network in networks)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_too_narrow_a_network_is_named_with_the_remedy() -> None:
    message = "model.width=3 is too small: mini_resnet_basic_pre takes at least 4 channels, 32 by default"
    with pytest.raises(InputError, match=message):
        build_network("mini_resnet_basic_pre", num_classes=10, width=3)


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize(("size", "channels"), [(16, 3), (9, 1)])
def test_logits_are_those_worked_out_by_hand(name: str, size: int, channels: int) -> None:
    torch.manual_seed(0)
    network = with_random_norms(build_network(name, num_classes=5, in_channels=channels, image_size=size)).eval()
    images = torch.randn(2, channels, size, size)
    hand = ByHand(network)
    with torch.no_grad():
        expected = hand.logits(images, *name.split("_")[2:])
        torch.testing.assert_close(network(images), expected, rtol=1e-5, atol=1e-5)
    assert hand.used == {key for key in hand.weights if "num_batches" not in key}


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_gradient_reaches_every_single_weight(name: str) -> None:
    torch.manual_seed(0)
    network = build_network(name, num_classes=10, image_size=16)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(network(torch.randn(16, 3, 16, 16)), torch.arange(16) % 10).backward()
        optimizer.step()
    for key, parameter in network.named_parameters():
        assert bool((parameter.grad != 0).all()), key


@pytest.mark.parametrize("name", PARAMETERS)
def test_no_block_has_a_head_start(name: str) -> None:
    """All norms begin at one, in every kind of block: post blocks could begin as their shortcut, pre blocks can't."""
    norms = [m for m in build_network(name, num_classes=5).modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert all(torch.equal(norm.weight, torch.ones_like(norm.weight)) for norm in norms)


@pytest.mark.parametrize("order", ["post", "pre"])
@pytest.mark.parametrize("size", [32, 64])
def test_macs_worked_out_by_hand(order: str, size: int) -> None:
    first, second, third = size**2, (size // 2) ** 2, (size // 4) ** 2
    ends = first * 9 * 3 * 32 + 128 * 25
    projections = second * 32 * 64 + third * 64 * 128
    basic = 9 * (first * 4 * 32 * 32 + second * (32 * 64 + 3 * 64 * 64) + third * (64 * 128 + 3 * 128 * 128))
    bottleneck = first * 2 * (2 * 32 * 8 + 9 * 8 * 8)
    for before, inside, after, width in ((first, 32, second, 64), (second, 64, third, 128)):
        quarter = width // 4
        bottleneck += before * inside * quarter + after * (9 * quarter**2 + quarter * width)
        bottleneck += after * (2 * width * quarter + 9 * quarter**2)
    for kind, branches in (("basic", basic), ("bottleneck", bottleneck)):
        network = build_network(f"mini_resnet_{kind}_{order}", num_classes=25, image_size=size)
        assert count_macs(network, 3, size) == ends + projections + branches


@pytest.mark.parametrize(
    ("order", "size", "layer"),
    [("pre", 64, "norm"), ("post", 64, "layer3"), ("pre", 8, "layer2"), ("post", 8, "layer2")],
)
def test_grad_cam_explains_what_the_head_averages(order: str, size: int, layer: str) -> None:
    network = with_random_norms(build_network(f"mini_resnet_basic_{order}", num_classes=5)).eval()
    images = torch.randn(1, 3, size, size)
    assert default_layer(network, images) == layer
    if size == 64:
        maps: list[Tensor] = []
        getattr(network, layer).register_forward_hook(lambda _module, _inputs, output: maps.append(output))
        with torch.no_grad():
            torch.testing.assert_close(network(images), network.fc(maps[0].mean((2, 3))))
        assert maps[0].min() == 0


def test_too_small_an_image_is_named_with_the_remedy() -> None:
    message = "data.image_size=7 is too small for mini_resnet_bottleneck_pre: take at least 8 pixels"
    with pytest.raises(InputError, match=message):
        build_network("mini_resnet_bottleneck_pre", num_classes=10, image_size=7)
