"""The deconvnet: an explicit decoder gives the same, nothing comes from outside the field, the winners are found."""

import copy
from collections import OrderedDict

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.attribution.deconvnet import Excitations, project, strongest
from src.attribution.receptive_field import receptive_fields
from src.errors import InputError
from src.networks import build_network


def encoder(norm: bool) -> nn.Sequential:
    """conv → (norm →) ReLU → 2×2/2 pooling → … of 3, 4, 6 and 5 channels, the third stage without pooling."""
    torch.manual_seed(3)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, (inputs, outputs) in enumerate([(3, 4), (4, 6), (6, 5)], start=1):
        layers[f"conv{number}"] = conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        nn.init.kaiming_normal_(conv.weight)
        if norm:
            layers[f"bn{number}"] = bn = nn.BatchNorm2d(outputs)
            for tensor, low, high in ((bn.weight, -1, 2), (bn.bias, -1, 1), (bn.running_mean, -1, 1)):
                nn.init.uniform_(tensor, low, high)
            nn.init.uniform_(bn.running_var, 0.5, 2)
        layers[f"relu{number}"] = nn.ReLU(inplace=True)
        if number < 3:
            layers[f"pool{number}"] = nn.MaxPool2d(2, 2)
    return nn.Sequential(layers).eval()


@torch.no_grad()
def decoded(network: nn.Sequential, layer: str, image: Tensor, channel: int, row: int, column: int) -> tuple:
    """Zeiler & Fergus's network written out: (the projection, the same without its rectifications)."""
    features, switches, sizes, names = image[None], {}, {}, []
    for name, module in network.named_children():
        names.append(name)
        sizes[name] = features.shape[-2:]
        if isinstance(module, nn.MaxPool2d):
            features, switches[name] = F.max_pool2d(features, 2, 2, return_indices=True)
        else:
            features = module(features.clone())
        if name == layer:
            break
    signal = torch.zeros_like(features)
    signal[0, channel, row, column] = features[0, channel, row, column]
    rectified, plain = signal, signal
    for name in reversed(names):
        module = network.get_submodule(name)
        if isinstance(module, nn.MaxPool2d):
            unpool = nn.MaxUnpool2d(2, 2)
            rectified, plain = (unpool(s, switches[name], output_size=sizes[name]) for s in (rectified, plain))
        elif isinstance(module, nn.ReLU):
            rectified = F.relu(rectified)
        elif isinstance(module, nn.BatchNorm2d):
            scale = (module.weight / (module.running_var + module.eps).sqrt())[:, None, None]
            rectified, plain = rectified * scale, plain * scale
        else:
            rectified, plain = (F.conv_transpose2d(s, module.weight, padding=1) for s in (rectified, plain))
    return rectified[0], plain[0]


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("layer", ["relu1", "pool1", "conv2", "relu2", "pool2", "conv3", "relu3"])
def test_equals_a_network_that_unpools_rectifies_and_filters(layer: str, norm: bool) -> None:
    network = encoder(norm)
    images = torch.randn(12, 3, 12, 17)  # odd: the pooling leaves a column out
    found = strongest(network, images.split(5), layer, channels=6, images=3)
    projections = project(network, images[found.images], found)
    largest = differ = 0.0
    for k, channel in enumerate(found.channels):
        for n, place in enumerate(found.images[k]):
            if found.activations[k, n] <= 0:
                continue
            expected, plain = decoded(network, layer, images[place], int(channel), *found.positions[k, n].tolist())
            largest = max(largest, float(expected.abs().max()))
            np.testing.assert_allclose(projections[k, n], expected, rtol=0, atol=1e-5)
            differ = max(differ, float((expected - plain).abs().max()))
    assert (found.activations > 0).sum() > 9
    assert largest > 0.5
    assert differ > 0.1 or layer in ("relu1", "pool1"), "the rectifications matter"


def test_the_guided_rule_takes_the_gates_too() -> None:
    network, images = encoder(norm=False), torch.randn(4, 3, 12, 12)
    found = strongest(network, [images], "conv2", channels=2, images=2)
    chosen = images[found.images]
    guided = project(network, chosen, found, "guided")
    for k, n in np.ndindex(2, 2):
        image = chosen[k, n].clone().requires_grad_()
        before = network.conv1(image[None])
        pooled, switches = F.max_pool2d(before.relu(), 2, 2, return_indices=True)
        signal = torch.zeros_like(network.conv2(pooled))
        row, column = found.positions[k, n]
        signal[0, found.channels[k], row, column] = float(found.activations[k, n])
        back = F.max_unpool2d(F.conv_transpose2d(signal, network.conv2.weight, padding=1), switches, 2, 2)
        expected = F.conv_transpose2d(back.relu() * (before > 0), network.conv1.weight, padding=1)[0]
        np.testing.assert_allclose(guided[k, n], expected.detach(), rtol=0, atol=1e-5)
    assert np.abs(guided - project(network, chosen, found, "deconvnet")).max() > 1e-3


def test_an_inplace_relu_behind_the_layer_changes_nothing() -> None:
    inplace = encoder(norm=True)
    ordinary = copy.deepcopy(inplace)
    for module in ordinary.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    images = torch.randn(3, 3, 12, 12)
    found = strongest(inplace, [images], "bn2")
    chosen = images[found.images]
    np.testing.assert_array_equal(project(inplace, chosen, found), project(ordinary, chosen, found))


class Everything(nn.Module):
    """Strides, dilation, rounding up, a skip with slices and padded channels, all weights positive."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 3, (3, 5), stride=(2, 1), padding=(1, 2))
        self.bn1 = nn.BatchNorm2d(3)
        self.conv2 = nn.Conv2d(3, 6, 3, stride=2, padding=2, dilation=2, groups=3)
        self.pool = nn.MaxPool2d(3, 2, padding=1, ceil_mode=True)
        self.last = nn.Identity()
        for parameter in self.parameters():
            nn.init.uniform_(parameter, 0.5, 1)

    def forward(self, images: Tensor) -> Tensor:
        features = F.relu(self.bn1(self.conv1(images)), inplace=True)
        out = self.conv2(features)
        out += F.pad(features[:, :, ::2, ::2], (0, 0, 0, 0, 0, 3))
        return self.last(F.max_pool2d(self.pool(out), 2, 1, dilation=2))


@pytest.mark.parametrize("layer", ["conv1", "conv2", "pool", "last"])
def test_the_field_is_what_brute_force_finds(layer: str) -> None:
    network, (height, width) = Everything().eval().double(), (31, 23)
    base = torch.rand(1, 2, height, width, dtype=torch.float64)
    changed = base.repeat(height * width, 1, 1, 1)
    pixels = torch.arange(height * width)
    changed[pixels, 0, pixels // width, pixels % width] += 1e6
    outputs: list[Tensor] = []
    network.get_submodule(layer).register_forward_hook(lambda _m, _i, output: outputs.append(output.clone()))
    with torch.no_grad():
        network(base), network(changed)
    moved = ((outputs[1] - outputs[0]).abs() > 1e-9).any(dim=1).permute(1, 2, 0)  # (h, w, pixels)
    rows, columns = moved.shape[:2]
    positions = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), axis=-1)
    found = receptive_fields(network, layer, positions, (2, height, width))
    for row, column in np.ndindex(rows, columns):
        seen = moved[row, column].view(height, width).nonzero()
        expected = [*seen.min(dim=0).values.tolist(), *(seen.max(dim=0).values + 1).tolist()]
        assert found[row, column].tolist() == expected, (row, column)


def test_the_fields_of_resnet18_are_those_of_the_literature() -> None:
    network = build_network("resnet18", num_classes=2)
    for layer, position, size in (("layer1", 30, 43), ("layer2", 14, 99), ("layer3", 7, 211)):
        top, left, bottom, right = receptive_fields(network, layer, np.array([position] * 2), (3, 224, 224)).tolist()
        assert (bottom - top, right - left) == (size, size)
    corners = receptive_fields(network, "layer4", np.array([[0, 0], [3, 6]]), (3, 224, 224))
    assert corners.tolist() == [[0, 0, 218, 218], [0, 0, 224, 224]]
    whole = receptive_fields(network, "avgpool", np.array([0, 0]), (3, 224, 224))
    assert whole.tolist() == [0, 0, 224, 224]


@pytest.mark.parametrize(
    ("name", "layer", "size"),
    [
        ("resnet18", "layer2.0", 88),
        ("mini_resnet_basic_pre", "layer2", 48),
        ("mini_resnet_bottleneck_post", "layer2", 48),
        ("cifar_resnet20", "layer2.0", 40),
        ("simple_cnn", "block3", 48),
    ],
)
def test_nothing_comes_from_outside_the_field(name: str, layer: str, size: int) -> None:
    torch.manual_seed(0)
    network = build_network(name, num_classes=3, image_size=224 if name == "resnet18" else size).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1)
    images = torch.randn(2, 3, size, size)
    found = strongest(network, [images], layer, channels=3, images=2)
    projections = np.abs(project(network, images[found.images], found)).max(axis=2)
    fields = receptive_fields(network, layer, found.positions, (3, size, size))
    for projection, (top, left, bottom, right) in zip(
        projections.reshape(6, size, size), fields.reshape(6, 4), strict=True
    ):
        inside = projection[top:bottom, left:right]
        assert inside.max() > 0
        assert inside.size < size * size, "or the test shows nothing"
        projection[top:bottom, left:right] = 0
        assert not projection.any()


def test_a_linear_network_fills_its_field() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 5, 2, 2), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3, padding=1)).eval()
    images = torch.randn(9, 3, 30, 30)
    found = strongest(network, [images], "2", channels=4)
    projections = np.abs(project(network, images[found.images], found)).max(axis=2)
    fields = receptive_fields(network, "2", found.positions, (3, 30, 30))
    for k, n in np.ndindex(4, 9):
        rows, columns = projections[k, n].nonzero()
        assert fields[k, n].tolist() == [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]


class Channels(nn.Module):
    """Its map is the image, as float."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.map = nn.Conv2d(channels, channels, 1, bias=False)
        self.map.weight.data = torch.eye(channels)[:, :, None, None]
        self.pool = nn.AdaptiveMaxPool2d(1)
        self.fc = nn.Linear(channels, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.pool(self.map(images)).flatten(1))


@pytest.mark.parametrize("batch", [1, 7, 40])
def test_planted_winners_are_found_whatever_the_batches(batch: int) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(40, 5, 6, 9, generator=generator)
    planted = [(3, 4, 39, 5, 8, 9.0), (3, 4, 0, 0, 0, 8.0), (3, 4, 17, 2, 3, 7.0), (1, 4, 17, 1, 1, 6.0)]
    for channel, _, image, row, column, value in planted:
        images[image, channel, row, column] = value
    images[20, 3, 4, 4], images[20, 3, 4, 5] = 5.0, 4.5  # one spot an image, its strongest
    heard: list[int] = []
    found = strongest(Channels(5), images.split(batch), "map", channels=2, images=4, progress=heard.append)
    assert found.channels.tolist() == [3, 1]
    assert found.images[0].tolist() == [39, 0, 17, 20]
    assert found.positions[0].tolist() == [[5, 8], [0, 0], [2, 3], [4, 4]]
    assert found.activations[0].tolist() == [9, 8, 7, 5]
    assert (found.images[1, 0], found.positions[1, 0].tolist(), found.activations[1, 0]) == (17, [1, 1], 6)
    every = images.amax(dim=(2, 3))  # (N, K)
    assert found.images[1].tolist() == every[:, 1].argsort(descending=True)[:4].tolist()
    np.testing.assert_array_equal(found.activations[1], every[:, 1].sort(descending=True).values[:4])
    assert heard[-1] == 40
    chosen = images[found.images]
    assert torch.equal(chosen, images[torch.from_numpy(found.images)])
    sent = project(Channels(5), chosen, found)
    assert (sent != 0).sum() == 8, "the map is the image, so each comes back as one pixel"
    assert sent[0, 3, 3, 4, 4] == 5


def test_fewer_channels_and_images_than_asked_and_dead_ones() -> None:
    images = -torch.rand(4, 3, 5, 5)
    images[2, 1, 3, 3] = 2.0
    found = strongest(Channels(3), [images], "map")
    assert found.activations.shape == (3, 4)
    assert found.channels[0] == 1
    assert sorted(found.channels) == [0, 1, 2]
    assert (found.activations[0, 0], (found.activations > 0).sum()) == (2, 1)
    sent = project(Channels(3), images[found.images], found)
    assert (sent != 0).sum() == 1, "what is not active sends nothing"


def test_a_map_of_one_cell_and_the_default_layer() -> None:
    images = torch.rand(3, 2, 5, 5)
    found = strongest(Channels(2), [images], "pool")
    assert found.positions.tolist() == np.zeros((2, 3, 2)).tolist()
    assert receptive_fields(Channels(2), "map", np.array([[1, 4]]), (2, 5, 5)).tolist() == [[1, 4, 2, 5]]
    assert strongest(Channels(2), [images]).layer == "map"


def test_the_network_is_left_as_it_was() -> None:
    heard: list[str] = []
    network = build_network("mini_resnet_basic_post", num_classes=3, image_size=16).train()
    images = torch.randn(4, 3, 16, 16)
    network(images).sum().backward()
    network.layer1.eval()
    handle = network.conv1.register_forward_hook(lambda *_: heard.append("forward"))
    state = copy.deepcopy(network.state_dict())
    gradients = [parameter.grad.clone() for parameter in network.parameters()]
    modes, given, random = [module.training for module in network.modules()], images.clone(), torch.get_rng_state()
    with torch.inference_mode():
        found = strongest(network, [images], "layer2", channels=2, images=2)
        project(network, images[torch.from_numpy(found.images)], found)
        receptive_fields(network, "layer2", found.positions, (3, 16, 16))
    assert heard == []
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert all(torch.equal(p.grad, g) and p.requires_grad for p, g in zip(network.parameters(), gradients, strict=True))
    assert [module.training for module in network.modules()] == modes
    assert [len(module._forward_hooks) for module in network.modules() if module._forward_hooks] == [1]
    assert torch.equal(images, given)
    assert torch.equal(torch.get_rng_state(), random)
    handle.remove()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "fc"}, "deconvnet: layer 'fc' gives no feature map"),
        ({"layer": "layer1.0.relu"}, "'layer1.0.relu' runs more than once a pass"),
        ({"layer": "layr1"}, "no layer 'layr1' in ResNet; near: layer1"),
        ({"channels": 0}, "channels=0: a sheet shows at least 1"),
        ({"images": -1}, "images=-1: a sheet shows at least 1"),
        ({"batches": []}, "there are no images to excite a channel"),
        ({"batches": [torch.zeros(3, 8, 8)]}, r"shape \(N, C, H, W\), not \(3, 8, 8\)"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_line(arguments, message) -> None:
    network = build_network("resnet18", num_classes=3, image_size=32)
    with pytest.raises(InputError, match=message) as caught:
        strongest(network, **({"batches": [torch.zeros(2, 3, 32, 32)]} | arguments))
    assert "\n" not in str(caught.value)


def test_positions_and_images_that_do_not_fit() -> None:
    with pytest.raises(InputError, match=r"position \(5, 0\) lies outside the 5×5 map of layer 'map'"):
        receptive_fields(Channels(2), "map", np.array([[5, 0]]), (2, 5, 5))
    one = np.zeros((1, 1), np.int64)
    found = Excitations("map", one[0], one, np.zeros((1, 1, 2), np.int64), np.ones((1, 1), np.float32))
    with pytest.raises(InputError, match=r"wants \(1, 1\) images, not \(2, 1\)"):
        project(Channels(2), torch.zeros(2, 1, 2, 5, 5), found)
