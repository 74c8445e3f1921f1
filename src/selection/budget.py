"""How the time of a search is divided: what each may take, who leaves so that all have enough, what the end needs."""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

from ..training.session import COST_SECONDS
from .candidates import HEAD, SCRATCH, Candidate
from .judge import ETA, rounds_of
from .record import Measured, Record
from .training import WARM_UP, until

PRICED_STEPS = 10
DEAREST_PRICE, SHORTEST_PRICE = 0.015, 3.0
"""Of the time, for one candidate, and its seconds at least: a few slow steps tell that they are slow."""

PROBE_SHARE, SHORTEST_PROBE = 0.01, 3.0
"""Of the time, for a head alone, and its seconds at least: hundreds of steps on kept features."""

FINISH_SHARE = 0.4
"""Of the time: the cool-down of the winner and the look at the test images. A network that is trained for twice as long
gains more than it loses by a choice that rests on less (figures: `README.md`)."""

FEWEST_STEPS = 20
"""A first round of fewer tells nothing; nor does one that ends in the warm-up: before an epoch, or 50 steps."""
EPOCHS_FROM_SCRATCH = 10
"""Epochs of the first round, without which a network from scratch can't be ahead of what is trained already."""
SHORTEST_ROUND = 2.0
"""Seconds of training; what is around it takes as long."""

LEAST_AROUND = 2.0
"""Seconds for loading, validating and writing, before any are known."""

AROUND_THE_END = 3.0
"""For pictures, pages and loading twice: so often what is around a training, which tells how busy the machine is."""
LIBRARIES = 0.3
"""For what draws and tests: so much of the seconds that the search needed to begin."""


class Budget:
    """The time, or the steps, of a search, and who takes part.

    Attributes:
        minutes, steps: One of the two.
        figures: The latest of each candidate.
        finish_share: Of the time, for the winner alone.
    """

    finish_share: ClassVar[float] = FINISH_SHARE

    record: Record
    candidates: Mapping[str, Candidate]
    figures: dict[str, Measured]
    minutes: float | None
    steps: int | None

    @property
    def seconds(self) -> float:
        return 60 * self.minutes if self.minutes is not None else float("inf")

    # Who takes part ---------------------------------------------------------------------------------------------------

    @property
    def probes(self) -> list[str]:
        """The heads alone that can still take part; with nothing else from the start, they race themselves."""
        if all(candidate.how == HEAD for candidate in self.candidates.values()):
            return []
        return [name for name, candidate in self._able().items() if candidate.how == HEAD]

    @property
    def entrants(self) -> list[str]:
        """All others that can still take part."""
        probes = self.probes
        return [name for name in self._able() if name not in probes]

    def _able(self) -> dict[str, Candidate]:
        out = self.record.content["candidates"]
        return {name: candidate for name, candidate in self.candidates.items() if "out" not in out[name]}

    def _suffices(self, level: float, entrants: Sequence[str]) -> bool:
        """Return whether all will have made enough steps after so many seconds."""
        return all(
            not (one := self.figures[name]).step_seconds > 0
            or one.steps + max(0.0, level - one.seconds) / one.step_seconds >= self._fewest(name, entrants)
            for name in entrants
        )

    def _fewest(self, name: str, beside: Sequence[str]) -> int:
        """Return the steps that the first round must have for a candidate."""
        epoch = int(self.record.content["data"]["steps_an_epoch"])
        least = max(FEWEST_STEPS, min(WARM_UP, epoch))
        return max(least, EPOCHS_FROM_SCRATCH * epoch) if self._begins_behind(name, beside) else least

    def _begins_behind(self, name: str, beside: Sequence[str]) -> bool:
        """Return whether a candidate begins from scratch, and another one with weights."""
        hows = {one: self.candidates[one].how for one in (name, *beside)}
        return hows[name] == SCRATCH and any(how != SCRATCH for how in hows.values())

    def _dearest(self, entrants: Sequence[str]) -> str:
        """Return who is left out first: the slowest, of those from scratch where the others have enough without them.

        What is trained already is ahead for as short a time.
        """
        scratch = [name for name in entrants if self.candidates[name].how == SCRATCH]
        others = [name for name in entrants if name not in scratch]
        helps = scratch and others and self._suffices(self._level(others), others)
        return max(scratch if helps else entrants, key=lambda name: self.figures[name].step_seconds)

    def _foreseen(self, name: str) -> float | None:
        """Return the seconds of a step where they are so many that pricing it would be in vain; None otherwise.

        The same network has taken so long for each multiply-accumulate, at another size or with another beginning; any
        network, where this one would begin behind others that have enough. Half of the steps that are needed must be
        out of reach, as others may leave.
        """
        priced = [one for one in self.entrants if one in self.figures]
        level = self._level(priced) if priced else 0.0
        behind = self._begins_behind(name, priced) and self._suffices(level, priced)
        rates = [
            self.figures[one].step_seconds / self.candidates[one].macs
            for one in priced
            if behind or self.candidates[one].network == self.candidates[name].network
        ]
        slow = min(rates, default=0.0) * self.candidates[name].macs
        return slow if slow > 0 and 2 * level / slow < self._fewest(name, priced) else None

    # How long ---------------------------------------------------------------------------------------------------------

    def _first_limit(self, probe: bool, left: float) -> list[str]:
        """Return what ends a probe, or the few steps that give a price."""
        if not probe:
            limit = until(min(left, max(SHORTEST_PRICE, DEAREST_PRICE * self.seconds)))
            return [f"trainer.max_steps={PRICED_STEPS}", f"trainer.max_time={limit}"]
        if self.steps is not None:  # as many as the winner has after the last round
            return [f"trainer.max_steps={self.steps * ETA ** (rounds_of(len(self.entrants)) - 1)}"]
        return [f"trainer.max_time={until(min(left, max(SHORTEST_PROBE, PROBE_SHARE * self.seconds)))}"]

    def _limit(self, number: int, entrants: Sequence[str]) -> list[str]:
        """Return what ends the round for all that are in it."""
        key = f"round_{number}"
        if self.steps is not None:
            steps = self.record.recalled(key, self.steps * ETA ** (number - 1))
            return [f"trainer.max_steps={steps}"]
        return [f"trainer.max_time={until(self.record.recalled(key, max(1, round(self._level(entrants)))))}"]

    def _level(self, entrants: Sequence[str]) -> float:
        """Return the seconds that all of them will have been trained for, pricing included, after the next round.

        What is left is divided by the rounds; who has been trained for longer already waits for the others.
        """
        left = (self._race_ends() - self.record.spent) / rounds_of(len(entrants)) - len(entrants) * self.overhead
        trained = sorted(self.figures[name].seconds for name in entrants)
        level = 0.0
        for place in range(1, len(trained) + 1):
            level = (left + sum(trained[:place])) / place
            if place == len(trained) or level <= trained[place]:
                break
        return level

    def _within(self, name: str, limit: list[str]) -> list[str]:
        """Return the limit, or one that ends earlier where others took longer than they were given."""
        if self.steps is not None:
            return limit
        left = self.figures[name].seconds + self._race_ends() - self.record.spent - self.overhead
        return min(limit, [f"trainer.max_time={until(left)}"])  # written so that the earlier one is the smaller

    def _seconds(self, number: int) -> float:
        return float(self.record.content[f"round_{number}"])

    @property
    def overhead(self) -> float:
        """Seconds around a training: the median of what was no step. Features are computed once, and don't count."""
        found = sorted(one.around for name, one in self.figures.items() if self.candidates[name].how != HEAD)
        return found[len(found) // 2] if found else LEAST_AROUND

    def _race_ends(self) -> float:
        """Return the second at which no training may begin."""
        return self.seconds - max(self.finish_share * self.seconds, self.reserve())

    def reserve(self, ends: Sequence[str] = (), beside: Sequence[str] = ()) -> float:
        """Return the seconds that the end takes at least: measuring, drawing, and the look at the test images.

        Args:
            ends: Those that are still to be trained to their end; without any, as many as there can be, and slow ones.
            beside: Who is looked at besides.
        """
        able = [name for name in self._able() if name in self.figures]
        rates = {name: 0.0 if math.isnan(each := self.figures[name].image_seconds) else each for name in able}
        if not ends:
            slowest = max(rates, key=lambda name: rates[name], default="")
            ends, beside = ([slowest] * 2, []) if self.probes else ([slowest], [slowest])
        sizes = self.record.content["data"]["images"]
        measured = sizes["val"] + min(sizes["train"], max(1_000, 3 * sizes["val"]))
        seen = measured * rates.get(ends[-1], 0.0) + sum(
            sizes["test"] * rates.get(name, 0.0) for name in (*ends, *beside)
        )
        libraries = min(LIBRARIES * float(self.record.content["loaded"]), 0.1 * self.seconds)
        return float(seen + len(ends) * (AROUND_THE_END * self.overhead + COST_SECONDS) + libraries)

    def _time_for(self, number: int) -> bool:
        return f"round_{number}" in self.record.content or self.record.spent < self._race_ends() - SHORTEST_ROUND

    def _guess(self, candidate: Candidate) -> float:
        """Return the least that pricing a candidate takes, from those that are priced: two steps, and what is around.

        Small images keep a processor less busy, so that a larger network costs less than in proportion.
        """
        sizes = self.record.content["data"]
        known = {self.candidates[name]: one for name, one in self.figures.items()}
        around = min((one.around for other, one in known.items() if other.how != HEAD), default=LEAST_AROUND)
        seen = any(
            other.how == HEAD and (other.network, other.size) == (candidate.network, candidate.size) for other in known
        )  # its features are known, too
        images = 0 if seen else sizes["images"]["train"] + sizes["images"]["val"]
        rates = [one.image_seconds / other.macs for other, one in known.items() if not math.isnan(one.image_seconds)]
        return around + min(rates, default=0.0) * candidate.price(2, sizes["batch_size"], images)
