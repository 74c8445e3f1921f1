"""How many runs a sweep would have, before they are listed: `range(0,1000000000)` is a short line."""

import re
import shlex
from collections.abc import Iterable, Sequence
from itertools import islice
from math import prod
from typing import Any

from hydra.core.override_parser.types import Override, RangeSweep
from hydra.errors import HydraException

from ..errors import InputError, first_line
from .defaults import PACKAGE

MOST_RUNS = 1_000
"""Of one sweep: each is composed and checked before the first begins, some ten a second."""

MOST_VALUES = 1_000_000
"""Of one setting."""

LONGEST = 20_000
"""Characters of all params of a sweep: Hydra's parser takes a second for 50,000."""


def check_length(params: Sequence[str]) -> None:
    """Raise `InputError` where a sweeper's params are longer than anybody writes."""
    if (length := sum(map(len, params))) > LONGEST:
        raise InputError(f"hydra.sweeper.params has {length:,} characters: say it in fewer, such as seed: range(1,100)")


def check_size(overrides: Sequence[Override]) -> None:
    """Raise `InputError` where overrides are swept over too many values: each combination of them would be a run."""
    sizes = {override.get_key_element(): _count(override) for override in overrides}  # the last word for a key counts
    largest = max(overrides, key=lambda override: sizes[override.get_key_element()], default=None)
    if largest is None:
        return
    if sizes[largest.get_key_element()] > MOST_VALUES:
        raise InputError(f"{largest.input_line} names more than {MOST_VALUES:,} values: name fewer")
    if prod(sizes.values()) > MOST_RUNS:
        raise InputError(f"{largest.input_line} and the like ask for more than {MOST_RUNS:,} runs: sweep over fewer")


def _count(override: Override) -> int:
    """Return how many values it names, no further than is of interest."""
    if not override.is_discrete_sweep():
        return 1
    try:
        value = override.value()
        values: Iterable[Any] = value.range() if isinstance(value, RangeSweep) else override.sweep_iterator()
        return sum(1 for _ in islice(values, MOST_VALUES + 1))
    except (HydraException, ValueError, ArithmeticError) as error:
        raise InputError(f"{override.input_line}: {first_line(error)}") from error


def once_each(verb: str, words: Sequence[Override]) -> str | None:
    """Return `once for each value, first: python -m src.explain method=gradcam`; None where no word has several."""
    if not any(word.is_sweep_override() for word in words):
        return None
    start = f"python -m {PACKAGE}.{verb}" if PACKAGE == "src" else f"{PACKAGE} {verb}"
    said = [
        f"{word.get_key_element()}={next(iter(word.sweep_string_iterator()))}"
        if word.is_sweep_override()
        else str(word.input_line)
        for word in words
    ]
    plain = (re.sub(r"^([^=]*=)'([^'\\]*)'$", r"\1\2", word) for word in said)  # paths are in Hydra's quotes
    return f"once for each value, first: {' '.join([start, *map(shlex.quote, plain)])}"
