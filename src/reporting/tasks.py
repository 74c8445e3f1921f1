"""The one place where a task chooses what a report says of it: one class an image, or several labels."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from ..analysis.intervals import Interval
from ..analysis.tasks import MULTILABEL, ONE_CLASS, Task
from .class_pictures import Drawing, classes_one_by_one, labels_one_by_one
from .document import Picture
from .group_intervals import group_intervals
from .groups import Group, TestSet
from .label_differences import label_group_intervals, map_difference
from .paired import Difference, Pairs, accuracy_difference


class Parts(NamedTuple):
    """Functions and words.

    Attributes:
        intervals: of each metric of a group.
        difference: of what sums up the task, between two groups.
        classes: pictures of each class.
        measured: what the table's figures are.
        compared: what the columns of the comparisons are.
    """

    intervals: Callable[[Group], Mapping[str, Interval]]
    difference: Callable[[Pairs], Difference]
    classes: Callable[[TestSet, Drawing], list[Picture]]
    measured: str
    compared: str


OF_TASK: Mapping[str, Parts] = {
    ONE_CLASS.name: Parts(
        group_intervals,
        accuracy_difference,
        classes_one_by_one,
        "accuracy and macro averages",
        "with its 95 % interval (Tango's; over several seeds by effective images); images that only the other or only "
        "the best gets right (more often); McNemar's exact test (over several seeds its extension, which flips the "
        "signs of the images' differences), without and with Holm's correction",
    ),
    MULTILABEL.name: Parts(
        label_group_intervals,
        map_difference,
        labels_one_by_one,
        "mean average precision, macro and micro averages",
        "with its 95 % interval (bootstrap of the images); images of whose labels only the other or only the best gets "
        "more right; p: twice the share of the draws beyond 0, without and with Holm's correction",
    ),
}


def parts_of(task: Task) -> Parts:
    return OF_TASK[task.name]
