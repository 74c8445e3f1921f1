"""The learning rate of each step, for its curve."""

from collections.abc import Iterable

MOST = 1000
"""Steps that are kept; of more, every second one, fourth, and so on."""


class Rates:
    """Pairs (step from 1, learning rate), evenly thinned: a long training must not make its checkpoints large."""

    def __init__(self, pairs: Iterable[tuple[int, float]] = ()) -> None:
        self.pairs = list(pairs)
        self._every = self.pairs[1][0] - self.pairs[0][0] if len(self.pairs) > 1 else 1

    def add(self, step: int, rate: float) -> None:
        """Take in what a step was made with; one that came before, as batches of a step do, changes nothing."""
        if (step - 1) % self._every or (self.pairs and step <= self.pairs[-1][0]):
            return
        self.pairs.append((step, rate))
        if len(self.pairs) > MOST:
            self.pairs = self.pairs[::2]
            self._every *= 2
