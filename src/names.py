"""Names of classes and runs as people mean them: one spelling for what looks the same, and 2 before 10."""

import re
import unicodedata

_DIGITS_OR_SIGN = re.compile("[0-9]+|[^0-9]")


def nfc(name: str) -> str:
    """Return the name in Unicode's composed form (NFC): "café" as a Mac's folder spells it, and as it is typed."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


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
