"""A visitor's picture, as the networks see it."""

from dataclasses import dataclass

import torch

from ..data.transforms import Geometry


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as the networks see it: `inputs` uint8 (C, S, S), by geometry. The file itself is not kept."""

    name: str
    inputs: dict[Geometry, torch.Tensor]
    digests: dict[Geometry, str]
    true: str | None = None


@dataclass(frozen=True)
class Refused:
    """A file that can't be shown, and a sentence that says why."""

    name: str
    reason: str
