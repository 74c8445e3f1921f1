"""mixup and CutMix: each image of a training batch is mixed with another one, and so are their targets.

mixup (Zhang et al. 2017, https://arxiv.org/abs/1710.09412) adds them up, CutMix (Yun et al. 2019,
https://arxiv.org/abs/1905.04899) pastes a rectangle; both are torchvision's.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


class Mixing:
    """Mixes batches: `mixup` and `cutmix` are the alphas of their Beta distributions, 0 for none.

    Which images are mixed, and how, depends on the seed and the batch's place alone. torchvision draws from torch's
    global generator: here it draws from one that is seeded for the batch, and the global one stays as it was.
    """

    def __init__(self, *, mixup: float, cutmix: float, num_classes: int, seed: int) -> None:
        from torchvision.transforms import v2  # only where it is used: it takes its time

        chosen: list[Callable[..., tuple[Tensor, Tensor]]] = []
        if mixup > 0:
            chosen.append(v2.MixUp(alpha=mixup, num_classes=num_classes))
        if cutmix > 0:
            chosen.append(v2.CutMix(alpha=cutmix, num_classes=num_classes))
        self._mix = v2.RandomChoice(chosen) if len(chosen) > 1 else chosen[0]
        self._seed = seed

    def __call__(self, images: Tensor, targets: Tensor, *place: int) -> tuple[Tensor, Tensor]:
        """Return normalised images (N, C, H, W) mixed in pairs, and their targets (N, K) as shares.

        Targets are classes (N,), or labels (N, K) as numbers; a label that is unknown (NaN) in one of two images is
        unknown in both mixtures.

        Args:
            place: what tells this batch from all others: epoch, batch, process.
        """
        with torch.random.fork_rng(devices=[]):
            drawn = np.random.SeedSequence((self._seed, *place)).generate_state(1, np.uint64)[0]
            torch.default_generator.manual_seed(int(drawn) >> 1)
            mixed, shares = self._mix(images, targets)
        return mixed, shares
