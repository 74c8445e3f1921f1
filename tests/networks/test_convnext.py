"""ConvNeXt against torchvision's own with copied weights, and a head deep inside a network wherever that matters."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import convnext_tiny

from src.attribution.cam import class_activation_maps
from src.attribution.layers import default_layer
from src.attribution.sanity import top_down
from src.cost.network import count_macs, count_parameters
from src.errors import InputError
from src.networks import build_network
from src.networks.pretrained import fit_weights, read_weights, stem_of
from src.training.classifier import ImageClassifier
from src.training.optimizers import build_optimizer


def network(**arguments: Any) -> nn.Module:
    return build_network("convnext_tiny", **{"num_classes": 5} | arguments)


def classifier(**settings: Any) -> ImageClassifier:
    arguments: dict[str, Any] = {
        "architecture": {"name": "convnext_tiny", "num_classes": 3, "image_size": 32, "stem": "imagenet"},
        "class_names": ["a", "b", "c"],
        "preprocessing": {"mean": [0.5] * 3, "std": [0.25] * 3},
        "optimizer": {"name": "adamw", "lr": 0.1, "weight_decay": 0.1},
        "scheduler": {"name": "constant"},
    }
    torch.manual_seed(0)
    return ImageClassifier(**arguments | settings)


@pytest.fixture(scope="module")
def theirs() -> nn.Module:
    """Torchvision's, with a layer scale that lets its blocks matter, as after some training."""
    torch.manual_seed(0)
    made = convnext_tiny()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.endswith("layer_scale"):
                parameter.uniform_(0.2, 0.5)
    return made


def test_logits_and_gradients_are_torchvisions(theirs: nn.Module) -> None:
    """In training mode too, where stochastic depth draws the same blocks."""
    ours = network(num_classes=1000)
    ours.load_state_dict(theirs.state_dict())
    images, targets = torch.randn(2, 3, 64, 64), torch.tensor([1, 7])
    gradients, logits = [], []
    for one in (theirs, ours):
        torch.manual_seed(1)
        loss = F.cross_entropy(one.train()(images), targets)
        gradients.append(torch.autograd.grad(loss, list(one.parameters())))
        with torch.no_grad():
            logits.append(one.eval()(images))
    for expected, gradient in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(*logits, rtol=0, atol=1e-5)


def test_parameters_and_macs_are_the_published_ones() -> None:
    with torch.device("meta"):
        made = network(num_classes=1000)
    assert count_parameters(made) == 28_589_128
    assert count_macs(made, 3, 224) == pytest.approx(4.456e9, rel=1e-3)


@pytest.mark.parametrize(
    ("size", "stem", "side"), [(64, "auto", 64), (65, "auto", 16), (64, "imagenet", 16), (224, "small", 224)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_the_stem_leaves(size: int, stem: str, side: int, channels: int) -> None:
    with torch.device("meta"):
        made = network(image_size=size, stem=stem, in_channels=channels)
        features = made.features[0](torch.empty(1, channels, size, size))  # type: ignore[index,operator,union-attr]
    assert features.shape == (1, 96, side, side)


@pytest.mark.parametrize(("stem", "least"), [("imagenet", 32), ("small", 8)])
def test_the_smallest_image_that_the_message_names_is_enough(stem: str, least: int) -> None:
    with pytest.raises(InputError, match=f"too small for convnext_tiny with stem={stem}: take at least {least} pixels"):
        network(image_size=least - 1, stem=stem)
    with torch.device("meta"):
        assert network(image_size=least, stem=stem)(torch.empty(2, 3, least, least)).shape == (2, 5)


@pytest.mark.parametrize(
    ("size", "stem", "layer"),
    [(224, "imagenet", "features.7"), (64, "imagenet", "features.3"), (32, "small", "features.5"),
     (8, "small", "features.3")],
)  # fmt: skip
def test_grad_cam_explains_the_deepest_stage_with_a_map(size: int, stem: str, layer: str) -> None:
    made = network(image_size=size, stem=stem)
    assert default_layer(made, torch.zeros(1, 3, size, size)) == layer


@pytest.mark.parametrize("layer", ["features.1.0.block.2", "features.1.0.block.5"])
def test_inside_a_block_channels_come_last_and_are_no_map(layer: str) -> None:
    made, images = network(image_size=32, stem="imagenet"), torch.randn(1, 3, 32, 32)
    with pytest.raises(InputError, match=f"layer '{layer}' gives no feature map; name a convolution or a block"):
        class_activation_maps(made, images, layer=layer)
    assert class_activation_maps(made, images, layer="features.1.0").maps.shape == (1, 8, 8)


def test_sanity_checks_go_down_stage_by_stage() -> None:
    stages = top_down(network())
    assert [stage for stage, _ in stages] == [
        "classifier.2", "features.6", "features.4", "features.2", "features.1", "features.0",
    ]  # fmt: skip
    assert stages[1][1] == ["features.6", "features.7", "classifier.0"]


def test_layer_decay_goes_down_stage_by_stage_and_scales_do_not_decay() -> None:
    made = network()
    optimizer = build_optimizer(made, "adamw", lr=0.8, weight_decay=0.01, layer_decay=0.5)
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    rates, decayed = {}, set()
    for name, parameter in made.named_parameters():
        rates[".".join(name.split(".")[:2])] = groups[id(parameter)]["lr"]
        if groups[id(parameter)]["weight_decay"]:
            decayed.add(name)
    assert rates == {
        "classifier.2": 0.8, "classifier.0": 0.4, "features.7": 0.4, "features.6": 0.4, "features.5": 0.2,
        "features.4": 0.2, "features.3": 0.1, "features.2": 0.1, "features.1": 0.05, "features.0": 0.025,
    }  # fmt: skip
    weighted = nn.Conv2d | nn.Linear
    assert decayed == {f"{key}.weight" for key, module in made.named_modules() if isinstance(module, weighted)}
    assert len(groups) == len(list(made.parameters()))


class TestWeights:
    def test_a_file_in_torchvisions_naming_is_fitted(self, theirs: nn.Module, tmp_path: Path) -> None:
        """A head for other classes is new; a grey image gets the features that its colour copy got."""
        torch.save(theirs.state_dict(), tmp_path / "convnext.pth")
        state = read_weights(tmp_path / "convnext.pth", "convnext_tiny")
        assert stem_of(state, "convnext_tiny") == "imagenet"
        ours = network(in_channels=1)
        fit = fit_weights(ours, state, "FILE")
        assert fit.adapted == ["features.0.0.weight"]
        assert fit.replaced == ["classifier.2.weight (1000×768, now 5×768)", "classifier.2.bias (1000, now 5)"]
        assert (fit.absent, fit.unused) == ([], [])
        grey = torch.randn(2, 1, 64, 64)
        with torch.no_grad():
            wanted = theirs.eval().features(grey.expand(-1, 3, -1, -1))  # type: ignore[operator]
            torch.testing.assert_close(ours.eval().features(grey), wanted, rtol=1e-4, atol=1e-4)  # type: ignore[operator]

    def test_another_stem_keeps_the_rest(self, theirs: nn.Module) -> None:
        small = network(stem="small")
        fit = fit_weights(small, theirs.state_dict(), "FILE")
        assert fit.replaced[0] == "features.0.0.weight (96×3×4×4, now 96×3×3×3)"
        assert stem_of(small.state_dict(), "convnext_tiny") == "small"

    def test_those_of_another_network_are_refused_by_name(self, theirs: nn.Module) -> None:
        with torch.device("meta"):
            other = build_network("resnet50", num_classes=5)
        with pytest.raises(InputError, match="fit the model to 0% only, so they are another network's: say model=conv"):
            fit_weights(other, theirs.state_dict(), "FILE")


class TestFreezing:
    def test_the_head_alone_learns(self) -> None:
        module = classifier(freeze="backbone")
        assert {name for name, p in module.network.named_parameters() if p.requires_grad} == {
            "classifier.2.weight", "classifier.2.bias",
        }  # fmt: skip
        training = {name for name, part in module.train().network.named_modules() if part.training}
        assert training == {"", "classifier", "classifier.2"}  # no stochastic depth in what is frozen

    def test_after_its_epochs_all_learns(self) -> None:
        module = classifier(freeze=2)
        module._freeze(epoch=1)
        assert not module.network.features[0][0].weight.requires_grad  # type: ignore[index,union-attr]
        module._freeze(epoch=2)
        assert all(p.requires_grad for p in module.network.parameters())
        assert all(part.training for part in module.train().network.modules())

    def test_the_head_makes_the_same_of_kept_features(self) -> None:
        module = classifier(freeze="backbone").train()
        images = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8)
        features: Tensor = module.features(images)
        assert features.shape == (4, 768)
        assert isinstance(module.network.get_submodule("classifier.2"), nn.Linear)  # it is back
        torch.testing.assert_close(module(features), module(images))
