"""The network asked about images that are all changed in the same way, and what that does to its answers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..analysis.shortcuts import GRID
from ..data.processes import file_progress
from ..errors import InputError
from ..frames import pd
from ..trained.checkpoint import Trained
from ..trained.logits import predict, probabilities
from ..trained.pictures import UNKNOWN, Pictures
from . import changes
from .request import FEWEST

GRIDS = (GRID, 2 * GRID)
Ask = Callable[[NDArray[np.uint8]], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Asked:
    """Images (N, C, S, S) of known classes, and what the network answers to them unchanged."""

    images: NDArray[np.uint8]
    classes: NDArray[np.int64]
    answers: NDArray[np.int64]
    class_names: list[str]

    @property
    def right(self) -> NDArray[np.bool_]:
        right: NDArray[np.bool_] = self.answers == self.classes
        return right

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())

    @property
    def guessing(self) -> float:
        """The accuracy of always answering the commonest class."""
        return float(np.bincount(self.classes).max() / len(self.classes))

    @property
    def known(self) -> float:
        """The accuracy beyond that of guessing."""
        return max(0.01, self.accuracy - self.guessing)


@dataclass(frozen=True, eq=False)
class Effects:
    """What changes do to the answers.

    Attributes:
        covered: By grid and fill (N, n, n): 1 where an answer that was right no longer is, −1 the other way round.
        followed: (N, 4, 4), whether an answer that was right becomes the class of the image that a cell is taken from;
            of images that were right alone.
        of_other: The same (N,) where the image takes from the other one its "frame", the outer sixteenth on each side,
            its "tint", or its "sharpness".
        pieces: (4, 4), the accuracy on images that show one cell alone, repeated.
        centre: Accuracy and mean probability of the true class, by what is left: "all", "without the centre", "the
            centre alone".
        by_class: The three accuracies of each class.
    """

    covered: dict[tuple[int, str], NDArray[np.float32]]
    followed: NDArray[np.float32]
    of_other: dict[str, NDArray[np.float32]]
    pieces: NDArray[np.float64]
    centre: dict[str, tuple[float, float]]
    by_class: pd.DataFrame


def asked_of(trained: Trained, pictures: Pictures, chosen: NDArray[np.int64], batch_size: int) -> tuple[Asked, Ask]:
    def ask(images: NDArray[np.uint8]) -> NDArray[np.float64]:
        parts = (
            torch.from_numpy(np.ascontiguousarray(images[at : at + batch_size]))
            for at in range(0, len(images), batch_size)
        )
        with trained.fast():
            return probabilities(predict(trained, parts))

    classes = pictures.targets[chosen]
    known = classes != UNKNOWN
    if known.sum() < FEWEST or len(np.unique(classes[known])) < 2:
        raise InputError(
            f"shortcuts=true needs at least {FEWEST} images of two classes or more that are known, not "
            f"{known.sum()}: take images=test, or a folder with a folder for each class"
        )
    images = pictures.take(chosen[known]).numpy()
    answers = ask(images).argmax(axis=1)
    return Asked(images, classes[known], answers, trained.class_names), ask


def change(asked: Asked, ask: Ask, seed: int) -> Effects:
    """Ask about every change of the images, with a bar that counts them."""
    side = asked.images.shape[-1]
    grids = {number: changes.cells(side, number) for number in GRIDS if side >= 2 * number}
    fills = {"grey": changes.greyed(asked.images), "blur": changes.blurred(asked.images)}
    total = sum(number * number for number in grids) * len(fills) + 2 * GRID * GRID + 8
    with file_progress("Changing all images", total) as advance:
        count = iter(range(1, total + 1))

        def answers(images: NDArray[np.uint8]) -> NDArray[np.float64]:
            said = ask(images)
            advance(next(count))
            return said

        covered = {}
        for number, grid in grids.items():
            for fill, others in fills.items():
                by_cell = [answers(changes.put(asked.images, others, cell)).argmax(axis=1) for cell in _each(grid)]
                right = np.stack(by_cell, axis=1) == asked.classes[:, None]
                covered[number, fill] = (asked.right[:, None].astype(np.float32) - right).reshape(-1, number, number)
        grid = changes.cells(side, GRID)
        sure = np.flatnonzero(asked.right)
        mine, own = asked.images[sure], asked.classes[sure]
        several = len(np.unique(own)) > 1
        given = changes.donors(own, np.arange(len(own)), seed) if several else np.arange(len(own))

        def follow(changed: NDArray[np.uint8]) -> NDArray[np.float32]:
            said = answers(changed).argmax(axis=1)
            followed: NDArray[np.float32] = ((said == own[given]) & several).astype(np.float32)
            return followed

        theirs = mine[given]
        by_cell = [follow(changes.put(mine, theirs, cell)) for cell in _each(grid)]
        alike = np.arange(len(own))
        for index in np.unique(own):
            alike[own == index] = np.roll(alike[own == index], 1)

        def beyond_chance(how: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> NDArray[np.float32]:
            """Leave out what the change itself does: what becomes of answers with an image of the same class."""
            lost = (answers(how(mine[alike])).argmax(axis=1) != own).astype(np.float32)
            return np.asarray(follow(how(theirs)) - lost, np.float32)

        of_other = {
            "frame": beyond_chance(lambda others: changes.put(mine, others, changes.frame(side))),
            "tint": beyond_chance(lambda others: changes.tinted(mine, others)),
            "sharpness": beyond_chance(lambda others: changes.sharpened(mine, others)),
        }
        pieces = [
            float((answers(changes.repeated(asked.images, cell)).argmax(axis=1) == asked.classes).mean())
            for cell in _each(grid)
        ]
        middle = changes.centre(side)
        left = {
            "all": ask(asked.images),
            "without the centre": answers(changes.put(asked.images, fills["grey"], middle)),
            "the centre alone": answers(changes.put(asked.images, fills["grey"], ~middle)),
        }
    numbers = np.arange(len(asked.classes))
    centre = {
        name: (float((said.argmax(axis=1) == asked.classes).mean()), float(said[numbers, asked.classes].mean()))
        for name, said in left.items()
    }
    rows = [
        {"class": asked.class_names[index], "images": int((asked.classes == index).sum())}
        | {name: float((said[asked.classes == index].argmax(axis=1) == index).mean()) for name, said in left.items()}
        for index in np.unique(asked.classes)
    ]
    return Effects(
        covered,
        np.stack(by_cell, axis=1).reshape(-1, GRID, GRID),
        of_other,
        np.array(pieces).reshape(GRID, GRID),
        centre,
        pd.DataFrame(rows),
    )


def _each(grid: list[list[changes.Slices]]) -> Iterator[changes.Slices]:
    return (cell for row in grid for cell in row)
