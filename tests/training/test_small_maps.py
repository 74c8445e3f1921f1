"""Convolutions of small feature maps as matrix products: the same numbers but for rounding, and only where meant."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from src.runs.folder import RunFolder
from src.training.assemble import assemble
from src.training.classifier import ImageClassifier
from src.training.small_maps import SmallMaps

LAST = torch.channels_last


def layer(
    size: int, kernel: int, stride: int, padding: int | str, channels: int = 128, **more: Any
) -> tuple[nn.Conv2d, Tensor]:
    torch.manual_seed(0)
    convolution = nn.Conv2d(channels, channels + 2, kernel, stride, padding, **more).to(memory_format=LAST)
    return convolution, torch.randn(3, channels, size, size).contiguous(memory_format=LAST)


def computed(convolution: nn.Conv2d, images: Tensor, precision: torch.dtype) -> tuple[list[Tensor], str]:
    """Return output, gradients of images and weights, and the name of what computes these."""
    convolution.zero_grad()
    images = images.clone(memory_format=torch.preserve_format).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        found = convolution(images)
    gradient = torch.randn(found.shape, generator=torch.Generator().manual_seed(1)).to(found.dtype)
    found.backward(gradient)
    assert images.grad is not None
    return [found, images.grad, *(weight.grad for weight in convolution.parameters())], found.grad_fn.name()  # type: ignore[list-item]


SHAPES = [(2, 3, 1, 1), (4, 3, 2, 1), (1, 3, 1, 1), (4, 4, 3, 2), (7, 1, 1, 0), (8, 1, 2, 0), (4, 3, 1, 1)]
"""Size of the maps, of the kernel, stride, padding. Of the last one, the gradient of the weight alone is a product."""


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=str)
def test_products_are_as_exact_as_the_library(shape: tuple[int, ...], bias: bool, precision: torch.dtype) -> None:
    convolution, images = layer(*shape, bias=bias)
    exact, _ = computed(convolution.double(), images.double(), torch.float64)
    library, name = computed(convolution.float(), images, precision)
    with SmallMaps():
        products, other = computed(convolution, images, precision)
    assert bias or (shape == SHAPES[-1] and precision == torch.float32) or other != name
    for one, two, true in zip(library, products, exact, strict=True):
        assert (one.dtype, one.stride()) == (two.dtype, two.stride())
        error, usual = ((true - part.double()).norm() / true.norm() for part in (two, one))
        assert error < 1.5 * usual + 1e-7


@pytest.mark.parametrize(
    ("what", "size", "more"),
    [("large maps", 16, {}), ("few channels", 2, {"channels": 8}), ("groups", 2, {"groups": 2}),
     ("dilation", 4, {"dilation": 2}), ("padding in words", 2, {"padding": "same"})],
)  # fmt: skip
def test_others_are_left_to_the_library(what: str, size: int, more: dict[str, Any]) -> None:
    convolution, images = layer(size, 3, 1, **{"padding": 1} | more)
    usual, _ = computed(convolution, images, torch.bfloat16)
    with SmallMaps():
        found, name = computed(convolution, images, torch.bfloat16)
    assert name.startswith("ConvolutionBackward0"), what
    assert all(map(torch.equal, usual, found))


def test_what_follows_may_change_the_maps_in_place() -> None:
    convolution, images = layer(2, 3, 1, 1, bias=False)
    with SmallMaps():
        convolution(images).relu_().sum().backward()
    weight = convolution.weight.grad
    convolution.zero_grad()
    convolution(images).relu().sum().backward()
    torch.testing.assert_close(weight, convolution.weight.grad, rtol=1e-4, atol=1e-3)


def test_what_the_library_refuses_is_refused_as_it_does() -> None:
    convolution, images = layer(2, 5, 1, 1)  # wider than the padded maps
    with pytest.raises(RuntimeError, match="Kernel size can't be greater") as usual:
        convolution(images)
    with SmallMaps(), pytest.raises(RuntimeError) as found:
        convolution(images)
    assert str(found.value) == str(usual.value)
    convolution, images = layer(2, 3, 1, 1)
    with SmallMaps():
        assert convolution(images[:0]).shape == (0, 130, 2, 2)


def test_without_gradients_or_channels_last_the_bits_are_the_library_s() -> None:
    convolution, images = layer(2, 3, 1, 1)
    with torch.no_grad():
        usual = convolution(images)
        with SmallMaps():
            assert torch.equal(convolution(images), usual)
    convolution.to(memory_format=torch.contiguous_format)
    with SmallMaps():
        assert convolution(images.contiguous()).grad_fn.name().startswith("ConvolutionBackward0")


@pytest.mark.parametrize(
    ("words", "expected"), [("compile=false", "auto"), ("compile=true", "library"), ("freeze=backbone", "library")]
)
def test_compiled_and_frozen_networks_are_left_to_the_library(
    words: str, expected: str, config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    parts = assemble(config(words, "logger=none"), RunFolder(tmp_path))
    assert parts.module.hparams["convolutions"] == expected


def classifier(convolutions: str) -> ImageClassifier:
    torch.manual_seed(0)
    return ImageClassifier(
        architecture={"name": "resnet18", "num_classes": 2, "in_channels": 3, "stem": "imagenet", "image_size": 64},
        class_names=["a", "b"],
        preprocessing={"image_size": 64, "in_channels": 3, "mean": [0.5] * 3, "std": [0.5] * 3},
        optimizer={},
        scheduler={},
        convolutions=convolutions,
    )


def test_a_network_learns_by_products_and_answers_by_the_library() -> None:
    """Whole steps of a ResNet-18 agree to rounding; what is validated and predicted, to the bit."""
    images = torch.randint(256, (4, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    answers, gradients = [], []
    for convolutions in ("library", "auto"):
        module = classifier(convolutions)
        module.memory_format = LAST
        module.network.to(memory_format=LAST)
        with torch.no_grad():
            answers.append(module.eval()(images))
        module.train()(images).square().mean().backward()
        gradients.append(module.network.get_parameter("layer4.0.downsample.0.weight").grad)
    assert torch.equal(*answers)
    one, two = gradients
    assert one is not None
    assert two is not None
    assert not torch.equal(one, two)
    assert (one - two).norm() < 1e-4 * one.norm()
