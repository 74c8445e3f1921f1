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


def predict_with_features(
    trained: Trained, batches: Iterable[torch.Tensor], progress: Callable[[int], None] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return logits (N, K) as `predict` does, and what the head saw, (N, F) in fp32: before its weights, one a class.

    Of a network that also sees mirror images, features are the mean of both.
    """
    head = trained.module.network.get_submodule(trained.module.head)
    seen: list[torch.Tensor] = []
    features: list[torch.Tensor] = []

    def keep(batches: Iterable[torch.Tensor]) -> Iterable[torch.Tensor]:
        for images in batches:
            yield images
            features.append(torch.stack(seen).mean(dim=0))
            seen.clear()

    hook = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].float().cpu()))
    try:
        logits = predict(trained, keep(batches), progress)
    finally:
        hook.remove()
    return logits, torch.cat(features).numpy()


def probabilities(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Return softmax(logits / T) of logits (N, K).

    In float64, in which different logits stay different after the division: a temperature never changes the largest.
    """
    scaled: NDArray[np.float64] = logits.astype(np.float64) / temperature
    raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = raised / raised.sum(axis=1, keepdims=True)
    return shares
