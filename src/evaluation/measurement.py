"""A trained network's answers on labelled images, measured as at the end of its training."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import LambdaCallback
from numpy.typing import NDArray

from ..analysis.metrics import read_figures
from ..callbacks.test_outputs import Predictions
from ..data.datasets import ImageLoader
from ..data.processes import file_progress
from ..errors import InputError, first_line
from ..runs.folder import RunFolder
from ..runs.saved_settings import known_settings
from ..trained.checkpoint import Trained
from ..training.assemble import build_trainer
from ..training.precision import choose_memory_format, choose_precision, worth_converting

log = logging.getLogger(__name__)

AS_TRAINED = ("deterministic", "benchmark")
"""Settings of the Trainer that the figures depend on, besides its precision and `limit_test_batches`."""

MOST_THREADS = 1024
"""The largest machines have about as many cores; of far more, OpenMP would end the process."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What the network said about N images of K classes.

    Attributes:
        figures: by name, as metrics.json has them.
        logits: (N, K) float32.
        probabilities: their softmax (N, K) float32, as predictions.csv has them.
        targets: (N,) int64; of several labels an image (N, K) float32.
    """

    figures: dict[str, float]
    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    targets: NDArray[Any]


class Meter:
    """Measures a trained network in the number format and memory layout of its run, or in the fastest without a run.

    Its constructor brings the network into that layout. `precision` is that of Lightning's Trainer. It uses as many
    threads as the training: with two instead of one, a matrix product is split differently, and of 80,000 logits in
    bf16 25 were rounded the other way.
    """

    def __init__(self, trained: Trained) -> None:
        self.trained = trained
        self.device = trained.device
        settings = known_settings(trained.run)
        trainer: Mapping[str, Any] = settings.get("trainer", {})
        module, geometry, cuda = trained.module, trained.geometry, self.device.type == "cuda"
        by = module.hparams["convolutions"]
        worth = worth_converting(module.network, geometry.in_channels, geometry.image_size, by)
        self.precision = choose_precision(str(trainer.get("precision", "auto")), cuda=cuda, worth=worth)
        self.settings = {key: trainer[key] for key in AS_TRAINED if trainer.get(key) is not None}
        self.limit = trainer.get("limit_test_batches")
        self.threads = _threads_of(trained.run)
        layout = choose_memory_format(settings.get("memory_format", "auto"), cuda=cuda, worth=worth)
        module.memory_format = layout
        module.network.to(memory_format=layout)
        if settings.get("compile"):
            module.network.compile()

    def measure(self, loader: ImageLoader, what: str, *, limited: bool = False) -> Measured:
        """Measure the loader's images as a training does at its end, with `what` beside the progress bar.

        `limited`: measure no more of them than the run itself did (`trainer.limit_test_batches`).
        """
        lightning_log = logging.getLogger("lightning")
        lightning_log.handlers.clear()  # its own handler prints to stderr
        lightning_log.propagate = True
        module, predictions, done = self.trained.module, Predictions(), 0
        module.evaluated = ("test",)
        with file_progress(what, len(loader.dataset)) as advance:  # type: ignore[arg-type]

            def tell(*hook: Any) -> None:
                nonlocal done
                done += len(hook[3][1])  # trainer, module, outputs, (images, targets), …
                advance(done)

            settings = {
                "accelerator": "gpu" if self.device.type == "cuda" else "cpu",
                "devices": 1,
                "precision": self.precision,
                "plugins": None,
                "enable_checkpointing": False,
                "enable_model_summary": False,
                "limit_test_batches": self.limit if limited else None,
                **self.settings,
            }
            trainer = build_trainer(settings, Path(), [predictions, LambdaCallback(on_test_batch_end=tell)], [])
            try:
                with _on_threads(self.threads):
                    trainer.test(module, dataloaders=[loader], verbose=False)
            except MisconfigurationException as error:  # such as a share of the batches that is less than one
                raise InputError(f"the run's trainer: {first_line(error)}") from error
        module.to(self.device)  # Lightning leaves it on the CPU
        figures = read_figures(trainer.callback_metrics, "test", module.task.metrics)
        return Measured(figures, predictions.logits, predictions.probabilities, predictions.targets)


def _threads_of(run: RunFolder | None) -> int | None:
    """Return how many threads the training used; None if run.json doesn't say."""
    try:
        threads = None if run is None else run.record()["hardware"]["threads"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return threads if type(threads) is int and 0 < threads <= MOST_THREADS else None


@contextmanager
def _on_threads(threads: int | None) -> Iterator[None]:
    """Let torch use this many threads inside the block; None leaves the number as it is."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def compare(trained: Trained, figures: Mapping[str, float], split: str) -> str | None:
    """Say whether metrics.json has the same `figures` of the split; None if it has none of this checkpoint."""
    run = trained.run
    if run is None or trained.path != run.best_checkpoint:
        return None
    try:
        then = run.metrics()
        # A run of an earlier version lacks some of today's metrics.
        before = {name: float(then[f"{split}/{name}"]) for name in figures if f"{split}/{name}" in then}
    except (OSError, ValueError, TypeError):
        return None
    if not before:
        return None
    other = [name for name, value in before.items() if value != figures[name]]
    if not other:
        return f"the {split} figures are those of {run.metrics_file}, to the last digit"
    pairs = ", ".join(f"{split}/{name} {figures[name]:.9g}, there {before[name]:.9g}" for name in other)
    return (
        f"not to the last digit what {run.metrics_file} says ({pairs}): other hardware, another number of "
        "threads or processes, versions or data than in the training"
    )
