"""A data set before it is divided: where its images are, which class each shows, and what was left out."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from .manifest import Verdict
from .no_images import PassedOver

T = TypeVar("T")


@dataclass(frozen=True)
class Skipped:
    """A file that was left out: `path` relative to the data set's root, and why ("empty file", "not an image", …)."""

    path: str
    reason: str


def census(paths: Sequence[str], targets: np.ndarray) -> str:
    """Return the number of the images, and a digest of their names and labels: `1204 images 5a4f2d9c01b3e67f`."""
    text = "".join(f"{path}\0{target}\0" for path, target in zip(paths, targets.tolist(), strict=True))
    digest = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
    return f"{len(paths)} images {digest[:16]}"


@dataclass(frozen=True)
class ImageCollection:
    """All images of a data set, those of all its splits together.

    Attributes:
        root: the data set's own folder; `paths` and `skipped` are relative to it.
        class_names: what a target is an index into.
        targets: int64 (N,); of several labels an image float32 (N, K), 1 or 0, NaN where nobody knows.
        paths: N names: of a file below `root`, or, of an image that has no file, such as "mnist/test/00042" or, where
            one part only is published, "digits/00042".
        published: the splits that the publisher made, as indices into `targets`; always "train".
        images: uint8 (N, C, H, W) where the images are held in memory, else None: they are read from `root / path`.
        skipped: the files that are not among the N, though somebody may believe them to be images.
        passed_over: what was not looked at.
        groups: N names of what an image belongs with, such as a patient, where that is known: splits keep a group's
            images on one side.
        verdicts: what decoding each of the N files has shown; None of images in memory.
    """

    root: Path
    class_names: list[str]
    targets: np.ndarray
    paths: list[str]
    published: dict[str, np.ndarray]
    images: torch.Tensor | None = None
    skipped: list[Skipped] = field(default_factory=list)
    groups: list[str] | None = None
    passed_over: PassedOver = field(default_factory=PassedOver)
    verdicts: list[Verdict] | None = None

    def only(self, keep: np.ndarray) -> "ImageCollection":
        """Return the images of which `keep` (N,) is True."""
        places = np.cumsum(keep) - 1

        def kept(values: list[T] | None) -> list[T] | None:
            return None if values is None else [value for value, keeps in zip(values, keep, strict=True) if keeps]

        return replace(
            self,
            targets=self.targets[keep],
            paths=kept(self.paths) or [],
            published={split: places[indices[keep[indices]]] for split, indices in self.published.items()},
            groups=kept(self.groups),
            images=None if self.images is None else self.images[np.flatnonzero(keep)],
            verdicts=kept(self.verdicts),
        )
