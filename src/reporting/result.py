"""What is known about the groups of one test set, and how their figures are written in a sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..analysis.tasks import Task
from ..frames import pd
from .crossed_runs import Sources
from .difference_shown import Comparison
from .groups import TestSet
from .kept_maps import Looks

Row = Mapping[Any, Any]
"""One group's figures, by the columns of the table."""


@dataclass(frozen=True, eq=False)
class Result:
    """What is known about the groups of one test set.

    Attributes:
        table: its `src.reporting.summary.summary`.
        sources: what its figures vary by, where splits and seeds are crossed.
    """

    test_set: TestSet
    table: pd.DataFrame
    comparisons: Sequence[Comparison]
    looks: Looks
    sources: Sequence[Sources] = ()

    @property
    def task(self) -> Task:
        return self.test_set.task


def score_of(row: Row, task: Task) -> str:
    """Return `97.5 ± 0.1 %`."""
    mean, sd = row[f"test_{task.first}"], row[f"test_{task.first}_sd"]
    return f"{task.before}{100 * mean:.1f}{'' if np.isnan(sd) else f' ± {100 * sd:.1f}'} %"
