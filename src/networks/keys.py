"""Keys of dictionaries and members of sets in a pickle: few enough that collide, and quick to compare."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .unsafe import need

MOST_NUMBERED = 10_000
"""Numbers that are keys (an optimizer's, of its parameters) lie below it. Among larger ones an attacker could choose
those that collide in a dictionary, each compared with all before it; a word's hash differs from process to process."""

MOST_ODD = 2_000
"""Keys that are neither words nor such numbers, in the whole file: the addresses of parameters by which optimizers
numbered them before torch 1.0 (ResNet-152 has 467), None, pairs. So many that all collide take 0.1 s."""

LONGEST_KEY = 10_000
"""Characters of a word that is a key: equal words are compared letter by letter each time."""

LONGEST_TUPLE = 8
"""Values of a tuple that is a key, without tuples inside: those that share their halves have hashes that take years."""

PLAIN = (str, int, float, bool, type(None))


@dataclass
class Keys:
    """Checks the keys of a file, all together."""

    odd: int = 0  # how many there were

    def check(self, keys: Iterable[Any], allowed: tuple[type, ...] = ()) -> None:
        """Raise `UnsafePickleError` for keys that may collide, or aren't plain.

        Args:
            allowed: other types whose hash is their address.
        """
        for key in keys:
            if (type(key) is str and len(key) <= LONGEST_KEY) or (type(key) is int and 0 <= key < MOST_NUMBERED):
                continue
            self.odd += 1
            parts = key if type(key) is tuple else (key,)
            plain = len(parts) <= LONGEST_TUPLE and all(
                type(part) in PLAIN + allowed and (type(part) is not str or len(part) <= LONGEST_KEY) for part in parts
            )
            need(plain and self.odd <= MOST_ODD, "it has strange keys in a dictionary")
