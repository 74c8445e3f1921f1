"""Whether what a checkpoint holds is what this very run would write: the same keys, shapes and settings.

A run that is set up, but has not begun, knows all of them. Torch and Lightning compare next to nothing: a schedule
takes over any attribute, an optimizer tensors of any shape.
"""

import math
from typing import Any

import lightning as L
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ..networks.saved import SavedFileError, is_plain
from .checkpoint_schema import MOST, named
from .unfinished import states

FREE = {"lr", "_last_lr", "momentum", "betas", "last_epoch", "_step_count", "total_steps", "end_step"}
"""What changes while a run trains, or depends on its length; all else in optimizer and schedule is the run's own."""

AVERAGES = ({"momentum_buffer"}, {"step", "exp_avg", "exp_avg_sq"})
"""What SGD and AdamW keep of a weight."""


def check_state(content: dict[str, Any], own: nn.Module) -> None:
    """Raise `SavedFileError` unless the weights have the names, shapes and kinds of numbers of `own`."""
    expected = own.state_dict()
    states = [content["state_dict"], content.get("current_model_state")]
    for given in (state for state in states if state is not None):
        for name in sorted(given.keys() ^ expected.keys()):
            raise SavedFileError(f"{named(name)} is not in both, or of another shape")
        for name, tensor in expected.items():
            _check_tensor(given[name], tensor, name)


def check_average(content: dict[str, Any], *, kept: bool) -> None:
    """Raise `SavedFileError` unless there is a running average of the weights where the run has one, and else none."""
    for key in ("current_model_state", "averaging_state"):
        _need((content.get(key) is not None) == kept, f"its {key} is {'missing' if kept else 'of a running average'}")


def check_loops(content: dict[str, Any], trainer: L.Trainer) -> None:
    """Raise `SavedFileError` unless Lightning's loops have the trainer's counters, and these agree with each other."""
    names = ("fit_loop", "validate_loop", "test_loop", "predict_loop")
    loops, unfinished = content["loops"], content.get("unfinished")
    _check_like(loops, {name: getattr(trainer, name).state_dict() for name in names}, "loops", free=True)
    _check_order(loops, "loops")
    fit = loops["fit_loop"]
    steps = fit["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]["total"]["completed"]
    done = fit["epoch_loop.batch_progress"]["current"]["processed"]
    _need(fit["epoch_progress"]["current"]["completed"] == content["epoch"], "its epoch is not that of its loops")
    _need(steps == content["global_step"], "its global_step is not that of its loops")
    _need(unfinished is None or done == unfinished["batches"], "its unfinished.batches are not those of its loops")


def check_optimization(content: dict[str, Any], optimizer: Optimizer, schedule: LRScheduler | None) -> None:
    """Raise `SavedFileError` unless optimizer and schedule were those of the run."""
    (state,), own = content["optimizer_states"], optimizer.state_dict()
    _need(state.keys() == own.keys() and isinstance(state["state"], dict), "its optimizer_states are strange")
    _check_like(state["param_groups"], own["param_groups"], "optimizer_states.param_groups")
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    _need(all(type(key) is int and 0 <= key < len(weights) for key in state["state"]), "it optimizes other weights")
    for number, kept in state["state"].items():
        where = f"optimizer_states.state.{number}"
        _need(isinstance(kept, dict) and (not kept or kept.keys() in AVERAGES), f"its {where} is strange")
        for name, value in kept.items():
            if name == "step":
                _need(is_plain(value) and value.ndim == 0 and 1 <= float(value) <= MOST, f"its {where} has no step")
            elif value is not None or name != "momentum_buffer":  # without momentum it is None
                _check_tensor(value, weights[number].detach(), f"{where}.{name}")
                _need(name != "exp_avg_sq" or bool((value >= 0).all()), f"its {where} has a negative square")
    # A weight without an average belongs to a group of frozen ones: torch can't begin with a part of a group.
    for group in own["param_groups"]:
        begun = {any(value is not None for value in state["state"].get(key, {}).values()) for key in group["params"]}
        _need(len(begun) <= 1, "its optimizer_states lack weights")
    _check_like(content["lr_schedulers"], [] if schedule is None else [schedule.state_dict()], "lr_schedulers")


def check_unfinished(content: dict[str, Any], network: nn.Module, figures: nn.Module) -> None:
    """Raise `SavedFileError` unless figures and gradients of half an epoch are those of the run; old ones lack some."""
    unfinished = content.get("unfinished")
    if unfinished is None:
        return
    own, weights = states(figures), {name: weight.detach() for name, weight in network.named_parameters()}
    all_together = {name: state for name, (_, state) in unfinished["figures"].items()}
    for share in [all_together, *(unfinished.get("shares") or [])]:
        _need(share.keys() == all_together.keys(), "its shares of the figures are strange")
        for name, state in share.items():
            _need(name in own and state.keys() == own[name].keys(), f"its figures of {named(name)} are strange")
            for key, value in state.items():
                _check_tensor(value, own[name][key], f"figures.{name}.{key}")
    for name, gradient in unfinished["gradients"].items():
        _need(name in weights, f"its gradient of {named(name)} is of no weight")
        _check_tensor(gradient, weights[name], f"gradient of {name}")


def _check_like(value: Any, own: Any, where: str, *, free: bool = False) -> None:
    """Compare nested dictionaries, lists, numbers and words with the run's own; `free` values may differ."""
    wrong = f"its {where} is not that of this run"
    if isinstance(own, dict):
        _need(isinstance(value, dict) and value.keys() == own.keys(), wrong)
        for key in own:
            _check_like(value[key], own[key], f"{where}.{key}", free=free or key in FREE)
    elif isinstance(own, list | tuple):
        _need(isinstance(value, list | tuple) and len(value) == len(own), wrong)
        for number, (inner, mine) in enumerate(zip(value, own, strict=True)):
            _check_like(inner, mine, f"{where}.{number}", free=free)
    elif isinstance(own, bool | str) or own is None:
        _need(type(value) is type(own) and (free or value == own), wrong)
    else:
        _need(type(value) in (type(own), int), wrong)
        least = -1 if where.endswith(".end_step") else 0  # a phase of a schedule may take no step
        _need(least <= value <= MOST if free else math.isclose(value, own, rel_tol=1e-9), wrong)


def _check_order(loops: dict[str, Any], where: str) -> None:
    """Check that Lightning counted up its counters in turn, and is not further ahead than one step."""
    counts = [loops[key] for key in ("ready", "started", "processed", "completed") if key in loops]
    _need(counts == sorted(counts, reverse=True), f"its {where} counts no steps")
    _need(not where.endswith(".current") or counts[0] - counts[-1] <= 1, f"its {where} counts no steps")
    for key, value in loops.items():
        if isinstance(value, dict):
            _check_order(value, f"{where}.{key}")


def _check_tensor(value: Any, own: Tensor, where: str) -> None:
    """Check that it is a tensor of the shape and kind of `own`, and finite."""
    _need(is_plain(value), f"its {where} is no plain tensor")
    same = value.shape == own.shape and value.is_floating_point() == own.is_floating_point()
    _need(same and not value.is_complex(), f"{where} is not in both, or of another shape")
    _need(bool(value.isfinite().all()), f"it is not finite in {where}")


def _need(fulfilled: bool, otherwise: str) -> None:
    if not fulfilled:
        raise SavedFileError(otherwise)
