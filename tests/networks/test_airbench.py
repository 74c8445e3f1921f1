"""airbench94's network against its published code, written down again, and what its stem makes of images."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.cost.network import count_macs, count_parameters
from src.errors import InputError
from src.networks import build_network, fixed_weights
from src.networks.airbench import Airbench, Whitening
from src.training.optimizers import build_optimizer


def published() -> nn.Sequential:
    """`make_net` of airbench94.py; its batch norms have no trained weights, its head no bias."""

    class Multiply(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x / 9

    def group(channels_in: int, channels_out: int) -> list[nn.Module]:
        return [
            nn.Conv2d(channels_in, channels_out, 3, padding="same", bias=False), nn.MaxPool2d(2),
            nn.BatchNorm2d(channels_out, eps=1e-12, momentum=0.4), nn.GELU(),
            nn.Conv2d(channels_out, channels_out, 3, padding="same", bias=False),
            nn.BatchNorm2d(channels_out, eps=1e-12, momentum=0.4), nn.GELU(),
        ]  # fmt: skip

    return nn.Sequential(
        nn.Conv2d(3, 24, 2), nn.GELU(), *group(24, 64), *group(64, 256), *group(256, 256), nn.MaxPool2d(3),
        nn.Flatten(), nn.Linear(256, 10, bias=False), Multiply(),
    )  # fmt: skip


@pytest.fixture
def network() -> Airbench:
    torch.manual_seed(0)
    return build_network("airbench", num_classes=10, image_size=32)  # type: ignore[return-value]


def test_logits_gradients_and_statistics_are_those_of_the_published_code(network: Airbench) -> None:
    network, theirs = network.double(), published().double()
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.Linear)]
    pairs = list(zip(layers, (m for m in theirs if isinstance(m, nn.Conv2d | nn.BatchNorm2d | nn.Linear)), strict=True))
    for ours, other in pairs:
        if isinstance(ours, nn.BatchNorm2d):
            nn.init.normal_(ours.bias)
        other.load_state_dict(ours.state_dict(), strict=isinstance(ours, nn.Conv2d | nn.BatchNorm2d))
    images = torch.randn(16, 3, 32, 32, dtype=torch.float64)
    for mode in (True, False):
        logits, expected = network.train(mode)(images), theirs.train(mode)(images)
        torch.testing.assert_close(logits, expected)
        F.cross_entropy(logits, torch.arange(16) % 10).backward()
        F.cross_entropy(expected, torch.arange(16) % 10).backward()
    for ours, other in pairs:
        if isinstance(ours, nn.BatchNorm2d):
            torch.testing.assert_close(ours.running_var, other.running_var)
            torch.testing.assert_close(ours.bias.grad, other.bias.grad)
        elif not isinstance(ours, Whitening):
            torch.testing.assert_close(ours.weight.grad, other.weight.grad)
    torch.testing.assert_close(network.conv1.bias.grad, theirs[0].bias.grad)


def test_batch_statistics_can_be_shared_between_processes(network: Airbench) -> None:
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    assert not converted.layer1.bn1.weight.requires_grad
    assert converted.layer1.bn1.bias.requires_grad


def test_it_is_as_large_as_airbench94(network: Airbench) -> None:
    """And a bias a class more."""
    theirs = sum(weight.numel() for weight in published().parameters())
    assert count_parameters(network) == theirs + 10
    expected = {"conv1.weight"} | {f"layer{n}.bn{k}.weight" for n in (1, 2, 3) for k in (1, 2)}
    assert {name for name, weight in network.named_parameters() if not weight.requires_grad} == expected
    assert fixed_weights(copy.deepcopy(network)) == expected
    optimizer = build_optimizer(network, "sgd", lr=0.1, weight_decay=0.01)
    given = sum(len(group["params"]) for group in optimizer.param_groups)
    assert given == len(list(network.parameters())) - len(expected)
    assert count_macs(network, 3, 32) == 118_147_360
    wide = build_network("airbench", num_classes=10, image_size=32, width=128, residual=True)
    assert wide.layer3.conv2.weight.shape == (512, 512, 3, 3)


def smooth(images: int, channels: int = 3) -> Tensor:
    """Images whose neighbouring pixels and channels resemble each other."""
    random = torch.Generator().manual_seed(0)
    return F.avg_pool2d(torch.randn(images, 1, 24, 24, generator=random), 5, 1, 2) + 0.1 * torch.randn(
        images, channels, 24, 24, generator=random
    )


def test_the_stem_whitens(network: Airbench) -> None:
    """What it makes of patches has the unit matrix as second moments, and the negatives behind."""
    images = smooth(200)
    network.begin(images)
    out = F.conv2d(images, network.conv1.weight)
    torch.testing.assert_close(out[:, 12:], -out[:, :12])
    flat = out[:, :12].permute(0, 2, 3, 1).reshape(-1, 12)
    moments = (flat.T @ flat / len(flat)).numpy()
    assert np.abs(moments - np.diag(np.diag(moments))).max() < 1e-3
    patches = images.unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 12).double()
    values = np.linalg.eigvalsh((patches.T @ patches / len(patches)).numpy())[::-1]
    np.testing.assert_allclose(np.diag(moments), values / (values + 5e-4), rtol=1e-3)  # falling: in the same order


def test_a_stem_of_grey_images_keeps_random_filters_behind_those_that_whiten() -> None:
    network = build_network("airbench", num_classes=10, image_size=24, in_channels=1)
    before = network.conv1.weight.clone()
    network.begin(smooth(50, 1))
    assert torch.equal(before[8:], network.conv1.weight[8:])
    assert not torch.isclose(before[:8], network.conv1.weight[:8]).any()


def test_blocks_begin_as_the_identity(network: Airbench) -> None:
    features = torch.randn(2, 64, 9, 9)
    torch.testing.assert_close(network.layer2.conv1(features)[:, :64], features)
    torch.testing.assert_close(network.layer1.conv2(features), features)


def test_a_residual_block_adds_what_its_second_convolution_sees() -> None:
    block = build_network("airbench", num_classes=10, image_size=32, residual=True).layer2.eval()
    nn.init.zeros_(block.conv2.weight)
    features = torch.randn(2, 64, 9, 9)
    expected = F.gelu(F.gelu(F.max_pool2d(block.conv1(features), 2)))
    torch.testing.assert_close(block(features), expected)


@pytest.mark.parametrize("side", [4, 5, 8, 9, 15, 16, 33])
def test_every_size_is_pooled_as_far_as_there_is_something(side: int) -> None:
    network = build_network("airbench", num_classes=10, image_size=side, width=4).eval()
    assert network(torch.zeros(2, 3, side, side)).shape == (2, 10)


@pytest.mark.parametrize(("settings", "said"), [({"image_size": 3}, "at least 4 pixels"), ({"width": 0}, "width=0")])
def test_what_it_cannot_do_is_said(settings: dict[str, int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        build_network("airbench", **{"num_classes": 10, "image_size": 32} | settings)
