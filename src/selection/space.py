"""Continuous settings around one network: their ranges, and what Optuna proposes of them.

Optuna is asked and told. What it knows is made anew from search.json for each question, and its random numbers are
drawn from the seed and the number of the trial, so that a search that was stopped asks what it would have asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .candidates import Candidate

if TYPE_CHECKING:
    import optuna

SETTINGS: Mapping[str, str] = {
    "lr": "optimizer.lr",
    "weight_decay": "optimizer.weight_decay",
    "mixup": "mixup",
    "label_smoothing": "label_smoothing",
}
"""What the ranges of a space are called, and the settings of `src.train` that they are of."""

SHORT = {"lr": "lr", "weight_decay": "weight decay", "mixup": "mixup", "label_smoothing": "label smoothing"}

AT_RANDOM = 6
"""Trials before the first that follows from others; half of Optuna's usual 10 is enough for four settings."""

BEFORE_PRUNING = 4
"""Whole trials below whose median a trial is ended; Optuna's usual 5 with the one of the usual settings."""


@dataclass(frozen=True)
class Span:
    """From where to where a setting is tried; `log` as in conf/space/."""

    low: float
    high: float
    log: bool

    def rounded(self, value: float) -> float:
        """Return the value with three digits, so that it can be typed, and within the range."""
        return min(self.high, max(self.low, float(f"{value:.3g}")))


@dataclass(frozen=True)
class Trial(Candidate):
    """A training with certain settings; the first has the usual ones.

    Attributes:
        number: From 1.
        values: By the names of the ranges.
    """

    number: int = 1
    values: tuple[tuple[str, float], ...] = ()

    @property
    def name(self) -> str:
        return f"trial_{self.number:02}"

    @property
    def shown(self) -> str:
        usual = ", the usual settings" if self.number == 1 else ""
        return f"trial {self.number}{usual}: " + ", ".join(f"{SHORT[name]} {value:g}" for name, value in self.values)


@dataclass(frozen=True)
class Told:
    """What is known of a trial: its values, the accuracies at the ends of its two pieces, None where it had none."""

    values: Mapping[str, float]
    first: float | None
    whole: float | None


def read_spans(space: Mapping[str, Any], usual_lr: float) -> dict[str, Span]:
    """Return the ranges of a configuration's `space`; that of the learning rate is around the usual one."""
    spans = {}
    for name in SETTINGS:
        if (row := space.get(name)) is not None:
            factor = usual_lr if name == "lr" else 1.0
            low, high = (float(f"{row[end] * factor:.3g}") for end in ("low", "high"))
            spans[name] = Span(low, high, bool(row["log"]))
    return spans


def propose(spans: Mapping[str, Span], told: Sequence[Told], seed: int) -> dict[str, float]:
    """Return the values of the next trial."""
    trial = _study(spans, told, seed).ask(_distributions(spans))
    return {name: span.rounded(trial.params[name]) for name, span in spans.items()}


def is_behind(spans: Mapping[str, Span], told: Sequence[Told], values: Mapping[str, float], first: float) -> bool:
    """Return whether a trial with these values is below the median of the whole ones at the end of its first piece."""
    study = _study(spans, told, seed=0)
    study.enqueue_trial(dict(values))
    trial = study.ask(_distributions(spans))
    trial.report(first, step=1)
    return trial.should_prune()


def _study(spans: Mapping[str, Span], told: Sequence[Told], seed: int) -> "optuna.Study":
    import optuna  # only where a space is searched

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=(seed * 1_000 + len(told)) % 2**32, n_startup_trials=AT_RANDOM),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=BEFORE_PRUNING),
    )
    for one in told:
        whole = one.whole is not None
        study.add_trial(
            optuna.trial.create_trial(
                # One that was ended, or that failed, counts as worse than any whole one.
                state=optuna.trial.TrialState.COMPLETE if whole else optuna.trial.TrialState.PRUNED,
                value=one.whole,
                params=dict(one.values),
                distributions=_distributions(spans),
                intermediate_values={1: one.first} if one.first is not None else {},
            )
        )
    return study


def _distributions(spans: Mapping[str, Span]) -> "dict[str, optuna.distributions.BaseDistribution]":
    from optuna.distributions import FloatDistribution

    return {name: FloatDistribution(span.low, span.high, log=span.log) for name, span in spans.items()}
