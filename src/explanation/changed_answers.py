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
    """Images (N, C, S, S) of known classes, and what the network answers to them unchanged.

    `objects`: (N, S, S), where their objects are, if that is known of half of them or more; of the others, and of all
    where it is None, the middle is taken for it.
    """

    images: NDArray[np.uint8]
    classes: NDArray[np.int64]
    answers: NDArray[np.int64]
    class_names: list[str]
    objects: NDArray[np.bool_] | None = None

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
        followed: (N, 4, 4), 1 where an answer that was right becomes the class of the image that a cell is taken from,
            −1 where it is lost with a cell of an image of its own class; of images that were right alone.
        of_other: The same (N,) where the image takes from the other one its "frame", the outer sixteenth on each side,
            its "tint", or its "sharpness".
        pieces: (4, 4), the accuracy on images that show one cell alone, repeated.
        left: Accuracy and mean probability of the true class, by what is left: "all", "without the centre", "the
            centre alone", or "object" instead of "centre" where the objects' places are known.
        by_class: The three accuracies of each class.
    """

    covered: dict[tuple[int, str], NDArray[np.float32]]
    followed: NDArray[np.float32]
    of_other: dict[str, NDArray[np.float32]]
    pieces: NDArray[np.float64]
    left: dict[str, tuple[float, float]]
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
    if images.shape[-1] < 2 * GRID:
        raise InputError(f"shortcuts=true needs images of {2 * GRID} pixels a side or more, not {images.shape[-1]}")
    answers = ask(images).argmax(axis=1)
    objects, told = pictures.places(chosen[known])
    if told.mean() >= 0.5:
        objects[~told] = changes.centre(images.shape[-1])
        return Asked(images, classes[known], answers, trained.class_names, objects), ask
    return Asked(images, classes[known], answers, trained.class_names), ask


def change(asked: Asked, ask: Ask, seed: int) -> Effects:
    """Ask about every change of the images, with a bar that counts them."""
    side = asked.images.shape[-1]
    grids = [number for number in GRIDS if side >= 2 * number]
    total = sum(2 * number**2 for number in grids) + 2 * (GRID**2 + len(OTHERS)) + GRID**2 + 3
    with file_progress("Changing all images", total) as advance:
        done = iter(range(1, total + 1))

        def counted(images: NDArray[np.uint8]) -> NDArray[np.float64]:
            said = ask(images)
            advance(next(done))
            return said

        fills = {"grey": changes.greyed(asked.images), "blur": changes.blurred(asked.images)}
        covered = {
            (number, fill): _covered(asked, counted, number, others)
            for number in grids
            for fill, others in fills.items()
        }
        followed, of_other = _followed(asked, counted, seed)
        pieces = [
            float((counted(changes.repeated(asked.images, piece)).argmax(axis=1) == asked.classes).mean())
            for piece in _each(changes.pieces(side, GRID))
        ]
        what, where = ("centre", changes.centre(side)) if asked.objects is None else ("object", asked.objects)
        said = {
            "all": counted(asked.images),
            f"without the {what}": counted(changes.put(asked.images, fills["grey"], where)),
            f"the {what} alone": counted(changes.put(asked.images, fills["grey"], ~where)),
        }
    numbers = np.arange(len(asked.classes))
    left = {
        name: (float((one.argmax(axis=1) == asked.classes).mean()), float(one[numbers, asked.classes].mean()))
        for name, one in said.items()
    }
    by_class = _by_class(asked, said)
    return Effects(covered, followed, of_other, np.array(pieces).reshape(GRID, GRID), left, by_class)


def _covered(asked: Asked, ask: Ask, number: int, others: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what covering each cell of a grid with `others` does, (N, n, n)."""
    cells = _each(changes.cells(asked.images.shape[-1], number))
    said = [ask(changes.put(asked.images, others, cell)).argmax(axis=1) for cell in cells]
    right = np.stack(said, axis=1) == asked.classes[:, None]
    effects: NDArray[np.float32] = asked.right[:, None].astype(np.float32) - right
    return effects.reshape(-1, number, number)


def _followed(asked: Asked, ask: Ask, seed: int) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
    """Return which right answers follow another image's cells, (N, 4, 4), and what else of it, (N,) each.

    What the change does by itself is left out: an answer that is lost with a part of an image of its own class counts
    −1. An edge around a foreign part looks like something, too.
    """
    side, own = asked.images.shape[-1], asked.classes[asked.right]
    if len(np.unique(own)) < 2:
        return np.zeros((0, GRID, GRID), np.float32), dict.fromkeys(OTHERS, np.zeros(0, np.float32))
    mine = asked.images[asked.right]
    given, alike = changes.donors(own, seed), changes.fellows(own)

    def beyond(change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> NDArray[np.float32]:
        follow = ask(change(mine[given])).argmax(axis=1) == own[given]
        lost = ask(change(mine[alike])).argmax(axis=1) != own
        return np.asarray(follow.astype(np.float32) - lost, np.float32)

    cells = [
        beyond(lambda others, cell=cell: changes.put(mine, others, cell))  # type: ignore[misc]
        for cell in _each(changes.cells(side, GRID))
    ]
    of_other = {name: beyond(lambda others, how=how: how(mine, others)) for name, how in OTHERS.items()}  # type: ignore[misc]
    return np.stack(cells, axis=1).reshape(-1, GRID, GRID), of_other


OTHERS: dict[str, Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.uint8]]] = {
    "frame": lambda images, others: changes.put(images, others, changes.frame(images.shape[-1])),
    "tint": changes.tinted,
    "sharpness": changes.sharpened,
}


def _by_class(asked: Asked, left: dict[str, NDArray[np.float64]]) -> pd.DataFrame:
    rows = [
        {"class": asked.class_names[index], "images": int((asked.classes == index).sum())}
        | {name: float((said[asked.classes == index].argmax(axis=1) == index).mean()) for name, said in left.items()}
        for index in np.unique(asked.classes)
    ]
    return pd.DataFrame(rows)


def _each(grid: list[list[changes.Slices]]) -> Iterator[changes.Slices]:
    return (cell for row in grid for cell in row)
