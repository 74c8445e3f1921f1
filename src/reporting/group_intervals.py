"""What the choice of test images leaves open about a group of runs: intervals of its mean figures."""

from collections.abc import Mapping

import numpy as np

from ..analysis.class_intervals import Said, class_interval
from ..analysis.intervals import Interval, share_interval
from ..analysis.metrics import SCORES
from .groups import Group


def group_intervals(group: Group) -> Mapping[str, Interval]:
    """Return the 95 % interval of each metric, averaged over the runs as they are; NaN where there is none.

    An image that several runs were tested on is one image: they mostly fail on the same ones.
    """
    names = group.runs[0].class_names
    places = {name: place for place, name in enumerate(names)}
    numbers: dict[str, int] = {}
    runs = []
    for run in group.runs:
        said = run.predictions
        targets, predicted = (np.array(said[column].map(places), dtype=np.int64) for column in ("target", "predicted"))
        images = np.array([numbers.setdefault(path, len(numbers)) for path in said["path"]], dtype=np.int64)
        runs.append(Said(targets, predicted, images))
    return {
        name: _accuracy(runs, len(numbers)) if row.average == "micro" else class_interval(row, runs, len(names))
        for name, row in SCORES.items()
    }


def _accuracy(runs: list[Said], images: int) -> Interval:
    """Return the interval of the mean accuracy; an image weighs what its runs' accuracies give it."""
    weights, right = np.zeros(images), np.zeros(images)
    for run in runs:
        each = np.full(len(run.images), 1 / len(run.images))
        weights += np.bincount(run.images, each, images)
        right += np.bincount(run.images, each * (run.targets == run.predicted), images)
    return share_interval(right / weights, weights)
