"""Names of classes and runs as people mean them: one spelling for what looks the same, and 2 before 10."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import compress

JOINED = "|"
"""Between the labels of an image in predictions.csv: no label may have it in its name."""

NO_LABEL = "no label"
"""What is said of an image that has none."""

_DIGITS_OR_SIGN = re.compile("[0-9]+|[^0-9]")


def nfc(name: str) -> str:
    """Return the name in Unicode's composed form (NFC): "café" as a Mac's folder spells it, and as it is typed."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def together(rows: Iterable[Iterable[bool]], names: Sequence[str]) -> list[str]:
    """Return what pictures say of each image, whose row tells which labels it has: "cat+dog", or "no label"."""
    return ["+".join(compress(names, row)) or NO_LABEL for row in rows]


Key = tuple[list[tuple[str, int, str]], str]
"""What sorts a name."""


def natural(name: str) -> Key:
    """Return a key that sorts numbers in names by their value, and everything else by code points.

    Without digits in the same place of two names, the order is that of the names themselves.
    """
    key = []
    for part in _DIGITS_OR_SIGN.findall(name):
        number = part.lstrip("0") if "0" <= part[0] <= "9" else None
        # a number stands where its digits do; by length and digits, because `int` refuses thousands of them
        key.append((part, 0, "") if number is None else ("0", len(number), number))
    return key, name
