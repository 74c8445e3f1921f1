"""Sanity checks: does an explanation change when what the network has learned is destroyed?

Adebayo et al. 2018, https://arxiv.org/abs/1810.03292. An explanation that stays the same while the weights are
randomised, layer by layer from the head down, shows the image and not the network. The maps are made here;
`analysis.maps.agreements` takes them as they come and says how far they still agree.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import InputError
from ..networks import layers_of, row_of
from .randomised import STATISTICS, randomised


class Maps(Protocol):
    """What an explanation returns; `Attribution` is one."""

    @property
    def maps(self) -> NDArray[np.float32]:
        """(N, h, w), raw."""


Explain = Callable[[nn.Module, Tensor, Tensor], Maps]
"""Takes the network, normalised images (N, C, H, W) and the classes (N,) to explain; the same layer every time."""

SEEDS = (1001, 1002, 1003)
"""Unlike those of runs: with the seed of its own training, a network would get back the layers it started from."""
NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


def explained(
    explain: Explain, network: nn.Module, images: Tensor, targets: Tensor, *, batch_size: int = 32
) -> NDArray[np.float32]:
    """Return the raw maps (N, h, w) of all images, made a batch at a time."""
    slices = zip(torch.split(images, batch_size), torch.split(targets, batch_size), strict=True)
    return np.concatenate([explain(network, some, classes).maps for some, classes in slices])


def randomised_from_the_top(
    explain: Explain,
    network: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    seeds: Sequence[int] = SEEDS,
    batch_size: int = 32,
    progress: Callable[[float], None] | None = None,
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield, for each stage of `top_down` and each seed, its name and the maps once it and all above it are random.

    `targets` are the classes that the trained network was asked about. There are several draws, because one random head
    may by chance agree with the trained one about all images at once. The batch norms of random layers get the
    statistics of the first 64 images: with those of the trained weights, activations vanish or explode, and the maps
    would change for that reason alone. `progress` hears the share that is done, in [0, 1].
    """
    stages = top_down(network)
    for number, (stage, _) in enumerate(stages):
        layers = [layer for _, those in stages[: number + 1] for layer in those]
        for draw, seed in enumerate(seeds, start=1):
            control = randomised(network, seed=seed, layers=layers, images=images[:STATISTICS])
            maps = explained(explain, control, images, targets, batch_size=batch_size)
            if progress is not None:
                progress((number + draw / len(seeds)) / len(stages))
            yield stage, maps


def top_down(network: nn.Module) -> list[tuple[str, list[str]]]:
    """Return the stages of the check, the head first: a name, and the layers that turn random with it.

    They are the layers that the table of networks names, or the direct children with weights, last first; of a wrapper,
    those of what it wraps. A norm goes with the convolution before it, because random weights with a trained norm are
    neither random nor trained.
    """
    if row_of(network).layers:
        return [(names[0], names) for names in layers_of(network)][::-1]
    prefix = ""
    children = _weighted(network)
    while len(children) == 1 and _weighted(children[0][1]):
        prefix += f"{children[0][0]}."
        children = _weighted(children[0][1])
    if not children:
        raise InputError(f"{type(network).__name__} has no layers with weights to randomise")
    stages: list[tuple[str, list[str]]] = []
    for name, child in children:
        if stages and isinstance(child, NORMS):
            stages[-1][1].append(prefix + name)
        else:
            stages.append((prefix + name, [prefix + name]))
    return stages[::-1]


def _weighted(module: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, child) for name, child in module.named_children() if any(True for _ in child.parameters())]
