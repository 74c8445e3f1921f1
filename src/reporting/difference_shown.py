"""How a report decides "a difference shown" or "no difference shown" between groups of runs.

The best group of a test set is compared with each of the others, image by image. A difference is shown where test and
interval agree: the p-value, corrected for the number of comparisons, is below `SIGNIFICANT`, and the 95 % interval
excludes 0. `is_shown` is the rule; everything in a report that says so asks it.
"""

from dataclasses import asdict, dataclass

from ..analysis.significance import holm
from .finished import Problem, Run
from .groups import Group, TestSet
from .paired import Difference
from .tasks import parts_of

SIGNIFICANT = 0.05

COLUMNS = (
    *("best", "other", "images", "replicates", "difference", "low", "high", "better", "worse"),
    *("p", "p_holm"),
)
"""The columns of comparisons.csv behind the test set."""


def is_shown(p: float, low: float = float("nan"), high: float = float("nan")) -> bool:
    """Return whether a difference with this p-value and interval is shown; by the p-value alone without an interval."""
    return p < SIGNIFICANT and not low <= 0 <= high


@dataclass(frozen=True, kw_only=True)
class Comparison(Difference):
    """By how much the best group leads another one, on the images that both were tested on.

    Attributes:
        best, other: their labels.
        replicates: how many pairs of runs, of the same seed and fold.
        p_holm: `p`, corrected for the number of comparisons in this test set.
    """

    best: str
    other: str
    replicates: int
    p_holm: float

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
        apart = f"{abs(100 * self.difference):.1f} points {side}" if self.difference else "equal to"
        runs = "of one seed each" if self.replicates == 1 else f"of {self.replicates} pairs of runs"
        known = f"95 % interval {points(-self.high)} to {points(-self.low)}" if self.bounded else "no 95 % interval"
        return (
            f"{self.other} is {apart} {self.best} ({known}, {runs}): "
            f"{'a difference' if self.shown else 'no difference'} shown"
        )


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
            found.append((other.label, len(pairs), judge(pairs)))
        else:
            reason = f"no seed in common with {best.label}, the best of {test_set.name}: not compared with it"
            problems.append(Problem(other.label, reason))
    corrected = holm([difference.p for _, _, difference in found])
    comparisons = [
        Comparison(**asdict(difference), best=best.label, other=label, replicates=replicates, p_holm=p_holm)
        for (label, replicates, difference), p_holm in zip(found, corrected, strict=True)
    ]
    return comparisons, problems


def _same_replicates(best: Group, other: Group) -> list[tuple[Run, Run]]:
    """Return the pairs of runs of the same seed and fold."""
    others = {run.replicate: run for run in other.runs}
    return [(run, others[run.replicate]) for run in best.runs if run.replicate in others]
