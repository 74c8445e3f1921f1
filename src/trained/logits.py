"""From images to logits, from logits to probabilities."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from ..networks import layers_of, row_of
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
    trained: Trained,
    batches: Iterable[torch.Tensor],
    progress: Callable[[int], None] | None = None,
    *,
    stages: bool = False,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return logits (N, K) as `predict` does, and what the head saw, (N, F) in fp32.

    With `stages` features are those of all stages of the network: the mean over each of a stage's maps, as a direction,
    one stage beside the other. Of a network that also sees mirror images, they are the mean of both.
    """
    network = trained.module.network
    names = stage_names(network) if stages else []
    seen: dict[str, list[torch.Tensor]] = {}
    features: list[torch.Tensor] = []

    def note(name: str, values: torch.Tensor) -> None:
        if values.ndim == 4:
            values = values.float().mean(dim=(2, 3))
        seen.setdefault(name, []).append(values.float().cpu())

    def keep(batches: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        for images in batches:
            yield images
            parts = [torch.stack(values).mean(dim=0) for values in seen.values()]
            features.append(torch.cat([functional.normalize(part) for part in parts], dim=1) if stages else parts[0])
            seen.clear()

    hooks = [
        network.get_submodule(name).register_forward_hook(lambda _, __, output, name=name: note(name, output))
        for name in names
    ]
    if not hooks:
        head = network.get_submodule(trained.module.head)
        hooks = [head.register_forward_pre_hook(lambda _, inputs: note("head", inputs[0]))]
    try:
        logits = predict(trained, keep(batches), progress)
    finally:
        for hook in hooks:
            hook.remove()
    return logits, torch.cat(features).numpy()


def stage_names(network: nn.Module) -> list[str]:
    """Return the layers that are made of others, without the head: `layer1` to `layer4` of a ResNet."""
    head = row_of(network).head
    names = [name for layer in layers_of(network) for name in layer if name != head]
    return [name for name in names if any(True for _ in network.get_submodule(name).children())]


def probabilities(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Return softmax(logits / T) of logits (N, K).

    In float64, in which different logits stay different after the division: a temperature never changes the largest.
    """
    scaled: NDArray[np.float64] = logits.astype(np.float64) / temperature
    raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = raised / raised.sum(axis=1, keepdims=True)
    return shares
