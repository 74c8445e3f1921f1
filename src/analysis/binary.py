"""Two classes, one of which is the positive one: figures at a threshold, and over all thresholds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .headline import WILSON, Estimate
from .intervals import NONE, Interval, Z, wilson
from .label_scores import rank

NEWCOMBE = "Newcombe, method 5"
TINY = 1e-12  # the ends of the scale are roots that nobody looks for


@dataclass(frozen=True)
class Decision:
    """The positive class where its probability is at least `threshold`, else the other one; `positive` is its index."""

    positive: int
    threshold: float

    def decide(self, probabilities: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return the decided class (N,) of probabilities (N, 2)."""
        found: NDArray[np.int64] = np.where(
            probabilities[:, self.positive] >= self.threshold, self.positive, 1 - self.positive
        )
        return found

    def told(self, class_names: Sequence[str]) -> dict[str, Any]:
        """Return what records and exports hold of it."""
        return {"threshold": self.threshold, "positive": class_names[self.positive]}

    def in_words(self, class_names: Sequence[str]) -> str:
        """Return `cat from a probability of 0.3 on, else dog`."""
        one, other = class_names[self.positive], class_names[1 - self.positive]
        return f"{one} from a probability of {self.threshold:g} on, else {other}"


# At one threshold ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcomes:
    """How many images are positive and called so (`hits`), called so only, are so only, and neither."""

    hits: int
    false_alarms: int
    misses: int
    rejections: int


def outcomes(decided: NDArray[np.int64], targets: NDArray[np.int64], positive: int) -> Outcomes:
    """Count images by decided and true class, both (N,)."""
    called, true = decided == positive, targets == positive
    counts = (called & true, called & ~true, ~called & true, ~called & ~true)
    return Outcomes(*(int(one.sum()) for one in counts))


def figures_at(found: Outcomes) -> dict[str, Estimate]:
    """Return accuracy, precision, recall, specificity and f1, each with Wilson's interval.

    A share of no images is 0, and has no interval. F1 = 2J / (1 + J) rises with J = hits / (hits + false alarms +
    misses), which is a share of images, so that the ends of J's interval give those of F1.
    """
    hits, alarms, misses, rejections = found.hits, found.false_alarms, found.misses, found.rejections
    union = _share(hits, hits + alarms + misses)
    value, low, high = (2 * end / (1 + end) for end in (union.value, union.low, union.high))
    return {
        "accuracy": _share(hits + rejections, hits + alarms + misses + rejections),
        "precision": _share(hits, hits + alarms),
        "recall": _share(hits, hits + misses),
        "specificity": _share(rejections, rejections + alarms),
        "f1": Estimate(value, low, high, WILSON),
    }


def _share(part: int, images: int) -> Estimate:
    return Estimate(part / images, *wilson(part / images, images), WILSON) if images else Estimate(0.0, *NONE, WILSON)


# Over all thresholds -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Curves:
    """What each threshold does, from the highest down.

    Attributes:
        thresholds: (M,), the distinct scores, such as probabilities of the positive class.
        hits: (M,) of the `positives` images of that class, those that are called so.
        alarms: (M,) of the `negatives` other images, those that are called so.
    """

    thresholds: NDArray[np.float64]
    hits: NDArray[np.int64]
    alarms: NDArray[np.int64]
    positives: int
    negatives: int

    @property
    def recall(self) -> NDArray[np.float64]:
        """The true positive rate (M,)."""
        return self.hits / self.positives

    @property
    def false_positive_rate(self) -> NDArray[np.float64]:
        return self.alarms / self.negatives

    @property
    def precision(self) -> NDArray[np.float64]:
        return self.hits / (self.hits + self.alarms)

    @property
    def auroc(self) -> float:
        """The area under recall over false positive rate: how often a positive image scores above another one."""
        widths = np.diff(self.false_positive_rate, prepend=0.0)
        before = np.concatenate(([0.0], self.recall[:-1]))
        return float((widths * (before + self.recall) / 2).sum())

    @property
    def average_precision(self) -> float:
        """Σ_n (R_n − R_{n−1}) P_n."""
        return float((np.diff(self.recall, prepend=0.0) * self.precision).sum())

    def parts(self) -> dict[str, Any]:
        """Return what `figures.binary_curves.BinaryLine` is made of."""
        return {
            "false_positive_rate": self.false_positive_rate,
            "recall": self.recall,
            "precision": self.precision,
            "areas": (self.auroc, self.average_precision),
            "share": self.positives / (self.positives + self.negatives),
        }

    def estimates(self) -> dict[str, Estimate]:
        """Return both areas with their intervals.

        That of average precision is Wilson's for as many images as are positive: Boyd, Eng & Page 2013
        (https://doi.org/10.1007/978-3-642-40994-3_29) recommend the binomial interval over the bootstrap.
        """
        auroc, precision = self.auroc, self.average_precision
        return {
            "auroc": Estimate(auroc, *newcombe(auroc, self.positives, self.negatives), NEWCOMBE),
            "average_precision": Estimate(precision, *wilson(precision, self.positives), WILSON),
        }


def curves_of(logits: NDArray[np.floating], targets: NDArray[np.int64], positive: int, temperature: float) -> Curves:
    """Return the curves of logits (N, 2) and targets (N,), of which both classes have some.

    Images are ranked by the difference of the logits: probabilities of a sure network round to one and the same.
    Thresholds are those of softmax(logits / temperature).
    """
    values = logits.astype(np.float64)
    found = curves_of_scores(values[:, positive] - values[:, 1 - positive], targets == positive)
    with np.errstate(over="ignore"):
        return replace(found, thresholds=1 / (1 + np.exp(-found.thresholds / temperature)))


def curves_of_scores(scores: NDArray[np.floating], true: NDArray[np.bool_]) -> Curves:
    """Return the curves of finite scores (N,), which are the thresholds; some images are `true` (N,), others not."""
    order, ends = rank(scores)
    hits = np.cumsum(true[order].astype(np.int64))[ends - 1]
    return Curves(scores[order][ends - 1].astype(np.float64), hits, ends - hits, int(true.sum()), int((~true).sum()))


def newcombe(area: float, positives: int, negatives: int) -> Interval:
    """Return the 95 % interval of an AUROC; like Wilson's it has a width at 1.

    It holds the areas that lie within Z of their own standard errors, after Hanley & McNeil 1982, of the found one.
    Newcombe 2006, https://doi.org/10.1002/sim.2324, method 5: it keeps its level where the bootstrap and DeLong's
    variance don't, near 1 and with few images.
    """
    from scipy.optimize import brentq  # a quarter of a second of every training to import

    half = (positives + negatives) / 2 - 1

    def distance(true: float) -> float:
        spread = true * (1 - true) * (1 + half * (1 - true) / (2 - true) + half * true / (1 + true))
        return abs(area - true) - Z * sqrt(spread / (positives * negatives))

    low = float(brentq(distance, 0.0, min(area, 1 - TINY))) if area > 0 else 0.0
    high = float(brentq(distance, max(area, TINY), 1.0)) if area < 1 else 1.0
    return min(low, area), max(high, area)
