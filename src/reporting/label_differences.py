"""Groups of runs with several labels an image: what the choice of test images leaves open about their figures.

A bootstrap of the images. How often an image comes in a draw is a Poisson number that follows from its path alone, so
that it comes as often in every run that was tested on it (Hanley & MacGibbon 2006,
https://doi.org/10.1016/j.cmpb.2006.04.006).
"""

from collections.abc import Mapping
from functools import cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from ..analysis.intervals import LEAST, LEVEL, NONE, Interval
from ..analysis.label_intervals import AT_ONCE, DRAWS, figures_of_draws
from ..analysis.tasks import MULTILABEL
from ..frames import pd
from .finished import Run
from .groups import Group
from .paired import Difference, Pairs
from .tested import label_answers

Draws = Mapping[str, NDArray[np.float64]]
"""Of each metric its values (B,) in the draws."""


def label_group_intervals(group: Group) -> Mapping[str, Interval]:
    """Return the 95 % interval of each metric, averaged over the runs as they are; NaN where there is none."""
    if len({path for run in group.runs for path in run.predictions["path"]}) < LEAST:
        return dict.fromkeys(MULTILABEL.scores, NONE)
    found = [_draws(run) for run in group.runs]
    return {name: _ends(np.mean([draws[name] for draws in found], axis=0)) for name in MULTILABEL.scores}


def map_difference(pairs: Pairs) -> Difference:
    """Return the difference in mAP, with the percentiles of the draws, and twice the share of them beyond 0.

    Raises:
        ValueError: two runs of a pair were tested on different images.
    """
    key = f"test/{MULTILABEL.first}"
    difference = float(np.mean([one.metrics[key] - other.metrics[key] for one, other in pairs]))
    leads = pd.concat([_lead(one, other) for one, other in pairs]).groupby(level=0, sort=False).sum()
    better, worse = int((leads > 0).sum()), int((leads < 0).sum())
    if len(leads) < LEAST:
        return Difference(len(leads), difference, *NONE, better, worse, p=1.0)
    apart = np.mean([_draws(one)[MULTILABEL.first] - _draws(other)[MULTILABEL.first] for one, other in pairs], axis=0)
    low, high = _ends(apart)
    beyond = min((apart <= 0).sum(), (apart >= 0).sum())
    p = min(1.0, 2 * (1 + int(beyond)) / (1 + len(apart)))
    # Tables keep six digits of a probability, so that the draws may lie a little beside the difference.
    return Difference(len(leads), difference, min(low, difference), max(high, difference), better, worse, p)


def _lead(one: Run, other: Run) -> pd.Series:
    """Return of each image, by its path, of how many more labels the first is right than the second."""
    both = _right_labels(one).to_frame("mine").join(_right_labels(other).rename("theirs"), how="outer")
    if both.isna().any(axis=None):
        raise ValueError(f"{one.name} and {other.name} were tested on different images")
    lead: pd.Series = both["mine"] - both["theirs"]
    return lead


def _right_labels(run: Run) -> pd.Series:
    said = label_answers(run.predictions, run.class_names)
    right = (said.decided == (said.targets == 1)) & ~np.isnan(said.targets)
    return pd.Series(right.sum(axis=1), index=run.predictions["path"])


@cache
def _draws(run: Run) -> Draws:
    said, paths = label_answers(run.predictions, run.class_names), run.predictions["path"].tolist()
    step = max(1, AT_ONCE // len(paths))
    parts = [
        figures_of_draws(
            np.stack([_often(path)[start : start + step] for path in paths], axis=1).astype(np.float64),
            said.probabilities,
            said.targets,
            said.decided,
        )
        for start in range(0, DRAWS, step)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in MULTILABEL.scores}


@cache
def _often(path: str) -> NDArray[np.uint8]:
    """Return how often an image comes in each draw, (B,)."""
    seed = blake2b(path.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(seed)).poisson(1, DRAWS).astype(np.uint8)


def _ends(values: NDArray[np.float64]) -> Interval:
    """Return the percentiles; `NONE` where all draws are alike: other images may hold other values."""
    known = values[~np.isnan(values)]  # in some draw no image may have any label
    if not len(known) or np.ptp(known) == 0:
        return NONE
    low, high = np.percentile(known, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)
