"""Several trained networks that answer together: the mean of their probabilities (https://arxiv.org/abs/1612.01474)."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.transforms import Geometry
from ..errors import InputError
from ..names import natural, nfc
from ..runs.differing import name_of
from ..runs.named import OUTPUTS
from .checkpoint import Trained, load_trained
from .logits import probabilities
from .temperature import read_calibration

LEAST = float(np.finfo(np.float32).tiny)
"""The least probability whose logarithm is taken."""


@dataclass(frozen=True, eq=False)
class Member:
    """A network of an ensemble.

    Attributes:
        name: of its run, or its file.
        order: (K,), where each class of the ensemble is among its own.
        temperature: what its logits are divided by.
    """

    trained: Trained
    name: str
    order: NDArray[np.int64]
    temperature: float = 1.0

    def shares(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probabilities (N, K) of the ensemble's classes."""
        return probabilities(logits, self.temperature)[:, self.order]

    def targets(self, own: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return its own class indices (N,) as those of the ensemble."""
        places: NDArray[np.int64] = np.argsort(self.order)[own]
        return places


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Networks of the same classes, in the order of the first one's."""

    members: list[Member]

    @property
    def class_names(self) -> list[str]:
        return self.members[0].trained.class_names

    @property
    def multilabel(self) -> bool:
        return False

    @property
    def run(self) -> None:
        """An ensemble belongs to no run."""
        return

    @property
    def path(self) -> str:
        """What it is called in messages."""
        return f"the ensemble of {len(self.members)} networks"

    @property
    def geometries(self) -> list[Geometry]:
        """How its networks want an image cut, each way once."""
        return list(dict.fromkeys(member.trained.geometry for member in self.members))

    @property
    def calibrated(self) -> int:
        """How many of its networks have a temperature."""
        return sum(member.temperature != 1 for member in self.members)

    def as_dict(self) -> list[dict[str, object]]:
        """Return what a record holds of its networks."""
        return [
            {"checkpoint": str(one.trained.path), "network": one.trained.name, "temperature": one.temperature}
            for one in self.members
        ]


def together(shares: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the logarithms (N, K) of the mean of probabilities (N, K): logits whose softmax is that mean."""
    logarithms: NDArray[np.float64] = np.log(np.maximum(np.mean(np.stack(shares), axis=0), LEAST))
    return logarithms


def load_ensemble(
    checkpoint: str | Sequence[Path | str],
    device: torch.device | str = "cpu",
    *,
    calibrated: bool = True,
    word: str = "checkpoint",
) -> Ensemble | None:
    """Load the runs of `[A,B,…]`, or of a sweep's folder; None where it means one network.

    Args:
        calibrated: whether the temperatures beside the checkpoints count.

    Raises:
        InputError: One is no checkpoint of ours, is named twice, gives several labels, or knows other classes.
    """
    paths = name_members(checkpoint) if isinstance(checkpoint, str) else [*map(str, checkpoint)]
    if isinstance(checkpoint, str) and len(paths) == 1 and paths == [checkpoint]:
        return None
    loaded = [load_trained(path, device, word, multilabel=True) for path in paths]
    if not loaded:
        raise InputError(f"{word}={checkpoint} names no network: write [RUN,RUN]")
    first = loaded[0]
    places = {nfc(name): place for place, name in enumerate(first.class_names)}
    members = []
    for place, one in enumerate(loaded):
        if one.multilabel:
            raise InputError(
                f"{one.path} gives an image several labels: an ensemble is of networks of one class an image"
            )
        if any(one.path.resolve() == other.path.resolve() for other in loaded[:place]):
            raise InputError(f"{word} names {one.path} twice: name each network once")
        if {nfc(name) for name in one.class_names} != places.keys():
            only = sorted({nfc(name) for name in one.class_names} ^ places.keys())
            raise InputError(
                f"{one.path} and {first.path} have not the same classes ({only[0]}): they can't be averaged"
            )
        own = {nfc(name): index for index, name in enumerate(one.class_names)}
        order = np.array([own[name] for name in places], dtype=np.int64)
        calibration = read_calibration(one.path) if calibrated else None
        temperature = 1.0 if calibration is None else calibration.temperature
        members.append(Member(one, name_of(one.run) if one.run else one.path.name, order, temperature))
    return Ensemble(members)


def name_members(checkpoint: str) -> list[str]:
    """Return the paths of `[A,B,…]`, those of the runs with a checkpoint in a sweep's folder, or the one as it is.

    A path may contain commas and brackets itself: a path that exists is taken as typed.
    """
    if not _exists(checkpoint) and checkpoint.startswith("[") and checkpoint.endswith("]"):
        return _joined(checkpoint[1:-1].split(","))
    folder = Path(os.path.expanduser(checkpoint))  # noqa: PTH111  # pathlib's fails for the home of nobody
    if os.sep not in checkpoint and not _exists(checkpoint):
        folder = OUTPUTS / "sweeps" / checkpoint
    try:
        if (folder / "run.json").exists() or (folder / "search.json").exists() or not folder.is_dir():
            return [checkpoint]
        found = (file.parent.parent for file in folder.glob("*/checkpoints/best.ckpt"))
        runs = sorted(found, key=lambda run: natural(run.name))
    except OSError:  # such as a name that is too long
        return [checkpoint]
    return [str(run) for run in runs] if len(runs) > 1 else [checkpoint]


def _joined(words: Sequence[str]) -> list[str]:
    """Return paths of the words between commas: several together where that exists, the longest first."""
    paths, place = [], 0
    while place < len(words):
        ends = range(len(words), place, -1)
        longest = next((end for end in ends if _exists(",".join(words[place:end]).strip())), place + 1)
        paths.append(",".join(words[place:longest]).strip())
        place = longest
    return paths


def _exists(path: str) -> bool:
    return bool(path) and os.path.exists(os.path.expanduser(path))  # noqa: PTH110, PTH111  # False for what can't be asked
