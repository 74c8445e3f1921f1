"""Guided backpropagation and the deconvnet's rule: at every ReLU, however it is written, and nowhere else."""

import copy
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pytorch_grad_cam import GuidedBackpropReLUModel
from torch import Tensor, nn

from src.attribution.cam import gradcam
from src.attribution.guided import OTHER_RECTIFIERS, ReluRule, pixel_attribution
from src.attribution.methods import methods_of
from src.errors import InputError
from src.figures import upsample
from src.networks import build_network


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def network(images: Tensor) -> nn.Module:
    """ResNet-18 for 5 classes with batch statistics of its own; its in-place ReLUs are shared by two uses each."""
    torch.manual_seed(0)
    network = build_network("resnet18", num_classes=5, image_size=128)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)  # our blocks begin as the identity, whose branches pass nothing back
    with torch.no_grad():
        for _ in range(3):
            network(images)
    return network.eval()


@pytest.fixture(scope="module")
def small() -> nn.Module:
    torch.manual_seed(0)
    return build_network("cifar_resnet20", num_classes=5, image_size=16).eval()


def discarded(features: Tensor) -> Tensor:
    F.relu(features, inplace=True)
    return features


SPELLINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": nn.ReLU(inplace=True),
    "F.relu": F.relu,
    "F.relu in place": lambda features: F.relu(features, inplace=True),
    "F.relu_": F.relu_,
    "torch.relu": torch.relu,
    "torch.relu by name": lambda features: torch.relu(input=features),
    "Tensor.relu": lambda features: features.relu(),
    "Tensor.relu_": lambda features: features.relu_(),
    "its result thrown away": discarded,
}


class ByHand(nn.Module):
    """Two pixels (2, -1) → three units of inputs (2, -1, 1) → ReLU → logits 1·h₁ + 2·h₂ - 3·h₃ and 0."""

    def __init__(self, relu: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.fc = nn.Linear(2, 3, bias=False), nn.Linear(3, 2, bias=False)
        self.first.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        self.fc.weight.data = torch.tensor([[1.0, 2.0, -3.0], [0.0, 0.0, 0.0]])
        self.relu = relu

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.relu(self.first(images.flatten(1))))


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("deconvnet", [1, 2]),  # of the signal (1, 2, -3) the positive part (1, 2, 0), through the first layer
        ("guided_backprop", [1, 0]),  # and of that what belongs to the active units 1 and 3
    ],
)
def test_worked_out_by_hand(spelling: str, method: str, expected: list[int]) -> None:
    image = torch.tensor([2.0, -1.0]).view(1, 1, 1, 2)
    found = pixel_attribution(ByHand(SPELLINGS[spelling]), image, method, torch.tensor([0]))
    assert found.pixels.ravel().tolist() == expected
    assert found.logits.tolist() == [[-1, 0]], "the forward pass is the network's own"
    assert (found.pixels.dtype, found.targets.tolist(), found.layer) == (np.float32, [0], None)


def test_the_rule_ends_with_its_block() -> None:
    network = ByHand(F.relu)
    image = torch.tensor([[2.0, -1.0]], requires_grad=True)
    with ReluRule("guided") as rule:
        guided = network(image)
    plain = network(image)
    assert rule.relus == 1
    assert torch.autograd.grad(plain[0, 0], image)[0].tolist() == [[-2, -3]]
    assert torch.autograd.grad(guided[0, 0], image)[0].tolist() == [[1, 0]], "backward may come behind the block"


@pytest.mark.parametrize(
    ("name", "relus"),
    [
        ("resnet18", 17),
        ("resnet50", 49),
        ("mini_resnet_basic_post", 13),
        ("mini_resnet_bottleneck_post", 19),
        ("mini_resnet_basic_pre", 14),
        ("mini_resnet_bottleneck_pre", 20),
        ("cifar_resnet20", 19),
        ("cifar_plain32", 31),
        ("simple_cnn", 4),
    ],
)
def test_every_relu_of_our_networks_is_met(name: str, relus: int) -> None:
    network = build_network(name, num_classes=3, in_channels=1, image_size=16).eval()
    image = torch.randn(1, 1, 16, 16, requires_grad=True)
    assert nodes(network(image))["ReluBackward0"] == relus
    with ReluRule("deconvnet") as rule:
        met = nodes(network(image))
    assert (met["_ReluBackward"], met["ReluBackward0"], rule.relus) == (relus, 0, relus)


def nodes(output: Tensor) -> Counter[str]:
    """How often each operation occurs in the graph behind `output`."""
    seen, pending = set(), [output.grad_fn]
    while pending:
        node = pending.pop()
        if node is not None and node not in seen:
            seen.add(node)
            pending += [parent for parent, _ in node.next_functions]
    return Counter(node.name() for node in seen)


def test_agrees_with_the_grad_cam_package(network: nn.Module, images: Tensor) -> None:
    targets = torch.tensor([3, 0, 1, 2])
    package = GuidedBackpropReLUModel(copy.deepcopy(network), device="cpu")
    for image, target in zip(images, targets, strict=True):
        # One at a time, as the package: a CPU may add up a batch in another order, and a ReLU at zero then flips.
        (pixels,) = pixel_attribution(network, image[None], "guided_backprop", target[None]).pixels
        theirs = package(image[None].clone(), int(target)).transpose(2, 0, 1)
        assert np.abs(theirs).max() > 1e-3
        np.testing.assert_allclose(pixels, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


def test_guided_gradcam_is_the_product(network: nn.Module, images: Tensor) -> None:
    targets = torch.tensor([3, 0, 1, 2])
    found = pixel_attribution(network, images, "guided_gradcam", targets, "layer2")
    pixels = pixel_attribution(network, images, "guided_backprop", targets).pixels
    heat = upsample(np.maximum(gradcam(network, images, targets, "layer2").maps, 0), (64, 64))
    assert heat.max() > 0
    np.testing.assert_allclose(found.pixels, heat[:, None] * pixels, rtol=1e-4, atol=1e-6 * np.abs(pixels).max())
    assert found.layer == "layer2"
    assert pixel_attribution(network, images[:1], "guided_gradcam").layer == "layer2", "the deepest with a useful map"


@pytest.mark.parametrize("method", methods_of("pixels", "channels"))
def test_a_batch_equals_its_images(small: nn.Module, method: str) -> None:
    images = torch.randn(4, 3, 16, 16)
    heard: list[int] = []
    whole = pixel_attribution(small, images, method)
    single = pixel_attribution(small, images, method, batch_size=3, progress=heard.append)
    np.testing.assert_allclose(single.pixels, whole.pixels, rtol=0, atol=1e-5 * np.abs(whole.pixels).max())
    np.testing.assert_array_equal(whole.targets, whole.logits.argmax(axis=1))
    np.testing.assert_allclose(whole.logits, small(images).detach(), rtol=0, atol=1e-4)
    assert heard == [3, 4]


@pytest.mark.parametrize("method", methods_of("pixels", "channels"))
def test_the_network_is_left_as_it_was(small: nn.Module, method: str) -> None:
    images = torch.randn(4, 3, 16, 16)
    heard: list[str] = []
    used = copy.deepcopy(small).train()
    used.layer2.eval()
    used(images).sum().backward()
    handle = used.layer3.register_forward_hook(lambda *_: heard.append("forward"))
    state = copy.deepcopy(used.state_dict())
    gradients = [parameter.grad.clone() for parameter in used.parameters()]
    modes, given, random = [module.training for module in used.modules()], images.clone(), torch.get_rng_state()
    with torch.inference_mode():
        pixel_attribution(used, images, method)
    assert heard == []
    assert all(torch.equal(value, state[name]) for name, value in used.state_dict().items())
    assert all(torch.equal(p.grad, g) and p.requires_grad for p, g in zip(used.parameters(), gradients, strict=True))
    assert [module.training for module in used.modules()] == modes
    assert [len(module._forward_hooks) for module in used.modules() if module._forward_hooks] == [1]
    assert torch.equal(images, given)
    assert not images.requires_grad
    assert torch.equal(torch.get_rng_state(), random)
    handle.remove()


@pytest.mark.parametrize("module", [nn.GELU(), nn.SiLU(), nn.LeakyReLU(), nn.ELU(inplace=True), nn.ReLU6(), nn.PReLU()])
def test_other_rectifiers_are_refused(module: nn.Module) -> None:
    with pytest.raises(InputError, match="its rule is made for ReLUs and the network has") as caught:
        pixel_attribution(ByHand(module), torch.ones(1, 1, 1, 2), "guided_backprop")
    assert "\n" not in str(caught.value)
    assert any(f"has {name}:" in str(caught.value) for name in OTHER_RECTIFIERS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"method": "gradcam"},
            "does not explain a class in pixels: take guided_gradcam, guided_backprop",
        ),
        ({"method": "deconvnet", "targets": torch.tensor([0, 5, 0, 0])}, "no class 5; the network has classes 0 to 4"),
        ({"method": "deconvnet", "targets": torch.tensor([-1, 0, 0, 0])}, "no class -1"),
        ({"method": "deconvnet", "targets": torch.tensor([1])}, "one class for each of 4 images"),
        ({"method": "deconvnet", "layer": "layer1"}, "leave layer=layer1 out"),
        ({"method": "guided_gradcam", "layer": "layr4"}, "no layer 'layr4' in ResNet; near: layer4"),
        ({"method": "guided_gradcam", "layer": "avgpool"}, "'avgpool' gives 1×1 maps"),
    ],
)
def test_what_cannot_be_explained_is_said_in_one_line(network: nn.Module, images: Tensor, arguments, message) -> None:
    with pytest.raises(InputError, match=message) as caught:
        pixel_attribution(network, images, **arguments)
    assert "\n" not in str(caught.value)


def test_what_is_no_batch_and_no_rule(network: nn.Module) -> None:
    with pytest.raises(InputError, match=r"shape \(N, C, H, W\), not \(3, 8, 8\)"):
        pixel_attribution(network, torch.zeros(3, 8, 8), "deconvnet")
    with pytest.raises(InputError, match="rule 'smooth' is unknown: take deconvnet or guided"):
        ReluRule("smooth")  # type: ignore[arg-type]
