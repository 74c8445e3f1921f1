"""The race: candidates are priced, then trained in rounds; after each a third goes on from where it stands.

Successive halving (Jamieson & Talwalkar 2016, https://arxiv.org/abs/1502.07943) in seconds: in a round each has been
trained for as long as any other, whatever it costs. Nothing is trained twice.

Heads alone learn in seconds what they can. In rounds they would beat every network that still learns, and take the
places of those that overtake them: they are trained once, as probes, and the best of them meets the winner in the end.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError, RunError, first_line
from ..tables import counted, duration
from ..training.session import COST_SECONDS
from .candidates import HEAD, SCRATCH, Candidate
from .judge import ETA, Cut, alike, cut, ranked, rounds_of
from .record import Measured, Record
from .screen import Lines
from .training import ALWAYS, WARM_UP, Pictures, train_on, until

log = logging.getLogger(__name__)

PRICED_STEPS = 10
PRICE_SHARE = 0.3
"""Of the time, at most; it isn't wasted, as the race goes on from there."""
DEAREST_PRICE, SHORTEST_PRICE = 0.015, 3.0
"""Of the time, for one candidate, and its seconds at least: a few slow steps tell that they are slow."""

PROBE_SHARE, SHORTEST_PROBE = 0.01, 3.0
"""Of the time, for a head alone, and its seconds at least: hundreds of steps on kept features."""

FINISH_SHARE = 0.2
"""Of the time: the cool-down of the winner and the look at the test images."""

FEWEST_STEPS = 20
"""A first round of fewer tells nothing; nor does one that ends in the warm-up: before an epoch, or 50 steps."""
SHORTEST_ROUND = 2.0
"""Seconds of training; what is around it takes as long."""

LEAST_AROUND = 2.0
"""Seconds for loading, validating and writing, before any are known."""

AROUND_THE_END = 3.0
"""For pictures, pages and loading twice: so often what is around a training, which tells how busy the machine is."""
LIBRARIES = 0.3
"""For what draws and tests: so much of the seconds that the search needed to begin."""


@dataclass
class Race:
    """A search at work.

    Attributes:
        minutes, steps: The budget: one of the two.
        words: What the user says to all trainings.
        figures: The latest of each candidate.
    """

    record: Record
    candidates: Mapping[str, Candidate]
    pictures: Pictures
    words: Sequence[str]
    screen: Lines
    minutes: float | None
    steps: int | None
    command: str = ""
    figures: dict[str, Measured] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return 60 * self.minutes if self.minutes is not None else float("inf")

    # Phases ----------------------------------------------------------------------------------------------------------

    def recall(self) -> None:
        """Know what all have come to in earlier sittings, in the same order; those that are out by now, too."""
        for number in sorted(map(int, self.record.content["rounds"])):
            for name in self.record.content["rounds"][str(number)]:
                if name in self.candidates and (measured := self.record.known(number, name)) is not None:
                    self.figures[name] = measured

    def price(self) -> None:
        """Train probes, and each other candidate for a few steps, to know what one costs; leave out what is too dear.

        Where steps are the budget there are probes alone.
        """
        probes = self.probes
        names = probes if self.minutes is None else list(self._able())
        if not names:
            return
        self.screen.phase("pricing" if self.minutes is not None else "heads alone")
        begun = self.record.spent
        end = begun + PRICE_SHARE * (self.seconds - begun) if self.minutes is not None else math.inf
        for name in names:
            if self._recall(0, name):
                continue
            if name not in probes and (slow := self._foreseen(name)) is not None:
                network = self.candidates[name].network
                self._out(name, f"no time for it: a step takes about {slow:.2g} s, by what {network} takes otherwise")
                continue
            left = end - self.record.spent
            if self.figures and left < self._guess(self.candidates[name]):
                self._out(name, "no time was left to try it")
                continue
            self._train(0, name, self._first_limit(name in probes, max(1.0, left)))
        if self.minutes is not None and not self.figures:
            raise RunError(f"no candidate could be trained: {self.reason()}")
        if self.minutes is not None and "round_1" not in self.record.content:
            self._choose_entrants()

    def hold(self) -> list[str]:
        """Hold all rounds; return the names of the last one, the winner first, and the best probe behind it.

        A probe that validation images show to be worse than the winner is left out.
        """
        last = self._rounds() if self.entrants else []
        probes = ranked({name: self.figures[name] for name in self.probes if name in self.figures})
        if not last or not probes:
            return last or probes
        met = {name: self.figures[name] for name in (last[0], probes[0])}
        beside = [probes[0]] if probes[0] in alike(met, ranked(met)[0]) else []
        return [last[0], *beside, *last[1:]]

    def finalists(self, last: Sequence[str]) -> list[str]:
        """Return those of `last` that are trained to their end: a probe, and the winner with the time that is left."""
        probes = [name for name in last[1:2] if name in self.probes and last[0] not in self.probes]
        return [*probes, last[0]]

    def _rounds(self) -> list[str]:
        alive = self.entrants
        number = 1
        while True:
            alive = [name for name in alive if name in self._able()]
            if self.minutes is not None and (not self._time_for(number) or (len(alive) == 1 and number == 1)):
                return ranked({name: self.figures[name] for name in alive})
            figures = self._round(number, alive)
            if not figures:
                return ranked({name: self.figures[name] for name in alive if name in self.figures})
            decision = self._decide(number, figures)
            if len(decision.stay) <= 1:
                return ranked(figures)
            alive, number = decision.stay, number + 1

    def _round(self, number: int, alive: Sequence[str]) -> dict[str, Measured]:
        limit = self._limit(number, alive)
        self.screen.phase(f"round {number} of {number - 1 + rounds_of(len(alive))}")
        figures: dict[str, Measured] = {}
        for name in alive:
            measured = self._recall(number, name)
            if measured is None and self.minutes is not None and self.record.spent > self._race_ends():
                self._out(name, f"the time was over in round {number}")
                continue
            if measured is None and self.steps is None and self.figures[name].seconds >= self._seconds(number):
                measured = self.figures[name]  # since it was priced
                self.record.keep(number, name, measured)
            if measured is None:
                measured = self._train(number, name, self._within(name, limit))
            if measured is not None:
                figures[name] = measured
        return figures

    def _decide(self, number: int, figures: Mapping[str, Measured]) -> Cut:
        """Return who goes on, as it was decided in an earlier sitting if it was."""
        before = self.record.content.get("decisions", {}).get(str(number))
        if before is not None:
            return Cut(before["stay"], before["worse"], before["p"])
        decision = cut(figures, tested=number > 1)
        self._note(number, figures, decision)
        return decision

    # Decisions --------------------------------------------------------------------------------------------------------

    def _choose_entrants(self) -> None:
        """Leave out, of those that are priced, what is in the way of enough steps for all in the first round."""
        while len(entrants := self.entrants) > 1:
            level = self._level(entrants)
            if level >= SHORTEST_ROUND and self._suffices(level, entrants):
                return
            name = self._dearest(entrants)
            slow = self.figures[name].step_seconds
            self._out(name, f"a step takes {slow:.2g} s: its share of the time is too little, or too many take part")

    def _suffices(self, level: float, entrants: Sequence[str]) -> bool:
        """Return whether all will have made enough steps after so many seconds."""
        figures = [self.figures[name] for name in entrants]
        return all(
            one.step_seconds <= 0 or one.steps + max(0.0, level - one.seconds) / one.step_seconds >= self._fewest
            for one in figures
        )

    @property
    def _fewest(self) -> int:
        """The steps that the first round must have."""
        return max(FEWEST_STEPS, min(WARM_UP, int(self.record.content["data"]["steps_an_epoch"])))

    def _dearest(self, entrants: Sequence[str]) -> str:
        """Return who is left out first: the slowest, of those from scratch where the others have enough without them.

        What is trained already is ahead for as short a time.
        """
        scratch = [name for name in entrants if self.candidates[name].how == SCRATCH]
        others = [name for name in entrants if name not in scratch]
        lacking = scratch and others and self._suffices(self._level(others), others)
        return max(scratch if lacking else entrants, key=lambda name: self.figures[name].step_seconds)

    def _foreseen(self, name: str) -> float | None:
        """Return the seconds of a step where they are so many that pricing it would be in vain; None otherwise.

        The same network has taken so long for each multiply-accumulate, at another size or with another beginning.
        Half of the steps that are needed must be out of reach, as others may leave.
        """
        network, priced = self.candidates[name].network, [one for one in self.entrants if one in self.figures]
        rates = [self.figures[one].step_seconds / self.candidates[one].macs for one in priced
                 if self.candidates[one].network == network]  # fmt: skip
        slow = min(rates, default=0.0) * self.candidates[name].macs
        return slow if slow > 0 and 2 * self._level(priced) / slow < self._fewest else None

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
        return self.seconds - max(FINISH_SHARE * self.seconds, self.reserve())

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

    # Doing ------------------------------------------------------------------------------------------------------------

    def words_of(self, name: str, limit: Sequence[str]) -> list[str]:
        """Return what a piece of a candidate's training is to `src.train`."""
        steps_an_epoch = max(1, self.record.content["data"]["steps_an_epoch"])
        warmup = min(1.0, WARM_UP / steps_an_epoch)
        race = [*ALWAYS, "scheduler.cooldown=0", f"scheduler.warmup_epochs={warmup:.6g}"]
        return [*self.words, *self.candidates[name].words, *race, *limit]

    def _train(self, number: int, name: str, limit: Sequence[str]) -> Measured | None:
        """Train a piece and keep what came of it; a candidate that fails is out."""
        self.screen.working(name)
        try:
            measured = train_on(
                self.candidates[name],
                self.record.run(name),
                self.words_of(name, limit),
                self.pictures,
                self.figures.get(name),
                command=self.command,
                by=self.record.at(self._race_ends()),
            )
        except (InputError, RunError) as error:
            self._out(name, first_line(error))
            return None
        finally:
            self.screen.working(None)
        self.figures[name] = measured
        self.record.keep(number, name, measured)
        self.record.write(so_far=self.so_far(number, name))
        self.screen.measured(name, measured)
        return measured

    def so_far(self, number: int, name: str) -> str:
        """Return the pick in words that say how little it rests on."""
        rivals = [name, *self.record.content["rounds"].get(str(number), {}), *self.probes]
        best = ranked({one: self.figures[one] for one in rivals if one in self.figures})[0]
        measured, when = self.figures[best], f"round {number}" if number else "pricing"
        right = f"{measured.right.sum():,} of {len(measured.right):,} validation images right"
        return (
            f"{self.candidates[best].shown}: {right} in {when}, after "
            f"{counted(measured.steps, 'step')} ({duration(measured.seconds)}); no test image has been looked at"
        )

    def ends_with(self) -> list[str] | None:
        """Return what has ended the training of the winner; None where it is still to be cooled down."""
        return None

    def _recall(self, number: int, name: str) -> Measured | None:
        """Return what a candidate came to in a round of an earlier sitting."""
        measured = self.record.known(number, name)
        if measured is not None:
            self.figures[name] = measured
            self.screen.measured(name, measured)
        return measured

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

    def _out(self, name: str, reason: str) -> None:
        self.record.leave_out(name, reason)
        self.pictures.forget(name)
        self.screen.out(name, reason)

    def reason(self) -> str:
        """Return why a candidate is out, where all are."""
        found = [str(row["out"]) for row in self.record.content["candidates"].values() if "out" in row]
        return found[0] if found else "there is none"

    def _note(self, number: int, figures: Mapping[str, Measured], decision: Cut) -> None:
        """Write what a round has decided, and the pick as far as it is known."""
        best = ranked(figures)[0]
        row: dict[str, Any] = {"best": best, "stay": decision.stay, "worse": decision.worse, "p": decision.p}
        decisions = self.record.content.setdefault("decisions", {})
        decisions[str(number)] = row
        self.record.write()
        for name in figures:
            if name not in decision.stay:
                word = "shown to be worse than" if name in decision.worse else "behind"
                self.screen.out(name, f"round {number}: {word} {self.candidates[best].shown}")
                self.pictures.forget(name)
