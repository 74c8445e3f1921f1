"""The CIFAR networks against the paper's counts and a computation by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.cost.network import count_macs, count_parameters
from src.errors import InputError
from src.networks import build_network
from src.networks.cifar_resnet import Block, OptionA

KINDS = ("resnet", "plain")


def by_hand(network: nn.Module, images: Tensor, shortcuts: bool) -> Tensor:
    """The paper's section 4.2 in eval mode, from the state dict alone."""
    weights = network.state_dict()

    def conv_bn(x: Tensor, prefix: str, number: int, stride: int = 1) -> Tensor:
        x = F.conv2d(x, weights[f"{prefix}conv{number}.weight"], stride=stride, padding=1)
        norm = f"{prefix}bn{number}."
        statistics = (weights[norm + "running_mean"], weights[norm + "running_var"])
        return F.batch_norm(x, *statistics, weights[norm + "weight"], weights[norm + "bias"])

    x = F.relu(conv_bn(images, "", 1))
    for stage, planes in ((1, 16), (2, 32), (3, 64)):
        for number in range(sum(key.startswith(f"layer{stage}.") and key.endswith("conv1.weight") for key in weights)):
            stride = 2 if stage > 1 and number == 0 else 1
            prefix = f"layer{stage}.{number}."
            branch = conv_bn(F.relu(conv_bn(x, prefix, 1, stride)), prefix, 2)
            shortcut = torch.zeros_like(branch)
            if shortcuts:
                shortcut[:, : planes // stride] = x[:, :, ::stride, ::stride]
            x = F.relu(branch + shortcut)
    return F.linear(x.mean((2, 3)), weights["fc.weight"], weights["fc.bias"])


def with_random_norms(network: nn.Module) -> nn.Module:
    """Weights, biases and statistics as after some training; those of a fresh norm would hide what is mixed up."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight.data, module.running_var):
                values.uniform_(0.5, 1.5)
            for values in (module.bias.data, module.running_mean):
                values.uniform_(-0.3, 0.3)
    return network


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("depth", "parameters"), [(20, 269_722), (32, 464_154), (44, 658_586), (56, 853_018), (110, 1_727_962)]
)
def test_parameters_and_layers_are_the_papers(kind: str, depth: int, parameters: int) -> None:
    with torch.device("meta"):
        network = build_network(f"cifar_{kind}{depth}", num_classes=10, image_size=32)
    assert count_parameters(network) == parameters
    assert sum(isinstance(module, nn.Conv2d | nn.Linear) for module in network.modules()) == depth


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("size", "channels"), [(32, 3), (15, 1)])
def test_logits_are_those_worked_out_by_hand(kind: str, size: int, channels: int) -> None:
    torch.manual_seed(0)
    network = build_network(f"cifar_{kind}20", num_classes=10, in_channels=channels, image_size=size)
    with_random_norms(network).eval()
    images = torch.randn(2, channels, size, size)
    with torch.no_grad():
        logits = network(images)
        torch.testing.assert_close(logits, by_hand(network, images, kind == "resnet"), rtol=1e-5, atol=1e-5)
        assert not torch.allclose(logits, by_hand(network, images, kind != "resnet"), atol=1e-2)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [6, 7])
def test_option_a_takes_every_other_pixel_and_pads_channels(layout: torch.memory_format, size: int) -> None:
    features = torch.randn(2, 3, size, size).contiguous(memory_format=layout)
    shortcut = OptionA(6)(features)
    assert torch.equal(
        shortcut, torch.cat([features[..., ::2, ::2], torch.zeros(2, 3, -(-size // 2), -(-size // 2))], 1)
    )
    if size % 2 == 0:  # torch takes the subsampled strides of an odd side for contiguous ones
        assert shortcut.is_contiguous(memory_format=layout)


def test_option_a_pads_on_both_sides_where_asked() -> None:
    features = torch.randn(2, 4, 6, 6)
    zeros = torch.zeros(2, 2, 3, 3)
    assert torch.equal(OptionA(8, "both")(features), torch.cat([zeros, features[..., ::2, ::2], zeros], 1))


def test_the_setting_reaches_both_shortcuts_and_no_plain_network() -> None:
    network = build_network("cifar_resnet20", num_classes=10, shortcut_padding="both")
    assert [module.padding for module in network.modules() if isinstance(module, OptionA)] == ["both", "both"]
    for arguments in ({}, {"shortcut_padding": "auto"}):
        usual = build_network("cifar_resnet20", num_classes=10, **arguments)
        assert [module.padding for module in usual.modules() if isinstance(module, OptionA)] == ["behind", "behind"]
    with pytest.raises(InputError, match="model.shortcut_padding=both: cifar_plain20 has no shortcuts"):
        build_network("cifar_plain20", num_classes=10, shortcut_padding="both")
    with pytest.raises(InputError, match="model.shortcut_padding=left is unknown: take auto, behind or both"):
        build_network("cifar_resnet20", num_classes=10, shortcut_padding="left")


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_block_has_no_shortcut(kind: str) -> None:
    block = Block(kind, 4, 4, stride=1)
    nn.init.zeros_(block.bn2.weight)
    features = torch.rand(2, 4, 5, 5)
    assert torch.equal(block(features), features if kind == "resnet" else torch.zeros_like(features))


def test_plain_and_residual_networks_begin_with_the_same_weights() -> None:
    """They are here to be compared, and differ in their shortcuts alone."""
    states = []
    for kind in KINDS:
        torch.manual_seed(4)
        states.append(build_network(f"cifar_{kind}32", num_classes=10).state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_reaches_every_single_weight(kind: str) -> None:
    torch.manual_seed(0)
    network = build_network(f"cifar_{kind}20", num_classes=10, image_size=16)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(network(torch.randn(16, 3, 16, 16)), torch.arange(16) % 10).backward()
        optimizer.step()
    for name, parameter in network.named_parameters():
        assert bool((parameter.grad != 0).all()), name


def test_macs_of_cifar_resnet20_worked_out_by_hand() -> None:
    macs = 32**2 * 9 * 3 * 16 + 64 * 10
    macs += 6 * 32**2 * 9 * 16 * 16
    macs += 16**2 * 9 * (16 * 32 + 5 * 32 * 32)
    macs += 8**2 * 9 * (32 * 64 + 5 * 64 * 64)
    assert count_macs(build_network("cifar_resnet20", num_classes=10, image_size=32), 3, 32) == macs == 40_551_040


def test_too_small_an_image_is_named_with_the_remedy() -> None:
    message = "data.image_size=7 is too small for cifar_plain44: take at least 8 pixels"
    with pytest.raises(InputError, match=message):
        build_network("cifar_plain44", num_classes=10, image_size=7)
