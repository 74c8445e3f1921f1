"""The proof that an exported file gives the logits that PyTorch gives, on real images."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from ..data.processes import file_progress
from ..errors import RunError
from ..trained.checkpoint import Trained
from ..trained.logits import predict
from ..trained.pictures import Pictures
from ..training.label_results import thresholds_of

T = TypeVar("T")

Runner = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""An exported file: images (N, C, S, S) -> logits (N, K)."""

TOLERANCE = 1e-4
"""Largest difference of a logit: other orders of summation and folded batch norms give about 1e-5."""
BATCH = 32


@dataclass(frozen=True)
class Proof:
    """What was compared, and how well it agrees.

    Attributes:
        images: how many, each alone and in batches of `batch`.
        largest_difference: of any logit.
        same_class: images whose largest logit is the same class in all three. Within the tolerance it can only differ
            where PyTorch's two largest logits are a tie, no further apart than twice `largest_difference`. Of several
            labels an image: those with the same decided labels.
        smallest_margin: between PyTorch's two largest logits of an image, or of a label's logit from its threshold.
        speedup: images/s of the file as a multiple of PyTorch's, in batches of `batch`, in turn, on as many threads.
    """

    images: int
    batch: int
    tolerance: float
    largest_difference: float
    same_class: int
    smallest_margin: float
    speedup: float


def prove(trained: Trained, run: Runner, pictures: Pictures, chosen: NDArray[np.int64]) -> Proof:
    """Compare the logits of `run` and of the network in PyTorch, in fp32, on the `chosen` (n,) pictures.

    Raises:
        RunError: A logit differs by more than `TOLERANCE`, or is not finite.
    """
    decide, distance = _label_rules(trained) if trained.multilabel else (_predicted, _ahead)
    largest = np.float32(0)
    margin, same = np.inf, 0
    seconds: list[tuple[float, float]] = []
    with file_progress("Comparing", len(chosen)) as advance:
        for start in range(0, len(chosen), BATCH):
            images = pictures.take(chosen[start : start + BATCH])
            pixels = images.numpy()
            ours, our_time = _timed(partial(predict, trained, [images]))
            theirs, their_time = _timed(partial(run, pixels))
            alone = np.concatenate([run(one[None]) for one in pixels])
            seconds.append((our_time, their_time))
            for logits in (theirs, alone):
                largest = np.maximum(largest, np.abs(logits - ours).max())  # passes a NaN on, which max() would not
            answers = [decide(logits) for logits in (ours, theirs, alone)]
            same += int(
                np.logical_and((answers[0] == answers[1]).all(axis=1), (answers[0] == answers[2]).all(axis=1)).sum()
            )
            margin = min(margin, float(distance(ours).min()))
            advance(start + len(images))
    if not largest <= TOLERANCE:
        raise RunError(
            f"the exported network differs from PyTorch's by up to {largest:.2g} in a logit (allowed {TOLERANCE:g}, "
            f"{len(chosen)} images): nothing was kept; try the other format"
        )
    # The first batch finds cold caches, and memory that is still to be asked for.
    our_time, their_time = np.sum(seconds[1:] or seconds, axis=0)
    return Proof(
        len(chosen), min(BATCH, len(chosen)), TOLERANCE, float(largest), same, margin, round(our_time / their_time, 2)
    )


def _predicted(logits: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the class of each image, (N, 1)."""
    return np.asarray(logits.argmax(axis=1)[:, None], np.int64)


def _ahead(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how far the largest logit of each image is ahead, (N,)."""
    second, first = np.sort(logits, axis=1)[:, -2:].T
    return np.asarray(first - second)


def _label_rules(trained: Trained) -> tuple[Callable[..., NDArray[Any]], Callable[..., NDArray[Any]]]:
    """Return which labels are decided (N, K), and how far each logit is from its threshold (N, K)."""
    at = logit(thresholds_of(trained.module))
    return lambda logits: logits >= at, lambda logits: np.abs(logits - at)


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    return work(), time.perf_counter() - start
