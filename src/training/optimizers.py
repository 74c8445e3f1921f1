"""Optimizers and learning-rate schedules, by name."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from ..errors import InputError, first_line
from ..networks import fixed_weights, layers_of
from ..settings.schema.training import Optimizer, Scheduler

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}


def build_optimizer(
    network: nn.Module,
    name: str,
    *,
    lr: float,
    weight_decay: float,
    layer_decay: float = 1.0,
    norm_bias_lr: float = 1.0,
    **settings: Any,
) -> torch.optim.Optimizer:
    """Return the optimizer of that name over all weights, with weight decay on kernels and matrices alone.

    Decay pulls a norm's scale and any bias towards 0 for no gain in generalisation (He et al. 2019,
    https://arxiv.org/abs/1812.01187, section 3.1). Frozen weights are included, since they may thaw; without a gradient
    they stay as they are. Those that a network never trains are not.

    Args:
        layer_decay: Multiplies the learning rate once for every layer below the head (Bao et al. 2021,
            https://arxiv.org/abs/2106.08254): at 0.5 in a ResNet layer4 learns at lr/2, the stem at lr/32.
        norm_bias_lr: Multiplies the learning rate of the biases of batch norms (Page 2018,
            https://myrtle.ai/learn/how-to-train-your-resnet-8-bag-of-tricks/).
        settings: The optimizer's own, such as `momentum`.
    """
    if name not in OPTIMIZERS:
        raise InputError(f"optimizer {name!r} is unknown: take {' or '.join(OPTIMIZERS)}")
    layers = layers_from_the_head(network)
    if layer_decay == 1:
        # The head stays alone: where a backbone thaws later, torch's fused SGD (2.15) can't begin momentum for a part
        # of a group.
        layers = [layers[0], [parameter for layer in layers[:0:-1] for parameter in layer]]
    groups = []
    apart = set() if norm_bias_lr == 1 else {module.bias for module in network.modules() if _is_batch_norm(module)}
    fixed = {network.get_parameter(name) for name in fixed_weights(network)}
    for depth, layer in enumerate(layers):
        rate = lr * layer_decay**depth
        parameters = [p for p in layer if p not in fixed]
        others = [p for p in parameters if not _decays(p)]
        groups += [
            {"params": [p for p in parameters if _decays(p)], "weight_decay": weight_decay, "lr": rate},
            {"params": [p for p in others if p not in apart], "weight_decay": 0.0, "lr": rate},
            {"params": [p for p in others if p in apart], "weight_decay": 0.0, "lr": rate * norm_bias_lr},
        ]
    if settings.get("nesterov") and not settings.get("momentum"):
        settings["nesterov"] = False  # a way to use momentum; without any, plain SGD is meant
    # Fused: one kernel for all weights. A step of ResNet-18 took 7.5 instead of 39 ms on 2 cores.
    return OPTIMIZERS[name]([group for group in groups if group["params"]], lr=lr, fused=True, **settings)


def layers_from_the_head(network: nn.Module) -> list[list[nn.Parameter]]:
    """Return the weights by layer, the head first: in a ResNet fc, layer4 … layer1, conv1 with bn1.

    The layers are those of the table of networks; one of norms alone belongs to the layer before it.
    """
    layers: list[list[nn.Parameter]] = []
    for names in layers_of(network):
        parameters = [weight for name in names for weight in network.get_submodule(name).parameters()]
        if not layers or any(_decays(weight) for weight in parameters):
            layers.append([])
        layers[-1] += parameters
    return layers[::-1]


def _is_batch_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.batchnorm._BatchNorm)


def _decays(weight: nn.Parameter) -> bool:
    """Return whether this is a linear layer's matrix or a convolution's kernel.

    What has 1 axis is a bias or a norm's scale; what has 3, a ConvNeXt's layer scale (C, 1, 1) or a transformer's
    position embedding and class token. timm exempts all of them, too.
    """
    return weight.ndim in (2, 4)


def build_schedule(
    optimizer: torch.optim.Optimizer,
    name: str,
    *,
    steps: int | None,
    steps_per_epoch: float,
    spent: Callable[[], float] = float,
    **settings: Any,
) -> LRScheduler | None:
    """Return the schedule of that name over `steps` optimizer steps, to be advanced after each; None for `constant`.

    cosine: linear warm-up over `warmup_epochs`, then half a cosine from lr to `final` × lr.
    onecycle: Smith & Topin 2018 (https://arxiv.org/abs/1708.07120); `warmup` is the rising share of all steps.
    triangle: from `first` × lr up to lr and down to `final` × lr in straight lines, after the same share.
    step: lr × `gamma` after every `every` epochs, after the same warm-up.
    trapezoid: a warm-up over `warmup_epochs`, a constant rate, and over the last `cooldown` share of all steps a line
        down to 0 (Hägele et al. 2024, https://arxiv.org/abs/2405.18392). Before the cool-down the rate knows only the
        step and not the run's length: a run that gets more steps goes on as if it had had them from the start.

    Args:
        steps: None where nobody knows, since a time ends the training.
        spent: Tells then how much of that time has been spent, from 0 to 1: a falling schedule follows it.
            By default nothing is.

    Raises:
        InputError: there is no such schedule.
    """
    if name == "constant":
        return None
    if steps is None and name == "onecycle":
        return LambdaLR(optimizer, partial(onecycle_factor, spent=spent, warmup=settings["warmup"]))
    if name == "onecycle":
        peaks = [group["lr"] for group in optimizer.param_groups]
        return OneCycle(optimizer, max_lr=peaks, total_steps=steps, pct_start=settings["warmup"])
    if name == "triangle":
        straight = {key: settings[key] for key in ("warmup", "first", "final")}
        return LambdaLR(optimizer, partial(triangle_factor, steps=steps, spent=spent, **straight))
    if name not in ("cosine", "step", "trapezoid"):
        raise InputError(f"scheduler {name!r} is unknown: take cosine, onecycle, triangle, step, trapezoid or constant")
    if name == "trapezoid":
        warmup, cooldown = round(settings["warmup_epochs"] * steps_per_epoch), settings["cooldown"]
        left = (
            partial(share_of_steps_left, steps=steps) if steps is not None else partial(share_of_time_left, spent=spent)
        )
        return LambdaLR(optimizer, partial(trapezoid_factor, warmup=warmup, cooldown=cooldown, left=left))
    # At most half of the run: the default warm-up must not swallow a run of one epoch.
    warmup = round(settings["warmup_epochs"] * steps_per_epoch)
    if steps is not None:
        warmup = min(warmup, steps // 2)
    if steps is not None and name == "cosine":
        factor = partial(cosine_factor, warmup=warmup, steps=steps, final=settings["final"])
    elif name == "cosine":
        factor = partial(timed_cosine_factor, spent=spent, warmup=warmup, final=settings["final"])
    else:
        factor = partial(step_factor, warmup=warmup, every=settings["every"] * steps_per_epoch, gamma=settings["gamma"])
    return LambdaLR(optimizer, factor)


class OneCycle(OneCycleLR):
    """Torch's, but a run that gets more epochs keeps its own new length, as the other schedules do."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        length = {name: getattr(self, name) for name in ("total_steps", "_schedule_phases")}
        super().load_state_dict(state_dict | length)


def check_optimization(optimizer: dict[str, Any], scheduler: dict[str, Any]) -> None:
    """Raise `InputError` if these settings make no optimizer or no schedule, before there is a run."""
    Optimizer.read(optimizer, "optimizer")
    Scheduler.read(scheduler, "scheduler")
    if optimizer.get("lr") == "auto":
        raise InputError("optimizer.lr=auto is found by src.train before it trains: say a number here")
    try:
        with torch.random.fork_rng(devices=[]):  # the layer's weights must not shift those of the network to come
            plan_optimization(nn.Sequential(nn.Linear(1, 1)), optimizer, scheduler)
    except InputError:
        raise
    except (TypeError, ValueError, KeyError, RuntimeError) as error:
        what = f"has no setting {error}" if isinstance(error, KeyError) else first_line(error)
        raise InputError(f"optimizer or scheduler: {what}") from error


def plan_optimization(
    network: nn.Module, optimizer: dict[str, Any], scheduler: dict[str, Any], *, timed: bool = False
) -> tuple[torch.optim.Optimizer, LRScheduler | None]:
    """Return optimizer and schedule as they are before the length of a run is known: of two steps.

    `timed`: a time alone will end the training.
    """
    made = build_optimizer(network, **optimizer)
    steps = None if timed else 2
    return made, build_schedule(made, steps=steps, steps_per_epoch=1, spent=lambda: 0.0, **scheduler)


def cosine_factor(step: int, *, warmup: int, steps: int, final: float) -> float:
    """Return what multiplies the rate at this step: (step + 1) / (warmup + 1), then ½(1 + cos πt) from 1 to `final`."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))


def timed_cosine_factor(step: int, *, spent: Callable[[], float], warmup: int, final: float) -> float:
    """Return what multiplies the rate: the warm-up in steps, and the cosine by the share of the time that is spent."""
    rising = min(1.0, (step + 1) / (warmup + 1))
    return rising * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * spent())))


def onecycle_factor(step: int, *, spent: Callable[[], float], warmup: float) -> float:  # noqa: ARG001  # torch's call
    """Return what multiplies the rate where this share of the time is spent, as torch's `OneCycleLR` has it by steps.

    Half a cosine from 1/25 up to 1, and half a cosine down to 1/250,000; momentum stays as it is.
    """
    share = spent()
    low, high, done = (1 / 25, 1.0, share / warmup) if share < warmup else (1 / 25e4, 1.0, (1 - share) / (1 - warmup))
    return low + (high - low) * 0.5 * (1 - math.cos(math.pi * done))


def triangle_factor(
    step: int, *, steps: int | None, spent: Callable[[], float], warmup: float, first: float, final: float
) -> float:
    """Return what multiplies the rate at this step, or, without a number of steps, where this share of time is spent:
    a straight line from `first` to 1, and one from there to `final`.
    """
    share = min(1.0, step / steps) if steps else spent()
    if share < warmup:
        return first + (1 - first) * share / warmup
    return 1 + (final - 1) * (share - warmup) / (1 - warmup)


def step_factor(step: int, *, warmup: int, every: float, gamma: float) -> float:
    """Return what multiplies the rate at this step: warm-up, then gamma ** (number of `every` steps passed)."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return gamma ** int(step / every)


def trapezoid_factor(step: int, *, warmup: int, cooldown: float, left: Callable[[int], float]) -> float:
    """Return what multiplies the rate at this step: the warm-up's line, 1, and the line down to 0 at the end.

    Where the cool-down begins before the warm-up is over, both count. `left` is the share of the run that is to come.
    """
    rising = min(1.0, (step + 1) / (warmup + 1))
    return rising * (min(1.0, left(step) / cooldown) if cooldown > 0 else 1.0)


def share_of_steps_left(step: int, *, steps: int) -> float:
    return max(0.0, (steps - step) / max(1, steps))


def share_of_time_left(step: int, *, spent: Callable[[], float]) -> float:  # noqa: ARG001  # as that of steps
    return 1 - spent()
