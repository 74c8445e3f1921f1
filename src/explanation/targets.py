"""Which class to explain, from what was typed."""

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..names import nfc
from ..settings.check import nearest
from ..trained.pictures import UNKNOWN


def find_class(name: str, class_names: list[str]) -> int:
    """Return the index of a class from its name, or from its number where no class has that name."""
    spelt = [nfc(known) for known in class_names]
    if nfc(name) in spelt:
        return spelt.index(nfc(name))
    if name.isdecimal() and int(name) < len(class_names):
        return int(name)
    raise InputError(f"target={name} is no class of this network; nearest: {nearest(name, class_names)}")


def choose_targets(
    target: str, class_names: list[str], true: NDArray[np.int64], names: list[str]
) -> NDArray[np.int64] | None:
    """Return the class (N,) that each map explains; None for the predicted ones, which only the network knows.

    `true` (N,) are the classes of the images called `names`, or `UNKNOWN`. Raise `InputError` for a class that doesn't
    exist, and for a true class that is unknown.
    """
    if target == "predicted":
        return None
    if target == "true":
        unknown = np.flatnonzero(true == UNKNOWN)
        if len(unknown):
            raise InputError(
                f"target=true: nothing says what {names[unknown[0]]} shows: put the images into folders named after "
                f"their classes, {', '.join(class_names[:3])} …, or take target=predicted"
            )
        return true
    return np.full(len(true), find_class(target, class_names), dtype=np.int64)
