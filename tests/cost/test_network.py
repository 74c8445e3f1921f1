"""What a network costs: passes timed and counted by a clock of the test's own, memory against arithmetic."""

import copy
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from src.cost.cost_table import costs_text
from src.cost.latency import latency_figures, time_passes
from src.cost.memory import peak_memory
from src.cost.network import bare_copy, count_macs, count_parameters, measure_cost
from src.networks import build_network

CPU = torch.device("cpu")


def clock_of(seconds: float) -> Callable[[], float]:
    """A clock that goes on by so many seconds whenever it is read."""
    now = 0.0

    def read() -> float:
        nonlocal now
        now += seconds
        return now

    return read


def network() -> nn.Module:
    return build_network("simple_cnn", num_classes=10, in_channels=1, image_size=8, width=8)


def cost_of(measured: nn.Module, **settings: Any) -> dict[str, Any]:
    return measure_cost(measured, in_channels=1, image_size=8, batch_size=4, device=CPU, **settings)


class Slow(nn.Module):
    """Sleeps in each pass, and notes the number of images."""

    def __init__(self, seconds: float, passes: list[int]) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 2)
        self.seconds = seconds
        self.passes = passes

    def forward(self, images: Tensor) -> Tensor:
        if images.device.type == "cpu":  # MACs are counted on the meta device
            self.passes.append(len(images))
            time.sleep(self.seconds)
        return self.fc(images.flatten(1))

    def __deepcopy__(self, memo: dict[int, Any]) -> "Slow":
        return Slow(self.seconds, self.passes)


def test_ten_passes_warm_up_and_a_hundred_are_timed() -> None:
    calls: list[int] = []
    times = time_passes(lambda: calls.append(1), clock=clock_of(0.25))
    assert len(calls) == 110
    assert times == [0.25] * 100


def test_percentiles_are_numpys() -> None:
    times = np.random.default_rng(1).exponential(0.02, 100)
    assert latency_figures(list(times), "batch_") == {
        "batch_latency_ms_mean": pytest.approx(1000 * times.mean(), abs=1e-4),
        "batch_latency_ms_median": pytest.approx(1000 * np.percentile(times, 50), abs=1e-4),
        "batch_latency_ms_p95": pytest.approx(1000 * np.percentile(times, 95), abs=1e-4),
        "batch_latency_passes": 100,
    }


def test_a_budget_ends_warm_ups_and_passes_but_leaves_one_of_each() -> None:
    calls: list[int] = []
    shares: list[float] = []
    assert len(time_passes(lambda: calls.append(1), budget=20, clock=clock_of(1), on_pass=shares.append)) < 10
    assert shares == sorted(shares)
    assert 0.9 < shares[-1] <= 1
    calls.clear()
    assert len(time_passes(lambda: calls.append(1), budget=0.001, clock=clock_of(1))) == 1
    assert len(calls) == 2


def test_a_network_that_sleeps_20_ms_measures_20_ms() -> None:
    passes: list[int] = []
    cost = cost_of(Slow(0.02, passes), passes=10, warmups=2)
    assert passes == [1] * 12 + [4] * 12 + [1]  # the last one for its memory
    for prefix in ("", "batch_"):
        assert 20 <= cost[f"{prefix}latency_ms_median"] < 30
        assert cost[f"{prefix}latency_ms_median"] <= cost[f"{prefix}latency_ms_p95"]
    assert cost["inference_images_per_second"] == pytest.approx(4000 / cost["batch_latency_ms_mean"], abs=0.01)


def test_the_budget_is_for_both_batch_sizes_together() -> None:
    passes: list[int] = []
    start = time.perf_counter()
    cost = cost_of(Slow(0.02, passes), budget=0.4)
    assert time.perf_counter() - start < 0.4 + 5 * 0.02 + 0.3
    assert cost["latency_passes"] < 15
    assert cost["batch_latency_passes"] < 15


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true"])
def test_the_network_and_the_random_state_are_left_alone(precision: str) -> None:
    measured = network()
    measured(torch.randn(4, 1, 8, 8)).sum().backward()
    measured.train()
    measured.block1.eval()  # type: ignore[operator]
    state = copy.deepcopy(measured.state_dict())
    gradients = [parameter.grad.clone() for parameter in measured.parameters()]  # type: ignore[union-attr]
    modes = [module.training for module in measured.modules()]
    random_state = torch.get_rng_state()

    cost = cost_of(measured, precision=precision, memory_format=torch.channels_last, passes=3, warmups=1)

    assert json.loads(json.dumps(cost)) == cost
    assert cost["macs"] == count_macs(measured, 1, 8)
    assert all(torch.equal(state[name], value) for name, value in measured.state_dict().items())
    assert {parameter.dtype for parameter in measured.parameters()} == {torch.float32}
    assert all(torch.equal(old, new.grad) for old, new in zip(gradients, measured.parameters(), strict=True))
    assert modes == [module.training for module in measured.modules()]
    assert torch.equal(random_state, torch.get_rng_state())


def test_hooks_of_others_are_not_called() -> None:
    measured = network()
    heard: list[int] = []
    measured.fc.register_forward_hook(lambda *_: heard.append(1))  # type: ignore[operator]
    cost_of(measured, passes=1, warmups=1)
    assert heard == []
    measured(torch.zeros(2, 1, 8, 8))
    assert heard == [1]


def test_macs_and_parameters_are_those_of_all_convolutions_and_linear_layers() -> None:
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=2),
        nn.Flatten(),
        nn.Linear(8 * 8 * 8, 5),
    )
    assert count_macs(layers, 3, 16) == 16 * 16 * 8 * 3 * 9 + 8 * 8 * 8 * 4 * 9 + 8 * 8 * 8 * 5
    assert count_parameters(layers) == 8 * 3 * 9 + (8 * 4 * 9 + 8) + (8 * 8 * 8 * 5 + 5)
    assert count_macs(layers.bfloat16(), 3, 16) == count_macs(layers.float(), 3, 16)


def test_peak_memory_is_worked_out_by_hand() -> None:
    """1 KiB built; of two sums of 1 KiB each the first lives when the second is made, and its view costs nothing."""
    before = torch.zeros(10_000)

    def build() -> Tensor:
        torch.zeros(100_000)  # built and gone: not there when it is used
        return torch.zeros(256)

    def use(built: Tensor) -> None:
        first = built + 1
        view = first[:10]
        second = first + 1
        del first, second
        view.add_(1)
        before.detach().mul_(2)
        torch.ones(512)

    assert peak_memory(build, use, CPU) == 1024 + 1024 + 2048


def test_peak_memory_of_inference_holds_weights_and_grows_with_the_batch() -> None:
    measured = network()

    def peak(count: int) -> int:
        def build() -> tuple[nn.Module, Tensor]:
            return bare_copy(measured, CPU, "32-true", torch.contiguous_format).eval(), torch.zeros(count, 1, 8, 8)

        with torch.inference_mode():
            return peak_memory(build, lambda built: built[0](built[1]), CPU)

    one = peak(1)
    weights = 4 * count_parameters(measured)
    images, first_layers = 4 * 64, 4 * 8 * 64
    assert weights + images + first_layers < one < weights + images + 10 * first_layers
    assert peak(64) > one + 60 * (images + first_layers)
    assert peak(1) == one


def test_the_table_tells_once_what_networks_have_in_common() -> None:
    first = cost_of(network(), passes=2, warmups=1) | {
        "model": "a", "data": "digits", "precision": "32-true", "training_images_per_second": 1234.5,
        "training_peak_memory_mib": 4.2, "macs": 1_814_073_344, "parameters": 11_176_512,
    }  # fmt: skip
    lines = costs_text([first, first | {"model": "b", "precision": "bf16-mixed", "latency_passes": 1}]).split("\n")
    assert lines[1].split()[:2] == ["model", "precision"]
    assert lines[2].split()[:5] == ["a", "32-true", "11,176,512", "1.81", "G"]
    assert "data digits, batch 4" in lines[5]
    assert "1 to 2 passes" in lines[6]
    assert max(map(len, lines[:4])) <= 120


def test_names_and_figures_stay_whole_however_many_settings_differ() -> None:
    first = cost_of(network(), passes=2, warmups=1) | {
        "model": "cifar_resnet110", "data": "digits", "precision": "32-true", "memory_format": "contiguous",
        "training_batch_size": 64, "training_images_per_second": 1234.5, "training_peak_memory_mib": 4.2,
        "macs": 7_600_000, "image_size": 8, "in_channels": 1, "num_classes": 10,
    }  # fmt: skip
    second = first | {
        "model": "cifar_resnet20", "data": "tinyimagenet", "image_size": 64, "in_channels": 3, "num_classes": 200,
        "precision": "bf16-mixed", "memory_format": "channels_last", "training_batch_size": 128,
    }  # fmt: skip
    text = costs_text([first, second])
    settings, figures, _ = (block.split("\n") for block in text.split("\n\n"))
    assert settings[1].split() == ["1", "cifar_resnet110", "digits", "8", "1", "10", "64", "32-true", "contiguous"]
    assert settings[2].split()[-3:] == ["128", "bf16-mixed", "channels_last"]
    assert [row.split()[:2] for row in figures[2:]] == [["1", "cifar_resnet110"], ["2", "cifar_resnet20"]]
    assert "7.6 M" in figures[2]
    assert "…" not in text
    assert max(map(len, settings + figures)) <= 120
