"""What a user may ask of a data set, checked before anything is read."""

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from ..errors import InputError
from .transforms import INTERPOLATIONS, Augmentation


def whole_number(key: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{key}={value} is no whole number of at least {least}: give one.")
    return value


def batch_size(value: Any) -> int:
    """`data.batch_size`; for `auto` a number that is only until whoever trains has found out how many fit."""
    return 32 if value == "auto" else whole_number("data.batch_size", value, 1)


def fraction(key: str, value: Any, *, ends: bool) -> float:
    """A number between 0 and 1; `ends`: these two included."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not (0 <= value <= 1 if ends else 0 < value < 1):
        raise InputError(f"{key}={value} is out of range: give a fraction between 0 and 1.")
    return float(value)


def share(key: str, value: Any) -> float:
    """A number above 0 and at most 1."""
    if fraction(key, value, ends=True) == 0:
        raise InputError(f"{key}={value} leaves no image: give a fraction above 0, up to 1.")
    return float(value)


def at_least(key: str, value: Any, least: float) -> float:
    """A finite number, `least` or more."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < least:
        raise InputError(f"{key}={value} is no number of at least {least}: give one.")
    return float(value)


def channel_statistics(key: str, values: Iterable[float], in_channels: int) -> list[float]:
    """A mean or standard deviation for each channel, in units of the full range 0…1.

    One value serves all channels; three become their average where one channel is wanted.
    """
    numbers = [float(value) for value in values]
    if len(numbers) not in (1, 3):
        raise InputError(f"{key}={numbers} has {len(numbers)} values: give one or three.")
    if any(not 0 <= number <= 1 or (key == "data.std" and number == 0) for number in numbers):
        raise InputError(f"{key}={numbers} is out of range: give fractions of the full range, between 0 and 1.")
    if len(numbers) == in_channels:
        return numbers
    return numbers * 3 if in_channels == 3 else [sum(numbers) / 3]


def one_of(key: str, value: Any, choices: Iterable[Any]) -> Any:
    choices = list(choices)
    if value not in choices:
        raise InputError(f"{key}={value}: choose one of {', '.join(map(str, choices))}.")
    return value


def nearest(word: str, known: Iterable[str]) -> str:
    """The known names most like a misspelt word, as ` (did you mean …?)`; nothing where none is."""
    close = difflib.get_close_matches(word, list(known), n=2)
    return f" (did you mean {' or '.join(close)}?)" if close else ""


def interpolation(value: str) -> str:
    return str(one_of("data.interpolation", value, INTERPOLATIONS))


def augmentation(options: Mapping[str, Any] | None, in_memory: bool) -> Augmentation | None:
    """The `augment` key of a configuration. None where it changes nothing."""
    if not options:
        return None
    known = [field.name for field in fields(Augmentation)]
    for key in options:
        if key not in known:
            raise InputError(f"data.augment.{key} is unknown{nearest(key, known)}; there are {', '.join(known)}.")
    chosen = Augmentation(**options)
    one_of("data.augment.flip", chosen.flip, (True, False))
    whole_number("data.augment.shift", chosen.shift, 0)
    fraction("data.augment.color", chosen.color, ends=True)
    if fraction("data.augment.scale", chosen.scale, ends=True) == 0:
        raise InputError("data.augment.scale=0 leaves nothing of an image: give the least area, such as 0.35.")
    if in_memory and (chosen.scale < 1 or chosen.color > 0):
        raise InputError("data.augment: scale and color are for image files; this data set knows flip and shift.")
    return chosen if chosen != Augmentation() else None


def cross_validation(folds: Any, fold: Any) -> tuple[int | None, int | None]:
    """Both or neither of `data.folds` (at least 2) and `data.fold` (from 0, below it)."""
    if folds is None and fold is None:
        return None, None
    if folds is None:
        raise InputError(f"data.fold={fold} is one of how many? Say data.folds=5, or leave it out.")
    whole_number("data.folds", folds, 2)
    if fold is None:
        every = ",".join(map(str, range(min(folds, 10))))
        raise InputError(f"data.folds={folds}: say which is the test, data.fold=0, or -m data.fold={every} for all.")
    if whole_number("data.fold", fold, 0) >= folds:
        raise InputError(f"data.fold={fold} is none of the data.folds={folds}: take 0 to {folds - 1}.")
    return folds, fold
