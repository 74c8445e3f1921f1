"""Does a network answer by something that lies beside the object: a mark, a frame, or what is everywhere in a picture?

Each test changes all images in the same way, and counts what becomes of the answers. A place is *fixed* where one cell
of a grid counts far more than the same cell would, did each image hold its evidence somewhere else. Cells in the middle
are told apart: photographers put objects there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .intervals import Interval, wilson

SHARE = 0.25
"""How much of what a network knows beyond guessing a fixed place must carry to be called a shortcut."""
FOLLOWED = 0.3
"""The share of answers that must follow a frame, a tint or a degree of detail from another class's image."""
EVERYWHERE = 0.5
"""How much of what a network knows beyond guessing each single piece of an image must carry."""
DRAWS = 2000
"""Random grids for what the largest cell would be without a fixed place; the largest of all of them is the limit."""


@dataclass(frozen=True)
class Cell:
    """A cell of a grid, what it carries, and what the largest cell would carry if the evidence lay anywhere.

    Attributes:
        row, column: from the top left, 0 first.
        share: of the images (or, of a drop, of what the network knows beyond guessing).
        interval: 95 %, of the share.
        moving: the largest share that a cell reached in `DRAWS` grids whose evidence was moved at random.
    """

    row: int
    column: int
    share: float
    interval: Interval
    moving: float

    @property
    def fixed(self) -> bool:
        return self.share >= SHARE and self.interval[0] > self.moving

    def __str__(self) -> str:
        return f"row {self.row + 1}, column {self.column + 1}"


def in_the_middle(cells: int) -> NDArray[np.bool_]:
    """Return which cells of a grid (n, n) lie in the middle half of the height and of the width."""
    inside = np.zeros(cells, bool)
    inside[cells // 4 : cells - cells // 4] = True
    return np.outer(inside, inside)


def strongest(effects: NDArray[np.floating], *, whole: float = 1.0, middle: bool = False, seed: int = 0) -> Cell:
    """Return the cell of the grid with the largest mean effect.

    Args:
        effects: (N, n, n), what a change of a cell did to an image: 1, 0, or −1 where it helped.
        whole: The mean effect that counts as 1, such as the accuracy beyond guessing.
        middle: Look in the middle instead of outside it.
    """
    images, cells = effects.shape[:2]
    means = effects.mean(axis=0)
    among = in_the_middle(cells) == middle
    place = int(np.where(among, means, -np.inf).argmax())
    row, column = divmod(place, cells)
    share = float(means[row, column])
    low, high = wilson(max(0.0, share), images)
    shares = (value / whole for value in (share, low, high, _of_moving(effects, seed)))
    share, low, high, moving = (min(1.0, value) for value in shares)
    return Cell(row, column, share, (low, high), moving)


def _of_moving(effects: NDArray[np.floating], seed: int) -> float:
    """Return the largest mean of a cell that was met while each image's grid was shifted around at random.

    Shifted as a whole, and around the edges: an object covers cells that lie together.
    """
    random = np.random.default_rng(seed)
    images, cells = effects.shape[:2]
    kept = effects[np.abs(effects).sum(axis=(1, 2)) > 0]  # the others are the same wherever they are shifted to
    if not len(kept):
        return 0.0
    rows, columns = np.arange(cells)[None, :, None], np.arange(cells)[None, None, :]
    numbers = np.arange(len(kept))[:, None, None]
    largest = 0.0
    for _ in range(DRAWS):
        down, right = random.integers(0, cells, (2, len(kept), 1, 1))
        shifted = kept[numbers, (rows + down) % cells, (columns + right) % cells]
        largest = max(largest, float(shifted.sum(axis=0).max()) / images)
    return largest


@dataclass(frozen=True)
class Peaks:
    """Where the maps of a class have their highest value: the commonest cell of a 4×4 grid, and how common it is."""

    row: int
    column: int
    share: float
    interval: Interval
    images: int

    @property
    def in_the_middle(self) -> bool:
        return bool(in_the_middle(GRID)[self.row, self.column])

    @property
    def fixed(self) -> bool:
        """Whether most maps of the class peak in the same cell, and it isn't in the middle."""
        return not self.in_the_middle and self.interval[0] >= 0.5

    def __str__(self) -> str:
        return f"row {self.row + 1}, column {self.column + 1}"


GRID = 4
FEWEST = 8
"""Maps of a class with fewer images tell of no place."""


def common_peaks(maps: NDArray[np.floating], classes: NDArray[np.integer]) -> dict[int, Peaks]:
    """Return the commonest place of the peaks of raw maps (N, h, w) for each of their classes (N,).

    Constant maps have no peak. Classes with fewer than `FEWEST` maps are left out; maps coarser than 4×4, as of tiny
    images, tell of no place.
    """
    found: dict[int, Peaks] = {}
    if min(maps.shape[1:]) < GRID:
        return found
    usable = np.ptp(maps.reshape(len(maps), -1), axis=1) > 0
    for index in np.unique(classes):
        own = maps[(classes == index) & usable]
        if len(own) < FEWEST:
            continue
        row, column = np.unravel_index(own.reshape(len(own), -1).argmax(axis=1), own.shape[1:])
        # The centre of a map's cell, in the 4×4 grid.
        places = [((2 * at + 1) * GRID // (2 * side)) for at, side in ((row, own.shape[1]), (column, own.shape[2]))]
        counts = np.bincount(places[0] * GRID + places[1], minlength=GRID * GRID)
        place = int(counts.argmax())
        share = float(counts[place] / len(own))
        found[int(index)] = Peaks(*divmod(place, GRID), share, wilson(share, len(own)), len(own))
    return found


def fixed_peaks(peaks: dict[int, Peaks], class_names: Sequence[str]) -> str:
    """Say which class's maps look at the same place; nothing where none does."""
    fixed = {index: one for index, one in peaks.items() if one.fixed}
    if not fixed:
        return ""
    index, one = max(fixed.items(), key=lambda item: item[1].share)
    others = f", and those of {len(fixed) - 1} more classes at theirs" if len(fixed) > 1 else ""
    return (
        f"The maps of {class_names[index]} look at the same place: {round(one.share * one.images)} of {one.images} "
        f"have their peak in {one} of a 4×4 grid{others}. Objects move; shortcuts=true tells whether it is a shortcut."
    )
