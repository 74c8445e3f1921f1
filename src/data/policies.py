"""Changes by a policy that nobody has to tune, and random erasing; both are torchvision's.

RandAugment (Cubuk et al. 2019, https://arxiv.org/abs/1909.13719), TrivialAugment (Müller & Hutter 2021,
https://arxiv.org/abs/2103.10158), random erasing (Zhong et al. 2017, https://arxiv.org/abs/1708.04896).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError

if TYPE_CHECKING:
    from .augmented import Augmentation

MOST_SEED = 2**63


def changes(augmentation: "Augmentation") -> bool:
    """Return whether there is anything to be done here."""
    return augmentation.policy != "none" or augmentation.erase > 0


def check_channels(policy: str, channels: int) -> None:
    """Raise `InputError` where torchvision's policies can't be used: they know grey and colour."""
    if policy != "none" and channels not in (1, 3):
        raise InputError(f"data.augment.policy={policy} needs 1 or 3 channels, not {channels}: say policy=none")


def changed(images: Sequence[Tensor], augmentation: "Augmentation", random: np.random.Generator) -> list[Tensor]:
    """Return uint8 images, each (C, H, W), each changed in its own way.

    torchvision draws from torch's global generator: it is seeded from `random` for each image, and restored at the end.
    """
    seeds = random.integers(MOST_SEED, size=len(images))
    with _own_draws():
        return [_changed(image, augmentation, int(seed)) for image, seed in zip(images, seeds, strict=True)]


def _changed(image: Tensor, augmentation: "Augmentation", seed: int) -> Tensor:
    torch.default_generator.manual_seed(seed)
    if augmentation.policy != "none":
        image = _policy(augmentation.policy)(image)
    if augmentation.erase > 0 and float(torch.rand(())) < augmentation.erase:
        image = _erased(image)
    return image


@contextmanager
def _own_draws() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        yield


@cache
def _policy(name: str) -> Callable[[Tensor], Tensor]:
    from torchvision.transforms import v2  # only where it is used: it takes its time

    bilinear = v2.InterpolationMode.BILINEAR
    policies = {"randaugment": v2.RandAugment, "trivialaugment": v2.TrivialAugmentWide}
    policy: Callable[[Tensor], Tensor] = policies[name](interpolation=bilinear)
    return policy


def _erased(image: Tensor) -> Tensor:
    """Return the image with a rectangle of 2 to 33 % of it in its own mean colour."""
    from torchvision.transforms import v2

    colour = image.float().mean(dim=(1, 2)).round().tolist()
    erased: Tensor = v2.RandomErasing(p=1.0, value=colour)(image)
    return erased
