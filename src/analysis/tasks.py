"""What a network is trained for: one class an image, or any number of labels. Which of the two a run has, all ask here.

Imports neither torch nor NumPy, because the command line reads it before anything else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .metrics import LABEL_METRICS, METRICS, SHOWN, Metric


@dataclass(frozen=True)
class Task:
    """What follows from a task.

    Attributes:
        name: what a checkpoint keeps; those of one class an image keep nothing.
        words: the task in a message: "a run of …".
        metrics: its table, in the order of the files' columns.
        shown: the same in the order of tables for people.
        first: the metric that sums it up, which chooses the best epoch unless another is asked for.
        classes: what the classes are called.
        before, after: what a sentence says around a value of `first`: "98.3 % of the test images", "mAP 83.2 %".
    """

    name: str
    words: str
    metrics: Mapping[str, Metric]
    shown: Mapping[str, Metric]
    first: str
    classes: str
    before: str
    after: str

    @property
    def score(self) -> Metric:
        """The row of `first`."""
        return self.metrics[self.first]

    @property
    def scores(self) -> dict[str, Metric]:
        """`shown` without the loss."""
        return {name: row for name, row in self.shown.items() if name != "loss"}

    @property
    def monitor(self) -> str:
        return f"val/{self.first}"


ONE_CLASS = Task(
    "one_class", "one class an image", METRICS, SHOWN, "accuracy", "classes", before="", after=" of the test images"
)
MULTILABEL = Task(
    "multilabel",
    "several labels an image",
    LABEL_METRICS,
    {name: row for name, row in LABEL_METRICS.items() if name != "loss"} | {"loss": LABEL_METRICS["loss"]},
    "map",
    "labels",
    before="mAP ",
    after="",
)
TASKS: Mapping[str, Task] = {task.name: task for task in (ONE_CLASS, MULTILABEL)}


def task_of(data: Mapping[str, Any]) -> Task:
    """Return the task that the settings of the group `data` make."""
    return MULTILABEL if data.get("multilabel") is True else ONE_CLASS
