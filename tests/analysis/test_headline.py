"""Headline figures beside scikit-learn and torchmetrics, and their intervals beside the binomial's."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import binomtest
from sklearn.metrics import matthews_corrcoef, precision_recall_fscore_support, top_k_accuracy_score
from torchmetrics.classification import MulticlassF1Score, MulticlassPrecision, MulticlassRecall

from src.analysis.calibration import brier_scores, log_losses, reliability
from src.analysis.headline import headline, sum_up


def answers(images: int, classes: int, skill: float = 1.5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(images)
    targets = random.integers(0, classes, images)
    logits = random.normal(size=(images, classes)).astype(np.float32)
    logits[np.arange(images), targets] += skill
    return logits, softmax(logits.astype(np.float64), axis=1), targets


@pytest.mark.parametrize(("images", "classes"), [(300, 2), (500, 10), (60, 40)])
def test_figures_are_those_of_others(images: int, classes: int) -> None:
    logits, p, targets = answers(images, classes)
    targets[targets == 1] = 0  # a class that may be predicted, but never occurs
    found = {name: one.value for name, one in headline(logits, p, targets, seed=1).items()}
    predicted = logits.argmax(axis=1)
    there = np.unique(targets)
    theirs = precision_recall_fscore_support(targets, predicted, labels=there, average="macro", zero_division=0)[:3]
    assert [found[name] for name in ("precision", "recall", "f1")] == pytest.approx(list(theirs))
    for name, metric in (("precision", MulticlassPrecision), ("recall", MulticlassRecall), ("f1", MulticlassF1Score)):
        of_classes = metric(classes, average="none")(torch.from_numpy(predicted), torch.from_numpy(targets))
        assert found[name] == pytest.approx(float(of_classes[there].mean()), abs=1e-6)
    assert found["mcc"] == pytest.approx(matthews_corrcoef(targets, predicted))
    assert found["accuracy"] == pytest.approx((predicted == targets).mean())
    assert found["nll"] == pytest.approx(log_losses(logits, targets).mean())
    assert found["brier"] == pytest.approx(brier_scores(p, targets).mean())
    assert found["ece"] == pytest.approx(reliability(p, targets).error)
    if classes < 10:
        assert "top5_accuracy" not in found
    else:
        assert found["top5_accuracy"] == pytest.approx(top_k_accuracy_score(targets, p, k=5, labels=range(classes)))


def test_equal_logits_take_their_turn_by_index() -> None:
    logits = np.zeros((1, 12))
    inside, outside = (
        headline(logits, softmax(logits, axis=1), np.array([target]), 1)["top5_accuracy"].value for target in (4, 5)
    )
    assert (inside, outside) == (1.0, 0.0)


def test_an_accuracy_has_wilsons_interval() -> None:
    logits, p, targets = answers(180, 10, skill=9)
    one = headline(logits, p, targets, seed=1)["accuracy"]
    theirs = binomtest(180, 180).proportion_ci(method="wilson")
    assert (one.value, one.low, one.high) == (1, pytest.approx(theirs.low), 1)
    assert theirs.low == pytest.approx(0.979, abs=5e-4)


def test_the_same_seed_gives_the_same_interval() -> None:
    logits, p, targets = answers(50, 10)
    first, again, other = (headline(logits, p, targets, seed) for seed in (1, 1, 2))
    assert first == again
    assert first["nll"] != other["nll"]


def test_one_image_has_no_interval_of_means() -> None:
    logits, p, targets = answers(1, 4)
    found = headline(logits, p, targets, 1)
    assert found["accuracy"].interval is not None
    assert [name for name, one in found.items() if one.interval is None] == ["precision", "mcc", "nll", "brier", "ece"]


@pytest.mark.parametrize("seed", range(20))
def test_no_interval_leaves_what_is_possible_nor_its_value(seed: int) -> None:
    random = np.random.default_rng(seed)
    images, classes = int(random.integers(6, 80)), int(random.integers(2, 12))
    targets = random.integers(0, classes, images)
    logits = random.normal(size=(images, classes)) * random.choice([0.1, 1, 30])
    logits[np.arange(images), targets] += random.choice([-40, 0, 40])
    for name, one in headline(logits, softmax(logits, axis=1), targets, seed=1).items():
        if one.interval is not None:
            assert (-1 if name == "mcc" else 0) <= one.low <= one.value <= one.high, name
            assert name in ("nll", "brier") or one.high <= 1, name


def test_classes_without_images_are_no_part_of_the_mean() -> None:
    """3 of 4 right in each of two classes, of ten: the mistakes are taken for classes that aren't there."""
    targets = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    logits = 9.0 * np.eye(10)[[0, 0, 0, 7, 1, 1, 1, 8]]
    found = sum_up(logits, softmax(logits, axis=1), targets, 1)
    assert found.classes == 2
    assert found.estimates["recall"].value == 0.75
    assert found.estimates["precision"].value == 1
