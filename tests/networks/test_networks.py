"""What holds for every network of the table, and what networks cost."""

import copy
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights, list_models

from src.cost.network import count_macs
from src.networks import FOREIGN, NETWORKS, build_network, layers_of, row_of

SMALL = [name for name in NETWORKS if name.startswith("mini") or name in ("cifar_resnet20", "cifar_plain20")]


def usual(name: str) -> dict[str, int]:
    """Image size and classes with which the papers and our configurations count."""
    if name.startswith("mini_resnet"):
        return {"image_size": 64, "num_classes": 25}
    return {"image_size": 32, "num_classes": 10} if "cifar" in name else {"image_size": 224, "num_classes": 1000}


def macs_by_layer(network: nn.Module, size: int) -> dict[str, int]:
    """MACs of each convolution and linear layer of a network on the meta device, from the shapes that pass it."""
    macs: dict[str, int] = {}

    def note(name: str, layer: nn.Module, _inputs: object, output: Tensor) -> None:
        assert name not in macs
        macs[name] = output[0].numel() * layer.weight[0].numel()

    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(partial(note, name))
    with torch.device("meta"), torch.no_grad():
        network.eval()(torch.empty(1, 3, size, size))
    return macs


@pytest.mark.parametrize("name", NETWORKS)
def test_macs_count_every_convolution_and_linear_layer(name: str) -> None:
    with torch.device("meta"):
        network = build_network(name, **usual(name))
    layers = {key for key, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}
    size = usual(name)["image_size"]
    counted = count_macs(network, 3, size)
    by_layer = macs_by_layer(network, size)
    assert by_layer.keys() == layers
    assert counted == sum(by_layer.values())


def test_without_the_stems_pooling_everything_behind_it_costs_four_times() -> None:
    with torch.device("meta"):
        pooled = build_network("resnet18", num_classes=1000)
        full = build_network("resnet18", num_classes=1000, stem_pool=False)
    macs = macs_by_layer(pooled, 224)
    derived = sum(count * (4 if name.startswith("layer") else 1) for name, count in macs.items())
    assert count_macs(full, 3, 224) == derived > 3.7 * sum(macs.values())


def shapes(name: str, **arguments: int) -> dict[str, torch.Size]:
    with torch.device("meta"):
        network = build_network(name, **{"num_classes": 7, "image_size": 32} | arguments)
    return {key: value.shape for key, value in network.state_dict().items()}


@pytest.mark.parametrize("name", NETWORKS)
def test_head_and_first_convolution_are_what_the_table_says(name: str) -> None:
    """The only parts that depend on classes and channels: all else comes from pretrained weights."""
    row, usual = NETWORKS[name], shapes(name)
    classes, channels = shapes(name, num_classes=9), shapes(name, in_channels=1)
    assert {key for key in usual if usual[key] != classes[key]} == {f"{row.head}.weight", f"{row.head}.bias"}
    assert {key for key in usual if usual[key] != channels[key]} == {f"{row.first}.weight"}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_layers_hold_every_weight_once_and_end_in_the_head(name: str) -> None:
    with torch.device("meta"):
        network = build_network(name, num_classes=7, image_size=32)
    layers = layers_of(network)
    weights = [id(p) for names in layers for key in names for p in network.get_submodule(key).parameters()]
    assert sorted(weights) == sorted(map(id, network.parameters()))
    assert layers[-1] == [NETWORKS[name].head]


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_of_imagenet_are_promised_where_torchvision_has_them(name: str) -> None:
    assert NETWORKS[name].pretrained == (name in list_models())
    if NETWORKS[name].pretrained:
        assert get_model_weights(name).DEFAULT.meta["num_params"] == sum(
            shape.numel()
            for key, shape in shapes(name, num_classes=1000, image_size=224).items()
            if not key.endswith(("running_mean", "running_var", "num_batches_tracked"))
        )


def test_a_copy_knows_its_row_and_a_foreign_network_has_none() -> None:
    network = build_network("simple_cnn", num_classes=7, image_size=8)
    assert row_of(copy.deepcopy(network)) is NETWORKS["simple_cnn"]
    assert row_of(nn.Sequential(nn.Linear(2, 2))) is FOREIGN
    assert layers_of(nn.Sequential(nn.Linear(2, 2), nn.ReLU())) == [["0"], ["1"]]


@pytest.mark.parametrize("name", SMALL)
def test_channels_last_gives_the_same_and_is_kept(name: str) -> None:
    torch.manual_seed(0)
    network = build_network(name, num_classes=5, image_size=32).eval()
    images = torch.randn(2, 3, 32, 32)
    layouts: list[bool] = []
    with torch.no_grad():
        expected = network(images)
        network.to(memory_format=torch.channels_last)
        for stage in (network.layer1, network.layer2, network.layer3):
            stage.register_forward_hook(
                lambda _module, _inputs, output: layouts.append(output.is_contiguous(memory_format=torch.channels_last))
            )
        logits = network(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    assert layouts == [True, True, True]


@pytest.mark.parametrize("name", SMALL)
def test_bf16_is_near_fp32(name: str) -> None:
    torch.manual_seed(0)
    network = build_network(name, num_classes=5, image_size=32)
    images = torch.randn(8, 3, 32, 32)
    with torch.no_grad():
        expected = network(images)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(images)
    assert logits.dtype == torch.bfloat16
    assert (logits.float() - expected).abs().max() < 0.05 * expected.abs().max()


@pytest.mark.parametrize("name", SMALL)
def test_gradients_can_be_hooked_at_every_relu_of_a_copy(name: str) -> None:
    """As guided backpropagation does: one call of each ReLU, forward and backward, with hooks on all other layers."""
    network = copy.deepcopy(build_network(name, num_classes=5, image_size=16)).eval()  # training, they work in place
    relus = [key for key, module in network.named_modules() if isinstance(module, nn.ReLU)]
    seen: list[str] = []
    for key, module in network.named_modules():
        module.register_full_backward_hook(lambda _module, _inputs, _outputs, key=key: seen.append(key))
    network(torch.randn(2, 3, 16, 16, requires_grad=True)).sum().backward()
    blocks = sum(len(network.get_submodule(f"layer{stage}")) for stage in (1, 2, 3))
    per_block = 3 if "bottleneck" in name else 2
    assert len(relus) == 1 + blocks * per_block + name.endswith("_pre")
    assert sorted(key for key in seen if key in relus) == sorted(relus)


@pytest.mark.parametrize("name", NETWORKS)
def test_no_images_have_no_logits(name: str) -> None:
    """Of several processes some may have none to measure; all run the network as often."""
    with torch.device("meta"):
        network = build_network(name, num_classes=7, image_size=32)
    network = network.to_empty(device="cpu").eval()
    for memory_format in (torch.contiguous_format, torch.channels_last):
        network.to(memory_format=memory_format)
        images = torch.empty(0, 3, 32, 32, memory_format=memory_format)
        for enabled in (False, True):
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                assert network(images).shape == (0, 7)
