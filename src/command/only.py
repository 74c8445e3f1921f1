"""`only=3`: some runs of a sweep, by their numbers, while other processes do the others."""

import re
from collections.abc import Sequence

from omegaconf import DictConfig

from ..errors import InputError

PLACES = ("sweep", "hydra.sweep.dir")
"""What gives a sweep the same folder in each process."""


def take_only(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """Return the value of `only=` among overrides, None without one, and the others.

    It doesn't belong to the configuration: a run is the same whichever process it is for.
    """
    values = [word.partition("=")[2].strip("'\"[] ") for word in words if _setting(word) == "only"]
    if values and not values[-1]:  # such as only=$SLURM_ARRAY_TASK_ID of a job that has no array
        raise InputError("only= names no run: give the number of one, from 0, or leave only= out")
    others = [word for word in words if _setting(word) != "only"]
    return (None if not values or values[-1] == "null" else values[-1]), others


def check_only(cfg: DictConfig, words: Sequence[str], value: str) -> None:
    """Raise `InputError` where there is no sweep that several processes could find."""
    if not any(_setting(word) in PLACES for word in words):
        raise InputError(f"only={value} is for some runs of a sweep that others share: name it with sweep=NAME")
    if cfg.hydra.sweeper.get("max_batch_size") is not None:
        raise InputError(f"only={value} chooses the runs already: leave hydra.sweeper.max_batch_size out")


def numbers(value: str, count: int) -> list[int]:
    """Return the numbers, from 0, that `3`, `0,4` or `0-3,7` stands for, of a sweep of `count` runs."""
    found: set[int] = set()
    for part in value.split(","):
        match = re.fullmatch(r"\s*(\d{1,6})(?:\s*-\s*(\d{1,6}))?\s*", part)
        if match is None:
            raise InputError(f"only={value} is not possible: take numbers of runs, from 0, such as 3 or 0,4-7")
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < count:
            raise InputError(f"only={value} is not possible: the sweep has {count} runs, numbers 0 to {count - 1}")
        found.update(range(first, last + 1))
    return sorted(found)


def _setting(word: str) -> str:
    return word.strip().lstrip("+~").partition("=")[0]
