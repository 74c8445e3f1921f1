"""Several processes agree on whether to stop or to write a checkpoint, after the same step."""

import time
from typing import Any

import torch
from torch import distributed

from .stopping import Stop

MOST_STEPS, SECONDS = 64, 0.5
"""How often they ask each other: every so many steps, or about this often where steps take longer."""


class Agreement:
    """What the processes have agreed on. All of them call the same methods in the same order.

    A signal may reach one of them alone, as when Lightning has started them, or all, but not after the same step. They
    agree in CPU memory, so that no GPU is waited for, and rarely enough that it can't be measured.

    Attributes:
        stops: Whether they have agreed to stop. `Stop` may know in one of them before the others do: one that acted on
            it would wait for ever in a checkpoint that is written together.
    """

    def __init__(self, stop: Stop) -> None:
        self.stops = False
        self._stop = stop
        self._group: Any = None
        self._steps = 1
        self._left = 1
        self._asked_at = time.monotonic()

    def is_due(self, due: bool) -> bool:
        """Return whether a checkpoint is due, by the first process's clock or because they stop.

        To be called after each step; after most of them nobody is asked, and nothing is due.
        """
        self._left -= 1
        if self._left > 0:
            return False
        elapsed = (time.monotonic() - self._asked_at) / self._steps
        wanted = max(1, min(MOST_STEPS, int(SECONDS / max(elapsed, 1e-6))))
        due, self._steps = self.reach(due, wanted)
        self._left = self._steps
        self._asked_at = time.monotonic()
        return due or self.stops

    def reach(self, due: bool = False, steps: int = 1) -> tuple[bool, int]:
        """Ask all processes; return what the first one says of a checkpoint and of the steps until the next time.

        If any was told to stop, `Stop` knows it in all of them.
        """
        if self._group is None:
            self._group = distributed.new_group(backend="gloo")
        first = distributed.get_rank() == 0
        said = torch.tensor([self._stop.signal or 0, int(due and first), steps if first else 0])
        distributed.all_reduce(said, op=distributed.ReduceOp.MAX, group=self._group)
        number, is_due, steps = said.tolist()
        self.stops = number != 0
        if self.stops and not self._stop:
            self._stop.ask(number)
        return bool(is_due), steps
