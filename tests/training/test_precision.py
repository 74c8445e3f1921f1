"""What `auto` chooses, from what the hardware has and how often a weight is used."""

import pytest
import torch

from src.networks import build_network
from src.training import precision
from src.training.precision import choose_memory_format, choose_precision, weight_uses, worth_converting

BOTH = ("auto", "library")


def test_weight_uses_by_hand() -> None:
    """A 1×1 convolution meets each pixel once: 16 uses of 4×4 pixels; a linear layer's weights are used once."""
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 5, 1, bias=False), torch.nn.Flatten())
    assert weight_uses(network, in_channels=1, image_size=4) == 16
    assert weight_uses(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3, bias=False)), 1, 4) == 1


@pytest.mark.parametrize(
    ("name", "size", "words", "convolutions", "bf16"),
    [
        *(("resnet18", 224, {}, by, True) for by in BOTH),
        *(("resnet50", 128, {}, by, True) for by in BOTH),
        *(("resnet18", 28, {"stem": "small"}, by, True) for by in BOTH),
        *(("resnet18", 28, {"stem": "imagenet"}, by, by == "auto") for by in BOTH),
        *(("resnet18", 8, {"stem": "small"}, by, by == "auto") for by in BOTH),
        *(("simple_cnn", 8, {}, by, False) for by in BOTH),
    ],
)
def test_small_images_are_not_slowed_down(
    name: str, size: int, words: dict[str, str], convolutions: str, bf16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "cpu_gains_from_bf16", lambda: True)
    network = build_network(name, num_classes=10, image_size=size, **words)
    worth = worth_converting(network, 3, size, convolutions)
    assert choose_precision("auto", cuda=False, worth=worth) == ("bf16-mixed" if bf16 else "32-true")
    expected = torch.channels_last if bf16 else torch.contiguous_format
    assert choose_memory_format("auto", cuda=False, worth=worth) == expected


def test_what_the_user_says_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "cpu_gains_from_bf16", lambda: False)
    assert choose_precision("auto", cuda=False, worth=True) == "32-true"
    assert choose_precision("bf16-true", cuda=False, worth=False) == "bf16-true"
    assert choose_memory_format("channels_last", cuda=False, worth=False) == torch.channels_last
    assert choose_memory_format("contiguous", cuda=True, worth=True) == torch.contiguous_format


@pytest.mark.parametrize(
    ("cpu", "gains"),
    [
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, True),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, False),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": True}, True),
        ({"avx512_bf16": True}, True),  # torch before 2.15 has no names
        ({"cpu_name": "Arm Neoverse-V1", "sve_bf16": True}, True),
        ({"cpu_name": "AMD EPYC", "avx512_f": True}, False),
    ],
)
def test_bf16_instructions_pay_with_amx_on_amd_and_on_arm(
    cpu: dict[str, object], gains: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: cpu)
    assert precision.cpu_gains_from_bf16() is gains
