"""DenseNet against torchvision's own with copied weights, and the old names in torchvision's files of weights."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import densenet121

from src.attribution.layers import default_layer
from src.attribution.sanity import top_down
from src.cost.network import count_macs, count_parameters
from src.errors import InputError
from src.networks import build_network
from src.networks.pretrained import fit_weights, read_weights, stem_of


def network(**arguments: Any) -> nn.Module:
    return build_network("densenet121", **{"num_classes": 5} | arguments)


@pytest.fixture(scope="module")
def theirs() -> nn.Module:
    torch.manual_seed(0)
    return densenet121()


def test_logits_and_gradients_are_torchvisions(theirs: nn.Module) -> None:
    ours = network(num_classes=1000)
    ours.load_state_dict(theirs.state_dict())
    images, targets = torch.randn(2, 3, 64, 64), torch.tensor([1, 7])
    gradients, logits = [], []
    for one in (theirs, ours):
        with torch.no_grad():
            logits.append(one.eval()(images))
        loss = F.cross_entropy(one(images), targets)
        gradients.append(torch.autograd.grad(loss, list(one.parameters())))
    for expected, gradient in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(*logits, rtol=0, atol=1e-5)


def test_parameters_and_macs_are_the_published_ones() -> None:
    with torch.device("meta"):
        made = network(num_classes=1000)
    assert count_parameters(made) == 7_978_856
    assert count_macs(made, 3, 224) == pytest.approx(2.834e9, rel=1e-3)


@pytest.mark.parametrize(
    ("size", "stem", "side"), [(64, "auto", 64), (65, "auto", 17), (64, "imagenet", 16), (224, "small", 224)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_the_stem_leaves(size: int, stem: str, side: int, channels: int) -> None:
    with torch.device("meta"):
        made = network(image_size=size, stem=stem, in_channels=channels)
        features = made.features[:4](torch.empty(1, channels, size, size))  # type: ignore[index,operator]
    assert features.shape == (1, 64, side, side)


@pytest.mark.parametrize(("stem", "least"), [("imagenet", 29), ("small", 8)])
def test_the_smallest_image_that_the_message_names_is_enough(stem: str, least: int) -> None:
    with pytest.raises(InputError, match=f"too small for densenet121 with stem={stem}: take at least {least} pixels"):
        network(image_size=least - 1, stem=stem)
    with torch.device("meta"):
        assert network(image_size=least, stem=stem)(torch.empty(2, 3, least, least)).shape == (2, 5)


@pytest.mark.parametrize(
    ("size", "stem", "layer"),
    [(224, "imagenet", "features.norm5"), (64, "imagenet", "features.denseblock2"),
     (32, "small", "features.denseblock3"), (8, "small", "features.denseblock2")],
)  # fmt: skip
def test_grad_cam_explains_the_deepest_stage_with_a_map(size: int, stem: str, layer: str) -> None:
    assert default_layer(network(image_size=size, stem=stem), torch.zeros(1, 3, size, size)) == layer


def test_sanity_checks_go_down_stage_by_stage() -> None:
    assert [stage for stage, _ in top_down(network())] == [
        "classifier", "features.transition3", "features.transition2", "features.transition1", "features.denseblock1",
        "features.conv0",
    ]  # fmt: skip


def test_a_file_with_torchvisions_old_names_is_fitted(theirs: nn.Module, tmp_path: Path) -> None:
    """The file that weights=imagenet downloads says `norm.1` for `norm1`, and has no counts of batches."""
    old = {re.sub(r"(denselayer\d+\.[a-z]+)(\d\.)", r"\1.\2", key): value for key, value in theirs.state_dict().items()}
    old = {key: value for key, value in old.items() if not key.endswith("num_batches_tracked")}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "densenet.pth")
    state = read_weights(tmp_path / "densenet.pth", "densenet121")
    assert stem_of(state, "densenet121") == "imagenet"
    ours = network(in_channels=1)
    fit = fit_weights(ours, state, "FILE")
    assert fit.adapted == ["features.conv0.weight"]
    assert fit.replaced == ["classifier.weight (1000×1024, now 5×1024)", "classifier.bias (1000, now 5)"]
    assert (fit.absent, fit.unused) == ([], [])
    grey = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        wanted = theirs.eval().features(grey.expand(-1, 3, -1, -1))  # type: ignore[operator]
        torch.testing.assert_close(ours.eval().features(grey), wanted, rtol=1e-4, atol=1e-4)  # type: ignore[operator]
