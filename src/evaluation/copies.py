"""Copies of the run's training images among others: exact, resized, recompressed."""

import logging
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..auditing.duplicates import find_copies
from ..auditing.signatures import read_signatures
from ..files import csv_line, write_text
from ..runs.folder import RunFolder
from ..trained.examples import Examples

log = logging.getLogger(__name__)

CHEAP = 20_000
"""Images of both together up to which `copies=auto` looks: half a minute of one core, for small photographs."""


@dataclass(frozen=True, eq=False)
class Copies:
    """Which of N evaluated images are copies of one of `trained_on` training images.

    Attributes:
        original: the path of the training image (N,), "" where there is none.
        exact: whether the pixels are the same (N,); the others are near: resized, recompressed, slightly changed.
    """

    trained_on: int
    original: list[str]
    exact: NDArray[np.bool_]

    @property
    def found(self) -> NDArray[np.bool_]:
        """Whether each image is a copy, (N,)."""
        return np.array([bool(path) for path in self.original])

    def __str__(self) -> str:
        exact, near = int(self.exact.sum()), int(self.found.sum() - self.exact.sum())
        return f"{exact + near} of {len(self.exact)} images are copies of training images ({exact} exact, {near} near)"


def look_for_copies(examples: Examples, images: int, asked: Literal["auto"] | bool) -> Copies | None:
    """Compare the first `images` of the examples with the run's training images; None, said in a line, where it isn't.

    Only other data than the run's are looked at: the run's own are divided, and its audit compares the parts.
    """
    own = examples.learned
    if examples.own or not asked:
        return None
    if own is None:
        log.info("copies of training images can't be looked for: the training images aren't known")
        return None
    total = images + own.size("train")
    if asked == "auto" and total > CHEAP:
        log.info("copies of training images are not looked for in %s images: copies=true does", f"{total:,}")
        return None
    chosen = examples.data.indices(examples.split)[examples.chosen][:images]
    learned = own.indices("train")
    originals, exact = find_copies(
        read_signatures(own.found, learned, own.geometry), read_signatures(examples.data.found, chosen, own.geometry)
    )
    paths = own.paths("train")
    copies = Copies(len(learned), ["" if i < 0 else paths[i] for i in originals], exact)
    (log.warning if copies.found.any() else log.info)("%s", copies)
    return copies


def write_copies(folder: RunFolder, copies: Copies, paths: list[str]) -> None:
    """Write `copies.csv`: the path of each copy, whether it is exact or near, and of which training image."""
    rows = [
        (path, "exact" if exact else "near", original)
        for path, exact, original in zip(paths, copies.exact, copies.original, strict=False)
        if original
    ]
    write_text(folder.path / "copies.csv", "".join(map(csv_line, [("path", "kind", "copy_of"), *rows])))
