"""How far images are from natural ones, judged by their edges and by what a network's batch norms remember."""

from typing import Any

import torch
from torch import Tensor, nn

Norm = nn.modules.batchnorm._BatchNorm


def total_variation(images: Tensor) -> Tensor:
    """Return the mean over images (n, C, S, S) of the length of all edges times their contrast, in sides of the image.

    S · (mean |∂x| + mean |∂y|), with differences of neighbouring pixels: a vertical edge from 0 to 1 across the whole
    image counts 1 (S/(S - 1), to be exact) at any size.
    """
    size = images.shape[-1]
    down, right = images.diff(dim=-2).abs().mean(), images.diff(dim=-1).abs().mean()
    return size * (down + right)


class StatisticsLoss:
    """The distance of a batch from the training images in mean and standard deviation of every batch norm's input.

    For each channel (μ - μ₀)² / σ₀² + (σ / σ₀ - 1)², where μ, σ are the batch's and μ₀, σ₀ the running ones; averaged
    over the channels of a norm, then over the norms. Yin et al. 2020 (equation 4) take plain differences, where
    channels with large activations would outweigh all others.

    It leaves its hooks on `network`, which must be a copy. Call `take()` after each forward pass. `norms` is how many
    batch norms it watches.
    """

    def __init__(self, network: nn.Module) -> None:
        self._terms: list[Tensor] = []
        watched = [one for one in network.modules() if isinstance(one, Norm) and one.running_mean is not None]
        self.norms = len(watched)
        for norm in watched:
            norm.register_forward_pre_hook(self._note)

    def take(self) -> Tensor:
        """Return the distance of the last forward pass; 0 for a network without batch norms."""
        terms, self._terms = self._terms, []
        return torch.stack(terms).mean() if terms else torch.zeros(())

    def _note(self, norm: Any, inputs: tuple[Tensor, ...]) -> None:
        (features,) = inputs
        if not torch.is_grad_enabled():
            return
        over = [0, *range(2, features.ndim)]
        mean, variance = features.mean(dim=over), features.var(dim=over, unbiased=False)
        usual = norm.running_var + norm.eps
        spread = torch.sqrt((variance + norm.eps) / usual) - 1
        self._terms.append(((mean - norm.running_mean).square() / usual + spread.square()).mean())
