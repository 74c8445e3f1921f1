"""Which values of a data set become black and white where its files have more than 8 bits a sample."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np

from .depth import Extent, choose_limits, tell
from .images import COLOURS, OWN, Range
from .manifest import Verdict

log = logging.getLogger(__name__)


def said_range(said: str | int | Sequence[float]) -> Range:
    """Return what `data.range` says; `auto` is each picture's own until the training images are known."""
    if isinstance(said, str):
        return OWN if said == "auto" else said
    return (0.0, 2.0**said - 1) if isinstance(said, int) else (float(said[0]), float(said[1]))


def of_channels(verdicts: Sequence[Verdict], in_channels: int) -> Sequence[Verdict]:
    """Return the verdicts with the extent of what so many channels take: the colours, or every sample."""
    return verdicts if in_channels in COLOURS else [verdict._replace(extent=verdict.every) for verdict in verdicts]


def measure_range(verdicts: Sequence[Verdict], splits: Mapping[str, np.ndarray]) -> Range:
    """Return the range that the training images have together; `OWN` where none of them is deep."""
    return choose_limits(_extents(verdicts, splits["train"])) or OWN


def report_range(
    range: Range, verdicts: Sequence[Verdict], splits: Mapping[str, np.ndarray], *, measured: bool
) -> None:
    """Say in a line what the range is, and in another how many images have values outside."""
    deep = _extents(verdicts, np.arange(len(verdicts)))
    if not deep or isinstance(range, str):
        return
    source = ", measured on the training images" if measured else ""
    log.info("values of more than 8 bits: %s become 0…255%s", tell(range), source)
    if len({extent.whole for extent in deep}) > 1:
        log.warning(
            "some images hold whole numbers and some fractions, which have one range here: say data.range=[LOW,HIGH], "
            "or leave the others out with data.exclude="
        )
    clipped = count_clipped(range, verdicts, splits)
    if any(clipped.values()):
        where = ", ".join(f"{number:,} in {split}" for split, number in clipped.items() if number)
        log.warning("images with values outside of %s, which are clipped: %s", tell(range), where)


def count_clipped(range: Range, verdicts: Sequence[Verdict], splits: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Return how many images of each split have values outside of the range."""
    if isinstance(range, str):
        return dict.fromkeys(splits, 0)
    return {
        split: sum(extent.is_outside(range) for extent in _extents(verdicts, indices))
        for split, indices in splits.items()
    }


def _extents(verdicts: Sequence[Verdict], indices: np.ndarray) -> list[Extent]:
    return [extent for i in indices if (extent := verdicts[i].extent) is not None]
