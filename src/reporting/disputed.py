"""Where two groups disagree: the test images that one gets right and the other wrong, read from the data set."""

from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..runs.saved_settings import unsaid
from .finished import Replicate, Run
from .groups import Group

MOST = 16
"""Images on a sheet: half of them right in one group, half in the other, if there are enough."""


@dataclass(frozen=True, eq=False)
class Disagreement:
    """`images` (N, C, H, W) uint8, with the N class names that are true and those that each group predicted.

    `count` is the number of test images on which the two runs disagree, at least N.
    """

    images: NDArray[np.uint8]
    true: list[str]
    predicted: dict[str, list[str]]
    replicate: Replicate
    count: int


def disagreement(one: Group, other: Group) -> Disagreement | None:
    """Return the first shared seed's disagreement; None if the groups fail on the same images in all seeds.

    Raises:
        InputError, RunError: the data set is no longer where it was when the runs were made.
    """
    replicates = {run.replicate: run for run in other.runs}
    pairs = [(run, replicates[run.replicate]) for run in one.runs if run.replicate in replicates]
    found = (_of_runs(one.label, first, other.label, second) for first, second in pairs)
    return next((disagreement for disagreement in found if disagreement is not None), None)


def _of_runs(one: str, first: Run, other: str, second: Run) -> Disagreement | None:
    both = first.predictions.merge(second.predictions, on=["path", "target"], suffixes=("_one", "_other"))
    right = both["right_one"], both["right_other"]
    sides = both[right[0] & ~right[1]].index, both[~right[0] & right[1]].index
    turns = [place for places in zip_longest(*sides) for place in places if place is not None]
    if not turns:
        return None
    chosen = both.loc[sorted(turns[:MOST])]
    return Disagreement(
        images=_images(first, list(chosen["path"])),
        true=list(chosen["true_one"]),
        predicted={one: list(chosen["said_one"]), other: list(chosen["said_other"])},
        replicate=first.replicate,
        count=len(turns),
    )


def _images(run: Run, paths: list[str]) -> NDArray[np.uint8]:
    """Return the images (N, C, H, W) as the run's network saw them."""
    from ..data import ImageDataModule  # imports torch, which nothing else in a report needs

    settings = run.config["data"] | unsaid(run.config["data"]) | {"num_workers": 0}
    try:
        data = ImageDataModule(**settings, seed=run.config["seed"])
    except TypeError as error:
        raise InputError(f"the settings of its data are those of another version: {error}") from error
    data.collection = data.find(download=False)
    data.setup()
    places = {path: place for place, path in enumerate(data.paths("test"))}
    missing = [path for path in paths if path not in places]
    if missing:
        raise InputError(f"{missing[0]} is not among the test images of {data.data_root}")
    dataset = data.dataset("test", None, np.array([places[path] for path in paths]))
    return np.stack([dataset[i][0].numpy() for i in range(len(paths))])
