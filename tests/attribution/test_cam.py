"""Class activation maps: the package's own answers, in batches, from a network that is left exactly as it was."""

import copy
import random

import numpy as np
import pytest
import pytorch_grad_cam as package
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from torchvision.models import resnet18

from src.attribution.cam import class_activation_maps, gradcam
from src.attribution.methods import methods_of
from src.errors import InputError
from src.figures import scale_maps
from src.networks import build_network

CLASSES = {
    "gradcam": package.GradCAM,
    "gradcam++": package.GradCAMPlusPlus,
    "layercam": package.LayerCAM,
    "hirescam": package.HiResCAM,
    "xgradcam": package.XGradCAM,
    "scorecam": package.ScoreCAM,
    "ablationcam": package.AblationCAM,
    "eigencam": package.EigenCAM,
    "eigengradcam": package.EigenGradCAM,
}
all_methods = pytest.mark.parametrize("method", methods_of("map"))


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def network(images: Tensor) -> nn.Module:
    """CIFAR's ResNet-20 with batch statistics of its own, in eval mode. Its layer3 is 4×4, of 64 channels."""
    torch.manual_seed(0)
    network = build_network("cifar_resnet20", num_classes=5, image_size=16)
    with torch.no_grad():
        for _ in range(5):
            network(images)
    return network.eval()


@pytest.fixture
def small() -> nn.Module:
    """SimpleCNN, a few channels wide. Its block2 is 4×4."""
    torch.manual_seed(0)
    return build_network("simple_cnn", num_classes=4, image_size=16, width=4)


def by_the_package(method: str, network: nn.Module, layer: str, images: Tensor, targets: list[int] | None):
    """Raw maps and scaled maps of the package, which is called as its documentation does."""
    theirs = copy.deepcopy(network)
    raw = []

    class Raw(CLASSES[method]):
        def get_cam_image(self, *args, **kwargs):
            raw.append(super().get_cam_image(*args, **kwargs))
            return raw[-1]

    with Raw(theirs, [theirs.get_submodule(layer)]) as cam:
        scaled = cam(images, None if targets is None else [ClassifierOutputTarget(target) for target in targets])
    return raw[0], scaled


def assert_same(found: np.ndarray, expected: np.ndarray, within: float = 1e-5) -> None:
    """Within 1e-5 of the largest value of each map."""
    assert found.shape == expected.shape
    size = np.abs(expected).max(axis=(1, 2), keepdims=True)
    assert (size > 0).all()
    np.testing.assert_allclose(found / size, expected / size, rtol=0, atol=within)


@all_methods
@pytest.mark.parametrize("targets", [None, [4, 0, 2]])
@pytest.mark.parametrize("layer", ["layer3", "layer3.1.conv1"])
def test_agrees_with_the_package(network: nn.Module, images: Tensor, method: str, layer: str, targets) -> None:
    # One of 64 channels inside a block moves a logit by so little that the logit's last bit is 1e-5 of the map: there
    # the package itself is 4e-5 off what it gives in float64.
    within = 1e-4 if (method, layer) == ("ablationcam", "layer3.1.conv1") else 1e-5
    found = class_activation_maps(network, images, method, None if targets is None else torch.tensor(targets), layer)
    raw, scaled = by_the_package(method, network, layer, images, targets)
    assert scaled.max() > 0.9
    assert_same(found.maps, raw, within)
    np.testing.assert_allclose(scale_maps(found.maps, (16, 16)), scaled, rtol=0, atol=within)
    assert (found.layer, found.maps.dtype) == (layer, np.float32)
    assert found.targets.tolist() == (found.predicted.tolist() if targets is None else targets)
    np.testing.assert_allclose(found.logits, network(images).detach(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("layer", ["layer3", "layer2.1.conv2"])
@pytest.mark.parametrize("targets", [None, [4, 0, 2]])
def test_eigengradcam_of_resnet18_is_the_packages_sign_and_all(ordinary: nn.Module, layer: str, targets) -> None:
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    chosen = None if targets is None else torch.tensor(targets)
    found = class_activation_maps(ordinary, images, "Eigen-Grad-CAM", chosen, layer, batch_size=2)
    raw, scaled = by_the_package("eigengradcam", ordinary, layer, images, targets)
    assert_same(found.maps, raw)
    np.testing.assert_allclose(scale_maps(found.maps, (64, 64)), scaled, rtol=0, atol=1e-5)
    assert (found.maps < 0).any(axis=(1, 2)).all(), "centred: each map has both signs"


def test_eigengradcam_is_the_first_component_of_gradient_times_activation(small: nn.Module, images: Tensor) -> None:
    """Worked out from the definition, by an eigenvalue decomposition instead of the package's SVD; its sign is free."""
    small.eval()
    found = class_activation_maps(small, images, "eigengradcam", torch.tensor([1, 2, 3]), "block2").maps
    for image, target, map_ in zip(images, (1, 2, 3), found, strict=True):
        kept: list[Tensor] = []
        handle = small.block2.register_forward_hook(lambda *arguments, kept=kept: kept.append(arguments[2]))
        logits = small(image[None])
        handle.remove()
        (gradient,) = torch.autograd.grad(logits[0, target], kept[0])
        cells = (gradient * kept[0]).detach()[0].flatten(1).T.double()
        cells = cells - cells.mean(dim=0)
        component = cells @ torch.linalg.eigh(cells.T @ cells).eigenvectors[:, -1]
        expected = component.reshape(map_.shape).numpy()
        expected *= np.sign((expected * map_).sum())
        np.testing.assert_allclose(map_, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@all_methods
def test_the_class_matters_except_to_eigencam(network: nn.Module, images: Tensor, method: str) -> None:
    one, other = (
        class_activation_maps(network, images, method, torch.full((3,), target), "layer3").maps for target in (0, 3)
    )
    assert np.array_equal(one, other) == (method == "eigencam")


@all_methods
def test_a_batch_equals_its_images_one_by_one(network: nn.Module, images: Tensor, method: str) -> None:
    targets = torch.tensor([1, 4, 0])
    batch = class_activation_maps(network, images, method, targets, "layer3")
    singles = [
        class_activation_maps(network, image[None], method, target[None], "layer3")
        for image, target in zip(images, targets, strict=True)
    ]
    # Two components of nearly the same strength turn with the last bits of the gradients that they are made of.
    within = 1e-4 if method == "eigengradcam" else 1e-5
    assert_same(batch.maps, np.concatenate([single.maps for single in singles]), within)
    sliced = class_activation_maps(network, images, method, targets, "layer3", batch_size=2)
    assert_same(sliced.maps, batch.maps, within)
    np.testing.assert_allclose(sliced.logits, batch.logits, rtol=0, atol=1e-5)
    assert sliced.targets.tolist() == targets.tolist()


@all_methods
def test_progress_tells_how_many_images_are_done(small: nn.Module, images: Tensor, method: str, capfd) -> None:
    told: list[int] = []
    class_activation_maps(small, images, method, batch_size=2, progress=told.append)
    assert told == ([1, 2, 3] if method in ("scorecam", "ablationcam") else [2, 3])
    assert capfd.readouterr() == ("", ""), "the package's own bars are silent"


def test_names_as_the_papers_spell_them(small: nn.Module, images: Tensor) -> None:
    for method, spelled in (("gradcam++", "Grad-CAM++"), ("hirescam", "HiResCAM"), ("scorecam", "Score-CAM")):
        np.testing.assert_array_equal(
            class_activation_maps(small, images, spelled).maps, class_activation_maps(small, images, method).maps
        )
    np.testing.assert_array_equal(gradcam(small, images).maps, class_activation_maps(small, images).maps)


def everything(network: nn.Module) -> list:
    """All of a network and of the random states that an explanation could change, as plain comparable values."""
    state = [
        (name, value.dtype, value.requires_grad, value.detach().float().numpy().tobytes())
        for name, value in [*network.named_parameters(), *network.named_buffers()]
    ]
    gradients = [None if value.grad is None else value.grad.float().numpy().tobytes() for value in network.parameters()]
    modules = [
        (name, id(module), module.training, *(list(getattr(module, hooks)) for hooks in HOOKS))
        for name, module in network.named_modules()
    ]
    random_states = [torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()]
    return [state, gradients, modules, random_states]


HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class AlwaysRandom(nn.Module):
    """Draws random numbers in eval mode too."""

    def forward(self, features: Tensor) -> Tensor:
        return nn.functional.dropout(features, 0.1, training=True)


def _training(network: nn.Module, images: Tensor) -> nn.Module:
    network.train().block1.eval()  # type: ignore[operator]  # modes differ from layer to layer
    network.block1.conv.requires_grad_(False)  # type: ignore[operator]
    network(images).sum().backward()
    return network


def _frozen(network: nn.Module, images: Tensor) -> nn.Module:
    return network.eval().requires_grad_(False)


def _bf16(network: nn.Module, images: Tensor) -> nn.Module:
    return _training(network.bfloat16(), images.bfloat16())


@all_methods
@pytest.mark.parametrize("change", [_training, _frozen, _bf16])
@pytest.mark.parametrize("surroundings", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_the_network_is_left_as_it_was(small: nn.Module, images: Tensor, method: str, change, surroundings) -> None:
    heard: list[str] = []
    small.pool = nn.Sequential(small.pool, AlwaysRandom())
    changed = change(small, images)
    changed.block2.register_forward_hook(lambda *_: heard.append("forward"))
    changed.block2.register_full_backward_hook(lambda *_: heard.append("backward"))
    before = everything(changed)
    with surroundings():
        found = class_activation_maps(changed, images[:2] * 1, method, layer="block2")
    assert np.isfinite(found.maps).all()
    assert np.ptp(found.maps) > 0
    assert everything(changed) == before
    assert heard == [], "others' hooks don't hear the explanation"


@all_methods
def test_the_state_of_the_network_changes_no_map(small: nn.Module, images: Tensor, method: str) -> None:
    changed = _bf16(small, images)  # training, partly frozen, in bf16
    expected = class_activation_maps(copy.deepcopy(changed).float().eval(), images, method)
    with torch.inference_mode():
        found = class_activation_maps(changed, images, method)
    np.testing.assert_array_equal(found.maps, expected.maps)


class Counting(nn.Module):
    """How many images pass which part: `before` and `after` the layer to be explained."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, list[int]] = {"before": [], "after": []}
        self.before = nn.Conv2d(3, 6, 3, padding=1)
        self.layer = nn.Sequential(nn.Conv2d(6, 12, 3, stride=2, padding=1), nn.ReLU())
        self.fc = nn.Linear(12, 3)

    def forward(self, images: Tensor) -> Tensor:
        self.seen["before"].append(len(images))
        features = self.layer(self.before(images))
        self.seen["after"].append(len(features))
        return self.fc(features.mean(dim=(2, 3)))

    def __deepcopy__(self, memo: dict) -> "Counting":
        """The copy counts for the original."""
        theirs = Counting()
        theirs.load_state_dict(self.state_dict())
        theirs.seen = self.seen
        return theirs.requires_grad_(False)


@all_methods
def test_no_more_passes_than_needed(images: Tensor, method: str) -> None:
    torch.manual_seed(0)
    network = Counting()
    class_activation_maps(network, images, method, layer="layer", batch_size=2)
    expected = {
        "scorecam": {"before": [2, *[2] * 6, *[2] * 6, 1, *[2] * 6], "after": [2, *[2] * 6, *[2] * 6, 1, *[2] * 6]},
        "ablationcam": {"before": [2, *[1] * 6, *[1] * 6, 1, *[1] * 6], "after": [2, *[2] * 6, *[2] * 6, 1, *[2] * 6]},
    }
    assert network.seen == expected.get(method, {"before": [2, 1], "after": [2, 1]})


class Concatenating(nn.Module):
    """As DenseNet: what comes before the layer is put beside its output, so that both need as many images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.layer = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU())
        self.fc = nn.Linear(10, 3)

    def forward(self, images: Tensor) -> Tensor:
        features = self.conv(images)
        return self.fc(torch.cat([features, self.layer(features)], dim=1).relu_().mean(dim=(2, 3)))


def test_ablation_where_the_layer_is_passed_by(network: nn.Module, images: Tensor) -> None:
    torch.manual_seed(0)
    for passed_by, layer in ((Concatenating().eval(), "layer"), (network, "layer3.0.relu1")):
        found = class_activation_maps(passed_by, images, "ablationcam", layer=layer)
        assert_same(found.maps, by_the_package("ablationcam", passed_by, layer, images, None)[0], within=1e-4)


def test_ablation_where_activations_are_negative(images: Tensor) -> None:
    """The package puts in another value for each of 32 channels in turn, which a linear head passes on as it is."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 70, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(70, 3))
    found = class_activation_maps(network, images, "ablationcam", layer="0", batch_size=9)
    assert_same(found.maps, by_the_package("ablationcam", network, "0", images, None)[0])


def test_ablation_of_a_head_that_says_nothing_yet(small: nn.Module, images: Tensor) -> None:
    nn.init.zeros_(small.fc.weight), nn.init.zeros_(small.fc.bias)  # type: ignore[arg-type, union-attr]
    assert not class_activation_maps(small, images, "ablationcam").maps.any()


@all_methods
def test_an_inplace_relu_behind_the_layer_changes_nothing(small: nn.Module, images: Tensor, method: str) -> None:
    small.eval()
    ordinary = copy.deepcopy(small)
    ordinary.block2.relu.inplace = False  # type: ignore[union-attr]
    assert small.block2.relu.inplace  # type: ignore[union-attr]
    found, expected = (class_activation_maps(net, images, method, layer="block2.bn").maps for net in (small, ordinary))
    np.testing.assert_array_equal(found, expected)
    if method not in ("gradcam++", "layercam"):  # which weigh by positive gradients only
        assert (found < 0).any(), "negative evidence is kept"


@pytest.fixture(scope="module")
def ordinary() -> nn.Module:
    """ResNet-18 for 5 classes; at 16 px its layer4 is 1×1."""
    return resnet18(num_classes=5).eval()


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("gradcam+", {}, "method=gradcam+ is unknown; nearest: gradcam++, gradcam, xgradcam"),
        ("Smooth", {}, "method=Smooth is unknown; nearest: gradcam, gradcam++, layercam"),
        *(
            (method, arguments, f"{method}{message}")
            for method in (*methods_of("map"), "Score-CAM")
            for arguments, message in (
                ({"targets": [0, 5, 0]}, ": no class 5; the network has classes 0 to 4"),
                ({"targets": [0, 0, -1], "batch_size": 1}, ": no class -1; the network has classes 0 to 4"),
                ({"targets": [0, 1]}, " wants one class for each of 3 images, not (2,)"),
                ({"targets": [0.5] * 3}, " wants classes as whole numbers, not torch.float32"),
                ({"layer": "layr2"}, ": no layer 'layr2' in ResNet; near: layer2"),
                ({"layer": "fc"}, ": layer 'fc' gives no feature map; name a convolution or a block"),
                ({"layer": "layer4"}, ": layer 'layer4' gives 1×1 maps; name an earlier layer, or take larger images"),
                ({"layer": "layer1.0.relu"}, ": layer 'layer1.0.relu' runs more than once a pass; name the block"),
                ({"batch_size": 0}, ": batch_size=0 is no number of images; take at least 1"),
            )
        ),
    ],
)
def test_what_cannot_be_explained_is_said_in_one_line(
    ordinary: nn.Module, images: Tensor, method: str, arguments: dict, message: str
) -> None:
    done: list[int] = []
    if "targets" in arguments:
        arguments = {**arguments, "targets": torch.tensor(arguments["targets"])}
    with pytest.raises(InputError) as caught:
        class_activation_maps(ordinary, images, method, progress=done.append, **arguments)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert done == [], "before any expensive work"


@all_methods
@pytest.mark.parametrize("shape", [(3, 32, 32), (0, 3, 32, 32), (5, 3, 0, 32)])
def test_images_of_another_shape(ordinary: nn.Module, method: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as caught:
        class_activation_maps(ordinary, torch.zeros(shape), method)
    assert str(caught.value) == f"{method} wants images of shape (N, C, H, W), not {shape}"


def test_images_too_small_for_any_map(ordinary: nn.Module) -> None:
    with pytest.raises(InputError, match=r"^eigencam: no layer of ResNet has a map of at least 4×4 for images of 6×6"):
        class_activation_maps(ordinary, torch.zeros(1, 3, 6, 6), "eigencam")


@all_methods
def test_a_first_layer_in_place_leaves_the_images_alone(images: Tensor, method: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Threshold(0, 9, inplace=True), nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3)
    )
    network(images.clone())
    mine = images.clone()
    found = class_activation_maps(network, mine, method, layer="2").maps
    torch.testing.assert_close(mine, images, rtol=0, atol=0)
    network[0].inplace = False  # type: ignore[assignment]
    np.testing.assert_array_equal(found, class_activation_maps(network, images, method, layer="2").maps)


@all_methods
def test_a_layer_that_does_not_run(small: nn.Module, images: Tensor, method: str) -> None:
    small.aside = nn.Conv2d(3, 2, 1)
    with pytest.raises(
        InputError, match=f"{method.replace('+', '.')}: the output of 'aside' does not reach the logits"
    ):
        class_activation_maps(small, images, method, layer="aside")
