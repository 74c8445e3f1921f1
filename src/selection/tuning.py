"""Settings around one network: trials one after the other, each whole with its cool-down unless it falls behind.

A quarter of a trial's training at a constant rate shows whether it is worth the rest, which goes on from there
(Optuna's median rule). All whole trials have had the same steps, or seconds, and the last is as good as the first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from omegaconf import OmegaConf

from ..errors import RunError
from ..tables import duration
from .budget import FEWEST_STEPS, PRICED_STEPS, SHORTEST_ROUND
from .candidates import SCRATCH, WORDS, Candidate
from .candidates import WHOLE as WHOLE_NETWORK
from .judge import ranked
from .race import Race
from .record import Measured
from .space import SETTINGS, Span, Told, Trial, is_behind, propose, read_spans
from .training import compose, until

FIRST, WHOLE = 1, 2
"""The pieces of a trial, which are rounds in search.json."""

SHARE = 0.25
"""Of a trial, after which it may be ended."""

COOLDOWN = 0.2
"""Of a whole trial, in which its rate falls to 0."""


@dataclass
class Tuning(Race):
    """A search among settings; its candidates are the trials so far.

    Attributes:
        base: The network that all trials train.
        usual: What the settings are by themselves.
        planned: How many trials there are to be.
    """

    finish_share: ClassVar[float] = 0.2  # its trials are cooled down already

    base: Candidate | None = None
    optimizer: str = "sgd"
    spans: Mapping[str, Span] = field(default_factory=dict)
    usual: Mapping[str, float] = field(default_factory=dict)
    planned: int = 0

    @property
    def trials(self) -> list[dict[str, Any]]:
        """What search.json says of them."""
        rows: list[dict[str, Any]] = self.record.content.setdefault("trials", [])
        return rows

    # Phases ----------------------------------------------------------------------------------------------------------

    def price(self) -> None:
        """Train the first trial for a few steps, to know how long each may take; no plan is made twice."""
        if self.minutes is None:
            return
        first = self.trial(1)
        self.screen.phase("pricing")
        if self._recall(0, first.name) is None:
            self._train(0, first.name, [f"trainer.max_steps={PRICED_STEPS}"])
        if first.name not in self.figures:
            raise RunError(f"no trial could be trained: {self.reason()}")
        self.record.recalled("plan", self._plan(self.figures[first.name].step_seconds))

    def hold(self) -> list[str]:
        """Train all trials; return the names of the whole ones, the best first, and the usual settings behind it."""
        number = 0
        while self._more(number := number + 1):
            self._hold(self.trial(number), number)
        whole = self.record.content["rounds"].get(str(WHOLE), {})
        order = ranked({name: self.figures[name] for name in (whole or self._able()) if name in self.figures})
        usual = self.trial(1).name
        # Those two are what the test images will look at: the best, and what it is worth beside the usual settings.
        return [*order[:1], *([usual] if usual in order[1:] else []), *(name for name in order[1:] if name != usual)]

    def _hold(self, trial: Trial, number: int) -> None:
        self.screen.phase(self._title(number))
        if "out" in self.record.content["candidates"][trial.name]:
            self._recall(FIRST, trial.name)
            return
        first = self._recall(FIRST, trial.name) or self._train(FIRST, trial.name, self.limit(FIRST))
        if first is None:
            return
        before = self._told()[: number - 1]
        if self._recall(WHOLE, trial.name) is None:
            if number > 1 and is_behind(self.spans, before, dict(trial.values), first.accuracy):
                self._out(trial.name, f"below the median of the whole trials after {SHARE:.0%} of its training")
            else:
                self._train(WHOLE, trial.name, self.limit(WHOLE))
        self.pictures.forget(trial.name)

    def ends_with(self) -> list[str]:
        """Return what has ended the training of the winner: it is cooled down already."""
        return self.limit(WHOLE)

    # Decisions -------------------------------------------------------------------------------------------------------

    def limit(self, piece: int) -> list[str]:
        """Return what ends a piece of a trial."""
        share, cooldown = (SHARE, "0") if piece == FIRST else (1.0, f"{COOLDOWN:g}")
        if self.steps is not None:
            end = f"trainer.max_steps={max(1, round(self.steps * share))}"
        else:
            end = f"trainer.max_time={until(self.record.content['plan']['seconds'] * share)}"
        return [end, f"scheduler.cooldown={cooldown}"]

    def _plan(self, step_seconds: float) -> dict[str, Any]:
        """Return how many trials there are to be, and the seconds of training of each: fewer where time is short."""
        left = self._race_ends() - self.record.spent
        least = max(SHORTEST_ROUND, FEWEST_STEPS * step_seconds)
        trials = max(1, min(self.planned, int(left / (least + 2 * self.overhead))))
        return {"trials": trials, "seconds": max(1, int(left / trials - 2 * self.overhead))}

    def _more(self, number: int) -> bool:
        """Return whether there is another trial: those that were planned, and more where others ended early."""
        if number <= len(self.trials):
            return True
        if self.steps is not None:
            return number <= self.planned
        plan = self.record.content["plan"]
        needed = plan["seconds"] + 2 * self.overhead
        return number <= self.planned * 3 and (
            self.record.spent + needed <= self._race_ends() or not self.record.content["rounds"].get(str(WHOLE))
        )

    def trial(self, number: int) -> Trial:
        """Return the trial of this number, as it was made in an earlier sitting if it was."""
        if number > len(self.trials):
            values = (
                {name: span.rounded(self.usual[name]) for name, span in self.spans.items()}
                if number == 1
                else propose(self.spans, self._told(), int(self.record.content["seed"]))
            )
            self.trials.append({"values": values})
        assert self.base is not None
        base, values = self.base, self.trials[number - 1]["values"]
        words = [f"{SETTINGS[name]}={value:g}" for name, value in values.items()]
        trial = Trial(
            base.network, base.size, base.how, (*base.words, f"optimizer={self.optimizer}", *words), base.parameters,
            base.macs, number, tuple(values.items()),
        )  # fmt: skip
        assert isinstance(self.candidates, dict)
        self.candidates[trial.name] = trial
        self.record.content["candidates"].setdefault(trial.name, trial.described())
        self.record.write()
        return trial

    def _told(self) -> list[Told]:
        rounds = self.record.content["rounds"]
        names = [f"trial_{number:02}" for number in range(1, len(self.trials) + 1)]
        first, whole = (rounds.get(str(piece), {}) for piece in (FIRST, WHOLE))
        return [
            Told(row["values"], *(piece.get(name, {}).get("accuracy") for piece in (first, whole)))
            for row, name in zip(self.trials, names, strict=True)
        ]

    def so_far(self, number: int, name: str) -> str:  # noqa: ARG002
        """Return the best trial in words that say how little it rests on."""
        best = self._best()
        if best is None:
            return f"no trial is whole yet; {self.candidates[name].shown} was begun"
        count = len(self.record.content["rounds"][str(WHOLE)])
        return (
            f"{self.candidates[best[0]].shown}: validation accuracy {best[1]:.3f}, the best of {count} whole trials; "
            "no test image has been looked at"
        )

    def _title(self, number: int) -> str:
        planned = self.planned if self.steps is not None else self.record.content["plan"]["trials"]
        of = f" of {planned}" if number <= planned else ", while there is time"
        best = self._best()
        so_far = "" if best is None else f"; best so far {best[1]:.3f}, {best[0].replace('_0', ' ').replace('_', ' ')}"
        return f"trial {number}{of}{so_far}{self._about_left(number)}"

    def _about_left(self, number: int) -> str:
        """Return how long the trials that are left will take where steps are the budget, by those before."""
        if self.steps is None or number == 1:
            return ""
        walls = [row["wall"] for rows in self.record.content["rounds"].values() for row in rows.values()]
        return f"; about {duration(sum(walls) / (number - 1) * max(0, self.planned - number + 1))} left"

    def _best(self) -> tuple[str, float] | None:
        whole: Mapping[str, Any] = self.record.content["rounds"].get(str(WHOLE), {})
        known: dict[str, Measured] = {name: self.figures[name] for name in whole if name in self.figures}
        if not known:
            return None
        best = ranked(known)[0]
        return best, known[best].accuracy


def tuning(bases: Sequence[Candidate], space: Mapping[str, Any], *race: Any) -> Tuning:
    """Return the search among the settings of a `space` around one of these candidates, which are of one network.

    `race` is what `Race` takes. Given weights are trained on whole, as without them, and at the rate of `src.train`.
    """
    base = next((one for one in bases if one.how == WHOLE_NETWORK), None) or next(o for o in bases if o.how == SCRATCH)
    base = replace(base, words=tuple(word for word in base.words if word not in WORDS[base.how]))
    found = Tuning(*race)
    found.base, found.optimizer, found.planned = base, space["optimizer"], space["trials"]
    cfg = compose([*found.words, *base.words, f"optimizer={found.optimizer}"])
    found.usual = {name: float(OmegaConf.select(cfg, key)) for name, key in SETTINGS.items()}
    found.spans = read_spans(space, found.usual["lr"])
    for number in range(1, len(found.trials) + 1):
        found.trial(number)
    return found
