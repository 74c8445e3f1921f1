"""The one place where a run's task chooses what is trained and written: one class an image, or several labels."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from ..analysis.tasks import MULTILABEL, ONE_CLASS, Task
from .classifier import ImageClassifier
from .label_results import write_label_test
from .mistakes import Mistakes, class_mistakes, label_mistakes
from .multilabel import MultilabelClassifier
from .results import write_test


class Parts(NamedTuple):
    """The module of a task, what writes its answers to the test set, and what finds the mistakes among answers."""

    classifier: type[ImageClassifier]
    write_test: Callable[..., None]
    mistakes: Callable[..., Mistakes]


OF_TASK: Mapping[str, Parts] = {
    ONE_CLASS.name: Parts(ImageClassifier, write_test, class_mistakes),
    MULTILABEL.name: Parts(MultilabelClassifier, write_label_test, label_mistakes),
}


def parts_of(task: Task) -> Parts:
    return OF_TASK[task.name]
