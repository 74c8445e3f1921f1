"""How a report decides "a difference shown" or "no difference shown" between groups of runs.

The best group of a test set is compared with each of the others, image by image. A difference is shown where test and
interval agree: the p-value, corrected for the number of comparisons, is below `SIGNIFICANT`, and the 95 % interval
excludes 0. `is_shown` is the rule; everything in a report that says so asks it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import stdev
from typing import Any

from ..analysis.significance import holm
from .finished import Problem, Run
from .groups import Group, TestSet
from .paired import Difference
from .tasks import parts_of

SIGNIFICANT = 0.05

COLUMNS = (
    *("best", "other", "images", "replicates", "difference", "low", "high", "better", "worse"),
    *("p", "p_holm", "sd"),
)
SIGNED = ("other_minus_best", "other_minus_best_low", "other_minus_best_high")
"""The columns of comparisons.csv behind the test set; `SIGNED` have the report's sign."""


def is_shown(p: float, low: float = float("nan"), high: float = float("nan")) -> bool:
    """Return whether a difference with this p-value and interval is shown; by the p-value alone without an interval."""
    return p < SIGNIFICANT and not low <= 0 <= high


@dataclass(frozen=True, kw_only=True)
class Comparison(Difference):
    """By how much the best group leads another one, on the images that both were tested on.

    Attributes:
        best, other: their labels.
        replicates: how many pairs of runs, of the same seed, fold and split.
        p_holm: `p`, corrected for the number of comparisons in this test set.
        sd: of the differences of single pairs, each that of their test figures, over the pairs (n − 1); None of one.
        whole: whether all runs of both are in pairs; otherwise the means of both may say something else.
    """

    best: str
    other: str
    replicates: int
    p_holm: float
    sd: float | None = None
    whole: bool = True

    @property
    def shown(self) -> bool:
        return is_shown(self.p_holm, self.low, self.high)

    @property
    def bounded(self) -> bool:
        """Whether there is an interval: few images, or such as leave nothing open, have none."""
        return self.low <= self.high

    def __str__(self) -> str:
        """`resnet50 is 0.4 points below resnet18 (95 % interval −1.1 to 0.3, …): no difference shown`."""
        side = "below" if self.difference > 0 else "above"
        spread = "" if self.sd is None else f" ± {100 * self.sd:.1f}"
        apart = f"{abs(100 * self.difference):.1f}{spread} points {side}" if self.difference else "0.0 points from"
        known = f"95 % interval {points(-self.high)} to {points(-self.low)}" if self.bounded else "no 95 % interval"
        runs = f"{known}, {'of one seed each' if self.whole else 'of the only seed in common'}"
        if self.replicates > 1:
            sd = f"± sd over {self.replicates} pairs of runs; " if spread and self.difference else ""
            common = "" if self.whole else ", in the seeds in common"
            runs = f"{sd}{known}, for these trained networks, not other seeds{common}"
        return (
            f"{self.other} is {apart} {self.best} ({runs}): {'a difference' if self.shown else 'no difference'} shown"
        )

    def row(self) -> dict[str, Any]:
        """Return the columns of comparisons.csv: the lead of the best, and last the same as the report says it."""
        told = {name: value for name, value in asdict(self).items() if name in COLUMNS}
        return told | dict(zip(SIGNED, (-self.difference, -self.high, -self.low), strict=True))


def points(share: float, sign: str = "") -> str:
    """Return a share in percentage points, with a true minus; `sign="+"` marks what is above 0."""
    return f"{round(100 * share, 1) + 0.0:{sign}.1f}".replace("-", "−")  # + 0.0 turns −0.0 into 0.0


def p_value(p: float) -> str:
    """Return `= 0.012`, or `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def compare(test_set: TestSet) -> tuple[list[Comparison], list[Problem]]:
    """Compare the best group with each other one, in the test set's order; name those it can't be compared with.

    Interval and test take the runs as given: they tell what other images would change, not what other seeds would. The
    best was chosen on these same images, which flatters it a little.

    Raises:
        ValueError: two runs of a pair were tested on different images.
    """
    best, *others = test_set.groups
    judge = parts_of(test_set.task).difference
    found, problems = [], []
    for other in others:
        pairs = _same_replicates(best, other)
        if pairs:
            whole = len(pairs) == len(best.runs) == len(other.runs)
            found.append((other.label, whole, _sd(pairs, test_set.task.first), len(pairs), judge(pairs)))
        else:
            reason = f"no seed in common with {best.label}, the best of {test_set.name}: not compared with it"
            problems.append(Problem(other.label, reason))
    corrected = holm([difference.p for *_, difference in found])
    comparisons = [
        Comparison(
            **asdict(difference), best=best.label, other=label, replicates=replicates, p_holm=p_holm, sd=sd, whole=whole
        )
        for (label, whole, sd, replicates, difference), p_holm in zip(found, corrected, strict=True)
    ]
    return comparisons, problems


def _sd(pairs: Sequence[tuple[Run, Run]], first: str) -> float | None:
    """Return how much the difference in the first figure varies from pair to pair; None of a single one."""
    leads = [one.metrics[f"test/{first}"] - other.metrics[f"test/{first}"] for one, other in pairs]
    return stdev(leads) if len(leads) > 1 else None


def _same_replicates(best: Group, other: Group) -> list[tuple[Run, Run]]:
    """Return the pairs of runs of the same seed, fold and split."""
    others = {run.replicate: run for run in other.runs}
    return [(run, others[run.replicate]) for run in best.runs if run.replicate in others]
