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
from .budget import SHORTEST_ROUND, Budget
from .candidates import Candidate
from .judge import Cut, alike, cut, most_promising, ranked, rounds_of
from .record import Measured, Record
from .screen import Lines
from .training import ALWAYS, WARM_UP, Pictures, train_on

log = logging.getLogger(__name__)

PRICE_SHARE = 0.3
"""Of the time, at most; it isn't wasted, as the race goes on from there."""


@dataclass
class Race(Budget):
    """A search at work.

    Attributes:
        words: What the user says to all trainings.
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
                needed = self._fewest(name, self.entrants)
                self._out(name, f"no time for it: it needs {needed} steps of about {slow:.2g} s, by what others take")
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
                return most_promising({name: self.figures[name] for name in alive})
            figures = self._round(number, alive)
            if not figures:
                return most_promising({name: self.figures[name] for name in alive if name in self.figures})
            decision = self._decide(number, figures)
            if len(decision.stay) <= 1:
                return most_promising(figures)
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
            slow, needed = self.figures[name].step_seconds, self._fewest(name, entrants)
            self._out(name, f"no time for {needed} steps of {slow:.2g} s each: too little of it, or too many take part")

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
        best = decision.stay[0]
        row: dict[str, Any] = {"best": best, "stay": decision.stay, "worse": decision.worse, "p": decision.p}
        decisions = self.record.content.setdefault("decisions", {})
        decisions[str(number)] = row
        self.record.write()
        for name in figures:
            if name not in decision.stay:
                word = "shown to be worse than" if name in decision.worse else "behind"
                self.screen.out(name, f"round {number}: {word} {self.candidates[best].shown}")
                self.pictures.forget(name)
