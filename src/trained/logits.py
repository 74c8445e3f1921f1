"""From images to logits, from logits to probabilities."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from .checkpoint import Trained


def predict(
    trained: Trained, batches: Iterable[torch.Tensor], progress: Callable[[int], None] | None = None
) -> NDArray[np.float32]:
    """Return the logits (N, K), in fp32, of uint8 images that come as batches (n, C, S, S).

    Args:
        progress: called with the number of images done.
    """
    logits: list[torch.Tensor] = []
    done = 0
    with torch.inference_mode():
        for images in batches:
            logits.append(trained.module(images.to(trained.device)).float().cpu())
            done += len(images)
            if progress is not None:
                progress(done)
    return torch.cat(logits).numpy()


def probabilities(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Return softmax(logits / T) of logits (N, K).

    In float64, in which different logits stay different after the division: a temperature never changes the largest.
    """
    scaled: NDArray[np.float64] = logits.astype(np.float64) / temperature
    raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = raised / raised.sum(axis=1, keepdims=True)
    return shares
