"""Learning-rate schedules by their formulas, and which weights decay."""

import math
from functools import partial

import pytest
import torch

from src.errors import InputError
from src.networks import build_network
from src.training.optimizers import (
    build_optimizer,
    build_schedule,
    check_optimization,
    cosine_factor,
    step_factor,
    triangle_factor,
)


def test_norms_and_biases_do_not_decay() -> None:
    network = build_network("resnet18", num_classes=10, image_size=8)
    optimizer = build_optimizer(network, "sgd", lr=0.1, weight_decay=0.01, momentum=0.9)
    groups = optimizer.param_groups
    assert {p.ndim for group in groups if group["weight_decay"] == 0.01 for p in group["params"]} == {2, 4}
    assert {p.ndim for group in groups if group["weight_decay"] == 0.0 for p in group["params"]} == {1}
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))


def test_frozen_weights_stay_as_they_are() -> None:
    """No decay, no momentum: a weight without a gradient is passed over."""
    network = build_network("simple_cnn", num_classes=10, image_size=8).requires_grad_(False)
    network.fc.requires_grad_(True)
    optimizer = build_optimizer(network, "adamw", lr=0.1, weight_decay=0.5)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.eval()(torch.ones(2, 3, 8, 8)).square().sum().backward()
    optimizer.step()
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"fc.weight", "fc.bias"}


def test_biases_of_batch_norms_have_a_rate_of_their_own() -> None:
    network = build_network("resnet18", num_classes=10, image_size=8)
    optimizer = build_optimizer(network, "sgd", lr=0.5, weight_decay=0.01, norm_bias_lr=64.0)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    own = {name for name, parameter in network.named_parameters() if rates[id(parameter)] == 32}
    assert own == {name for name, _ in network.named_parameters() if "bn" in name and name.endswith("bias")} | {
        f"layer{stage}.0.downsample.1.bias" for stage in (2, 3, 4)
    }
    assert {rates[id(p)] for name, p in network.named_parameters() if name not in own} == {0.5}
    usual = build_optimizer(network, "sgd", lr=0.5, weight_decay=0.01)
    assert len(usual.param_groups) == 4  # as checkpoints of before have them


def test_the_triangle_is_that_of_airbench() -> None:
    """Its `get_lr` for 440 steps, of which 101 rise."""
    factor = partial(triangle_factor, spent=float, warmup=101 / 440, first=0.2, final=0.07)
    for step in range(440):
        expected = 0.2 * (1 - step / 101) + step / 101 if step < 101 else 1 - 0.93 * (step - 101) / 339
        assert factor(step, steps=440) == pytest.approx(expected)
    assert factor(500, steps=440) == pytest.approx(0.07)
    assert triangle_factor(3, steps=None, spent=lambda: 0.5, warmup=0.25, first=0.2, final=0.1) == pytest.approx(0.7)


def test_the_rate_falls_layer_by_layer_from_the_head() -> None:
    network = build_network("resnet18", num_classes=10, image_size=8)
    optimizer = build_optimizer(network, "sgd", lr=0.8, weight_decay=0.01, layer_decay=0.5)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    by_child = {name: {rates[id(p)] for p in child.parameters()} for name, child in network.named_children()}
    assert by_child | {"relu": set(), "maxpool": set(), "avgpool": set()} == {
        "fc": {0.8}, "layer4": {0.4}, "layer3": {0.2}, "layer2": {0.1}, "layer1": {0.05}, "conv1": {0.025},
        "bn1": {0.025}, "relu": set(), "maxpool": set(), "avgpool": set(),
    }  # fmt: skip
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(network.parameters()))
    assert optimizer.param_groups[0]["lr"] == 0.8  # what is logged as lr
    schedule = build_schedule(optimizer, "cosine", steps=10, steps_per_epoch=10, warmup_epochs=0, final=0.1)
    assert schedule is not None
    for _ in range(10):
        optimizer.step()
        schedule.step()
    ends = [group["lr"] for group in optimizer.param_groups]
    assert max(ends) == pytest.approx(0.08)
    assert min(ends) == pytest.approx(0.0025)


def test_cosine_rises_to_one_and_falls_to_its_end() -> None:
    factors = [cosine_factor(step, warmup=4, steps=20, final=0.1) for step in range(21)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert factors[12] == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 2)))
    assert factors[20] == pytest.approx(0.1)


@pytest.mark.parametrize("name", ["cosine", "onecycle"])
def test_where_a_time_ends_the_training_the_rate_falls_with_it(name: str) -> None:
    """Every step takes as long as every other here, so that it falls as it does by steps."""
    settings = {"warmup_epochs": 0, "final": 0.1} if name == "cosine" else {"warmup": 0.3}
    rates: list[list[float]] = []
    for timed in (False, True):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2, momentum=0.9)
        clock = iter([step / 100 for step in range(101)])
        steps = None if timed else 101
        schedule = build_schedule(
            optimizer, name, steps=steps, steps_per_epoch=10, spent=lambda clock=clock: next(clock), **settings
        )
        rates.append([])
        for _ in range(100):
            rates[-1].append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
    assert rates[1] == pytest.approx(rates[0], abs=0.005)
    assert max(rates[1]) == pytest.approx(0.2, rel=1e-3)


def test_step_divides_every_so_many_epochs() -> None:
    factors = [step_factor(step, warmup=2, every=10, gamma=0.1) for step in (0, 2, 9, 10, 25)]
    assert factors == pytest.approx([1 / 3, 1, 1, 0.1, 0.01])


def test_a_run_shorter_than_its_warm_up_still_reaches_the_rate() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = build_schedule(optimizer, "cosine", steps=6, steps_per_epoch=6, warmup_epochs=5, final=0.0)
    rates = []
    for _ in range(6):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert max(rates) == 1.0


def test_unknown_names_are_told() -> None:
    network = build_network("simple_cnn", num_classes=10, image_size=8)
    with pytest.raises(InputError, match="optimizer 'adam' is unknown: take sgd or adamw"):
        build_optimizer(network, "adam", lr=0.1, weight_decay=0.0)
    optimizer = build_optimizer(network, "sgd", lr=0.1, weight_decay=0.0)
    with pytest.raises(InputError, match="scheduler 'cos' is unknown"):
        build_schedule(optimizer, "cos", steps=10, steps_per_epoch=5)


def test_looking_at_settings_draws_nothing_from_the_global_generator() -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    check_optimization({"name": "sgd", "lr": 0.1, "weight_decay": 0.0}, {"name": "constant"})
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("optimizer", "scheduler", "message"),
    [
        ({"lr": -1.0}, {}, "optimizer.lr=-1 is not possible: take a number strictly between 0 and 1000"),
        ({"momentum": "much"}, {}, "optimizer.momentum=much is not possible: take a number between 0 and 0.9999"),
        ({}, {"name": "cosine", "warmup_epochs": 1.0, "final": 2.0}, "scheduler.final=2 is not possible"),
    ],
)
def test_settings_from_python_are_checked_as_on_the_command_line(
    optimizer: dict[str, object], scheduler: dict[str, object], message: str
) -> None:
    usual = {"name": "sgd", "lr": 0.1, "weight_decay": 0.0}
    with pytest.raises(InputError, match=message):
        check_optimization(usual | optimizer, {"name": "constant"} | scheduler)
