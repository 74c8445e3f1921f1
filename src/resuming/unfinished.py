"""The middle of an epoch in a checkpoint: what Lightning leaves out and a resumed run needs to continue exactly.

Lightning keeps weights, optimizer, schedule and how many batches are done. It forgets the figures that the epoch has
gathered so far and gradients that are still being accumulated, and starts the epoch's images from the first.

Lightning 2.6.6 would keep the `state_dict` of a loader, too, and that was tried in place of the sampler's `skip`: the
loader's `load_state_dict` is never called. `configure_optimizers` asks for `estimated_stepping_batches`, which sets up
the loader before the loops are restored, and `_FitLoop.setup_data` passes over a loader that is there already.
"""

from typing import Any

import lightning as L
import torch
from torch import distributed, nn
from torchmetrics import Metric


def batches_done(trainer: L.Trainer) -> int:
    """Return how many batches of the present epoch are done; 0 at its ends."""
    done = int(trainer.fit_loop.epoch_loop.batch_progress.current.processed)  # type: ignore[attr-defined]
    return done if done < trainer.num_training_batches else 0


def gather(trainer: L.Trainer, network: nn.Module, figures: nn.Module) -> dict[str, Any] | None:
    """Return what a checkpoint needs besides, as plain values; None at the end of an epoch, where it needs nothing.

    In a distributed run all processes call this together, and each gets the figures of all and the mean of their
    gradients, on which they would have agreed. Lightning calls `save_checkpoint`, and with it this, in all of them, and
    `Agreement` sees to it that they do so after the same step.

    Args:
        figures: Holds the epoch's torchmetrics, at any depth.
    """
    batches = batches_done(trainer) if trainer.state.fn == "fit" else 0
    if batches == 0:
        return None
    accumulating = batches % trainer.accumulate_grad_batches != 0
    return {
        "batches": batches,
        "of": int(trainer.num_training_batches),
        "figures": {name: _state(metric) for name, metric in _metrics(figures)},
        "gradients": {
            name: trainer.strategy.reduce(parameter.grad.detach().clone(), reduce_op="mean")
            for name, parameter in network.named_parameters()
            if accumulating and parameter.grad is not None
        },
        **({"shares": _shares(figures)} if trainer.world_size > 1 else {}),
    }


def validates(trainer: L.Trainer) -> bool:
    """Return whether a validation follows this batch. Lightning is asked, as intervals can be of several kinds."""
    fetcher = trainer.fit_loop._data_fetcher
    return fetcher is not None and trainer.fit_loop.epoch_loop._should_check_val_fx(fetcher)


def stay_in_epoch(loops: dict[str, Any], trainer: L.Trainer) -> None:
    """Let Lightning's loops in a checkpoint of `gather` say that the epoch is not over.

    If `max_steps`, `max_time` or a callback ends the training within an epoch, Lightning counts the epoch as done, and
    would continue with the next one if the run gets more of them.
    """
    state, epoch_loop = loops["fit_loop"], trainer.fit_loop.epoch_loop
    if state["epoch_progress"]["current"]["processed"] == state["epoch_progress"]["current"]["completed"]:
        return
    for progress in state["epoch_progress"].values():
        progress["processed"] = progress["completed"]
    # Lightning counts a batch that a validation followed once more when the run resumes.
    stopping, trainer.should_stop = trainer.should_stop, False
    if validates(trainer) and not epoch_loop._should_accumulate():
        state["epoch_loop.state_dict"]["_batches_that_stepped"] -= 1
    trainer.should_stop = stopping


def put_back(unfinished: dict[str, Any], trainer: L.Trainer, network: nn.Module, figures: nn.Module) -> None:
    """Continue where `gather` was called: with the next batch, and the figures and gradients so far.

    Of several processes each takes its own figures: the same sums of the same numbers, in the same order. Where there
    were others, the first takes the figures of all, which are added up again at the end of the epoch.
    """
    trainer.train_dataloader.batch_sampler.skip = unfinished["batches"]  # type: ignore[union-attr]
    metrics = dict(_metrics(figures))
    shares = unfinished.get("shares") or []
    for name, (count, state) in unfinished["figures"].items():
        metric = metrics[name]
        metric._update_count = count
        if len(shares) == trainer.world_size:
            state = shares[trainer.global_rank][name]
        elif not trainer.is_global_zero:
            continue
        for key, value in state.items():
            setattr(metric, key, value.to(metric.device))
    parameters = dict(network.named_parameters())
    for name, gradient in unfinished["gradients"].items():
        parameters[name].grad = gradient.to(parameters[name].device, memory_format=torch.preserve_format)


def states(figures: nn.Module) -> dict[str, dict[str, Any]]:
    """Return what each metric has added up in this process, by its name."""
    return {name: dict(metric.metric_state) for name, metric in _metrics(figures)}


def _shares(figures: nn.Module) -> list[dict[str, dict[str, torch.Tensor]]]:
    """Return what each process has added up, in their order. All call this together: each writes the same."""
    own = {name: {key: value.cpu() for key, value in state.items()} for name, state in states(figures).items()}
    shares: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(shares, own)
    return shares


def _metrics(figures: nn.Module) -> list[tuple[str, Metric]]:
    return [(name, module) for name, module in figures.named_modules() if isinstance(module, Metric)]


def _state(metric: Metric) -> tuple[int, dict[str, torch.Tensor]]:
    """Return how often the metric was updated, and what it has added up, over all processes."""
    with metric.sync_context():
        states: dict[str, Any] = metric.metric_state  # tensors: none of ours keeps lists
        return metric.update_count, {name: value.detach().clone() for name, value in states.items()}
