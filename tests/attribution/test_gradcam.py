"""Grad-CAM: the equation, the package's own answer, and a network that is left exactly as it was."""

import copy
import gc
import random
import weakref

import numpy as np
import pytest
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from torchvision.models import resnet18, resnet50

from src.attribution.archive import load_attribution, save_attribution
from src.attribution.cam import gradcam
from src.errors import InputError
from src.figures import scale_maps


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def network(images: Tensor) -> nn.Module:
    """ResNet-18 for 5 classes, with batch statistics of its own, in eval mode. Its layer4 is 2×2, layer3 4×4."""
    torch.manual_seed(0)
    network = resnet18(num_classes=5)
    with torch.no_grad():
        for _ in range(3):
            network(images)
    return network.eval()


class LinearHead(nn.Module):
    """Convolution, global average pooling, linear layer: its Grad-CAM can be worked out by hand."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 6, 3, padding=1)
        self.fc = nn.Linear(6, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.conv(images).mean(dim=(2, 3)))


@pytest.mark.parametrize("channels", [1, 3])
def test_equals_the_map_worked_out_by_hand(channels: int) -> None:
    torch.manual_seed(0)
    network = LinearHead(channels)
    images, targets = torch.randn(5, channels, 7, 9), torch.tensor([3, 0, 1, 1, 2])
    found = gradcam(network, images, targets)
    with torch.no_grad():
        activations = network.conv(images)  # (N, 6, 7, 9)
        # y_c = Σ_k W_ck mean_ij A_kij + b_c, so ∂y_c/∂A_kij = W_ck / (h w) everywhere, and so is its mean.
        by_hand = torch.einsum("nk,nkij->nij", network.fc.weight[targets] / (7 * 9), activations)
    np.testing.assert_allclose(found.maps, by_hand, rtol=0, atol=1e-6)
    assert (found.maps < 0).any(), "negative evidence is kept"
    assert (found.layer, found.maps.dtype, found.targets.tolist()) == ("conv", np.float32, targets.tolist())


@pytest.mark.parametrize("layer", ["layer3", "layer4", "layer2.1.conv2", "maxpool"])
@pytest.mark.parametrize("targets", [None, [4, 0, 2, 2]])
def test_agrees_with_the_package(network: nn.Module, images: Tensor, layer: str, targets: list[int] | None) -> None:
    found = gradcam(network, images, None if targets is None else torch.tensor(targets), layer)
    theirs = copy.deepcopy(network)
    cam = GradCAM(theirs, [theirs.get_submodule(layer)])
    expected = cam(images, None if targets is None else [ClassifierOutputTarget(target) for target in targets])
    cam.activations_and_grads.release()
    assert expected.max() > 0.9
    np.testing.assert_allclose(scale_maps(found.maps, (64, 64)), expected, rtol=0, atol=1e-5)


def test_explains_the_predicted_class_unless_told(network: nn.Module, images: Tensor) -> None:
    with torch.no_grad():
        logits = network(images)
    found = gradcam(network, images)
    np.testing.assert_allclose(found.logits, logits, rtol=0, atol=1e-5)
    assert found.targets.tolist() == found.predicted.tolist() == logits.argmax(dim=1).tolist()
    np.testing.assert_allclose(found.confidences, logits.softmax(dim=1).max(dim=1).values, rtol=0, atol=1e-6)
    others = gradcam(network, images, torch.tensor((found.targets + 1) % 5))
    assert np.abs(others.maps - found.maps).max() > 1e-4


def test_a_batch_equals_its_images_one_by_one(network: nn.Module, images: Tensor) -> None:
    # Behind layer4 there is no ReLU whose gate the last bit of a sum could open or shut: the comparison can be strict.
    batch = gradcam(network, images, layer="layer4").maps
    singles = np.concatenate([gradcam(network, image[None], layer="layer4").maps for image in images])
    np.testing.assert_allclose(batch, singles, rtol=0, atol=1e-6)
    assert np.ptp(batch) > 1e-3


def _frozen(network: nn.Module) -> nn.Module:
    return network.requires_grad_(False)


def _compiled_in_place(network: nn.Module) -> nn.Module:
    network.compile(backend="eager")
    network.layer1.compile(backend="eager")  # type: ignore[operator]
    return network


def _compiled(network: nn.Module) -> nn.Module:
    return torch.compile(network, backend="eager")  # type: ignore[return-value]


def _child_compiled(network: nn.Module) -> nn.Module:
    network.layer2 = torch.compile(network.layer2, backend="eager")
    return network


def _channels_last(network: nn.Module) -> nn.Module:
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


@pytest.mark.parametrize("change", [_frozen, _compiled_in_place, _compiled, _child_compiled, _channels_last])
def test_networks_in_other_states(network: nn.Module, images: Tensor, change) -> None:
    expected = gradcam(network, images, layer="layer4")
    found = gradcam(change(copy.deepcopy(network)), images, layer="layer4")
    np.testing.assert_allclose(found.maps, expected.maps, rtol=0, atol=1e-6)


def test_layers_of_a_compiled_network_keep_their_names(network: nn.Module, images: Tensor) -> None:
    assert gradcam(_compiled(copy.deepcopy(network)), images).layer == "layer2"
    found = gradcam(_child_compiled(copy.deepcopy(network)), images, layer="layer2.0")
    np.testing.assert_allclose(found.maps, gradcam(network, images, layer="layer2.0").maps, rtol=0, atol=1e-6)


def test_bf16_weights_are_explained_in_fp32(network: nn.Module, images: Tensor) -> None:
    rough = copy.deepcopy(network).bfloat16()
    found = gradcam(rough, images.bfloat16())
    expected = gradcam(copy.deepcopy(rough).float(), images.bfloat16().float())
    np.testing.assert_array_equal(found.maps, expected.maps)
    assert next(rough.parameters()).dtype == torch.bfloat16


@pytest.mark.parametrize(
    "surroundings", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)]
)
def test_the_surroundings_do_not_matter(network: nn.Module, images: Tensor, surroundings) -> None:
    expected = gradcam(network, images)
    with surroundings():
        network_made_here = copy.deepcopy(network)
        inside = gradcam(network_made_here, images * 1)
    for found in (inside, gradcam(network_made_here, images)):
        np.testing.assert_array_equal(found.maps, expected.maps)
        np.testing.assert_array_equal(found.logits, expected.logits)


class Inplace(nn.Module):
    """A convolution whose output the next layer overwrites."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.relu = nn.ReLU(inplace=inplace)
        self.fc = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.relu(self.conv(images)).mean(dim=(2, 3)))


def test_an_inplace_relu_behind_the_layer_changes_nothing(images: Tensor) -> None:
    torch.manual_seed(0)
    inplace = Inplace(inplace=True)
    ordinary = Inplace(inplace=False)
    ordinary.load_state_dict(inplace.state_dict())
    found = gradcam(inplace, images, layer="conv").maps
    np.testing.assert_array_equal(found, gradcam(ordinary, images, layer="conv").maps)
    activations = ordinary.conv(images)
    gradients = ordinary.fc.weight[ordinary(images).argmax(dim=1)][:, :, None, None] * (activations > 0) / 62**2
    by_hand = (gradients.mean(dim=(2, 3), keepdim=True) * activations).sum(dim=1)
    np.testing.assert_allclose(found, by_hand.detach(), rtol=0, atol=1e-6)


def test_inplace_relus_of_bottlenecks(images: Tensor) -> None:
    torch.manual_seed(0)
    network = resnet50(num_classes=5).eval()
    found = gradcam(network, images[:2], layer="layer3.2.bn1")  # an in-place ReLU follows
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    np.testing.assert_array_equal(found.maps, gradcam(network, images[:2], layer="layer3.2.bn1").maps)


def test_the_network_is_left_as_it_was(network: nn.Module, images: Tensor) -> None:
    heard = []
    mixed = copy.deepcopy(network).train()
    mixed.layer2.eval()  # modes differ from layer to layer
    mixed.layer1.requires_grad_(False)
    mixed(images).sum().backward()
    handle = mixed.layer3.register_forward_hook(lambda *_: heard.append("forward"))
    state = copy.deepcopy(mixed.state_dict())
    gradients = [None if p.grad is None else p.grad.clone() for p in mixed.parameters()]
    asked = [p.requires_grad for p in mixed.parameters()]
    modes = [module.training for module in mixed.modules()]
    hooks = [len(module._forward_hooks) + len(module._backward_hooks) for module in mixed.modules()]

    gradcam(mixed, images)

    assert heard == [], "others' hooks don't hear the explanation"
    assert all(torch.equal(value, state[name]) for name, value in mixed.state_dict().items())
    for parameter, gradient in zip(mixed.parameters(), gradients, strict=True):
        assert (parameter.grad is None) == (gradient is None)
        assert gradient is None or torch.equal(parameter.grad, gradient)
    assert [p.requires_grad for p in mixed.parameters()] == asked
    assert [module.training for module in mixed.modules()] == modes
    assert [len(module._forward_hooks) + len(module._backward_hooks) for module in mixed.modules()] == hooks
    handle.remove()


def test_the_random_state_is_left_as_it_was(images: Tensor) -> None:
    class AlwaysRandom(LinearHead):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(nn.functional.dropout(images, training=True))

    network = AlwaysRandom()
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    gradcam(network, images)
    after = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_nothing_of_the_copy_stays_in_memory(images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    copies = []
    original = nn.Module.eval
    monkeypatch.setattr(nn.Module, "eval", lambda self: (copies.append(weakref.ref(self)), original(self))[1])
    network = LinearHead()
    gc.collect()
    gc.disable()
    try:
        gradcam(network, images)
        assert [reference() for reference in copies if reference() is not network] == [None] * len(copies)
    finally:
        gc.enable()
    assert copies


def test_only_the_head_is_differentiated(network: nn.Module, images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason for its speed: the images and the layers before the target get no gradient."""
    seen = []
    original = Tensor.backward

    def backward(self: Tensor, *args, **kwargs) -> None:
        pending = [self.grad_fn]
        while pending:
            node = pending.pop()
            seen.append(node.name())
            pending += [parent for parent, _ in node.next_functions if parent is not None]
        original(self, *args, **kwargs)

    monkeypatch.setattr(Tensor, "backward", backward)
    gradcam(network, images, layer="layer4")
    assert seen
    assert not [name for name in seen if "Convolution" in name]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"targets": torch.tensor([0, 5, 0, 0])}, "no class 5; the network has classes 0 to 4"),
        ({"targets": torch.tensor([0, 0, 0, -1])}, "no class -1"),
        ({"targets": torch.tensor([0, 1])}, "one class for each of 4 images"),
        ({"layer": "layr4"}, "no layer 'layr4' in ResNet; near: layer4"),
        ({"layer": "avgpool"}, "'avgpool' gives 1×1 maps"),
        ({"layer": "fc"}, "'fc' gives no feature map"),
        ({"layer": "layer3.0.relu"}, "'layer3.0.relu' runs more than once a pass"),
    ],
)
def test_what_cannot_be_explained_is_said_in_one_line(network: nn.Module, images: Tensor, arguments, message) -> None:
    with pytest.raises(InputError, match=message) as caught:
        gradcam(network, images, **arguments)
    assert "\n" not in str(caught.value)


def test_a_layer_that_the_logits_do_not_depend_on(images: Tensor) -> None:
    class Aside(LinearHead):
        def __init__(self) -> None:
            super().__init__()
            self.aside = nn.Conv2d(3, 2, 1)

        def forward(self, images: Tensor) -> Tensor:
            self.aside(images)
            return super().forward(images)

    with pytest.raises(InputError, match="output of 'aside' does not reach the logits"):
        gradcam(Aside(), images, layer="aside")


def test_images_of_another_shape(network: nn.Module) -> None:
    with pytest.raises(InputError, match=r"shape \(N, C, H, W\), not \(3, 64, 64\)"):
        gradcam(network, torch.zeros(3, 64, 64))


def test_an_attribution_survives_its_file(network: nn.Module, images: Tensor, tmp_path) -> None:
    found = gradcam(network, images)
    save_attribution(tmp_path / "new folder" / "maps.npz", found, epoch=3)
    read = load_attribution(tmp_path / "new folder" / "maps.npz")
    assert read.layer == found.layer
    for name in ("maps", "logits", "targets"):
        np.testing.assert_array_equal(getattr(read, name), getattr(found, name))
    with np.load(tmp_path / "new folder" / "maps.npz") as arrays:
        assert arrays["epoch"] == 3
    assert [path.name for path in (tmp_path / "new folder").iterdir()] == ["maps.npz"]
