"""Which mistakes are shown, in which order, and what is said of them."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import torch

from src.callbacks.test_outputs import Predictions
from src.training.mistakes import class_mistakes, label_mistakes
from src.training.multilabel import MultilabelClassifier


def answers(logits: Any, targets: Any) -> Predictions:
    predictions = Predictions()
    predictions._logits, predictions._targets = [torch.tensor(logits)], [torch.tensor(targets)]
    return predictions


def test_images_of_one_class_the_surest_first() -> None:
    logits = [[4.0, 0.0], [0.0, 2.0], [0.0, 3.0], [1.0, 0.0], [0.0, 0.5]]
    module = SimpleNamespace(class_names=["cat", "dog"])
    found = class_mistakes(module, answers(logits, [0, 0, 0, 1, 1]), most=2)  # type: ignore[arg-type]
    assert (found.rows.tolist(), found.classes.tolist(), found.total) == ([2, 1], [1, 1], 3)
    assert found.captions == ["true cat · predicted dog 0.95", "true cat · predicted dog 0.88"]


def test_of_several_labels_each_image_shows_its_surest_mistake_and_none_that_is_unknown() -> None:
    logits = [[3.0, -4.0], [-2.0, 0.1], [5.0, 5.0], [-1.0, -1.0]]
    targets = [[0.0, 1.0], [1.0, 0.0], [np.nan, 1.0], [0.0, 0.0]]
    module = Mock(spec=MultilabelClassifier, class_names=["red", "green"], thresholds=torch.tensor([0.5, 0.6]))
    found = label_mistakes(module, answers(logits, targets), most=9)
    assert (found.rows.tolist(), found.classes.tolist(), found.total) == ([0, 1], [1, 0], 3)
    assert found.captions == ["has green · not predicted, 0.02", "has red · not predicted, 0.12"]
    assert label_mistakes(module, answers(logits, targets), most=1).rows.tolist() == [0]
