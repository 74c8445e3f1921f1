"""Headline figures beside scikit-learn and torchmetrics, and their intervals beside the binomial's."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.metrics import matthews_corrcoef, precision_recall_fscore_support, top_k_accuracy_score
from torchmetrics.classification import MulticlassF1Score, MulticlassPrecision, MulticlassRecall

from src.analysis import headline as module
from src.analysis.calibration import brier_scores, log_losses, reliability
from src.analysis.headline import headline


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
    theirs = precision_recall_fscore_support(targets, predicted, average="macro", zero_division=0)[:3]
    assert [found[name] for name in ("precision", "recall", "f1")] == pytest.approx(list(theirs))
    for name, metric in (("precision", MulticlassPrecision), ("recall", MulticlassRecall), ("f1", MulticlassF1Score)):
        value = metric(classes, average="macro")(torch.from_numpy(predicted), torch.from_numpy(targets))
        assert found[name] == pytest.approx(float(value), abs=1e-6)
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


def test_the_interval_of_the_accuracy_is_as_wide_as_the_binomials() -> None:
    logits, p, targets = answers(1000, 10)
    one = headline(logits, p, targets, seed=1)["accuracy"]
    half = 1.96 * np.sqrt(one.value * (1 - one.value) / 1000)
    assert one.low == pytest.approx(one.value - half, abs=0.15 * half)
    assert one.high == pytest.approx(one.value + half, abs=0.15 * half)


def test_resamples_are_those_of_a_plain_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each figure of each resample by the same draws, image by image, and in several portions."""
    logits, p, targets = answers(40, 3)
    monkeypatch.setattr(module, "RESAMPLES", 50)
    monkeypatch.setattr(module, "AT_ONCE", 40 * 7)
    found = headline(logits, p, targets, seed=5)
    random = np.random.default_rng(5)
    portions = [random.integers(0, 40, size=(min(7, 50 - start), 40)) for start in range(0, 50, 7)]
    f1, mcc, ece = [], [], []
    for drawn in np.concatenate(portions):
        scores = precision_recall_fscore_support(
            targets[drawn], logits[drawn].argmax(axis=1), average="macro", zero_division=0
        )
        f1.append(scores[2])
        mcc.append(matthews_corrcoef(targets[drawn], logits[drawn].argmax(axis=1)))
        ece.append(reliability(p[drawn], targets[drawn]).error)
    assert [found["f1"].low, found["f1"].high] == pytest.approx(list(np.quantile(f1, (0.025, 0.975))))
    assert [found["mcc"].low, found["mcc"].high] == pytest.approx(list(np.quantile(mcc, (0.025, 0.975))))
    high, low = (min(1.0, max(0.0, 2 * found["ece"].value - q)) for q in np.quantile(ece, (0.025, 0.975)))
    assert [found["ece"].low, found["ece"].high] == pytest.approx([low, high])


def test_the_same_seed_gives_the_same_interval() -> None:
    logits, p, targets = answers(50, 10)
    first, again, other = (headline(logits, p, targets, seed) for seed in (1, 1, 2))
    assert first == again
    assert first["nll"] != other["nll"]


def test_one_image_is_enough() -> None:
    logits, p, targets = answers(1, 4)
    assert all(one.low == one.high for name, one in headline(logits, p, targets, 1).items() if name != "ece")


def test_no_interval_leaves_what_is_possible() -> None:
    """Few images, and nearly always wrong while being sure."""
    logits = np.full((6, 3), -4.0)
    logits[np.arange(6), [0, 0, 0, 1, 1, 1]] = 4.0
    found = headline(logits, softmax(logits, axis=1), np.array([1, 1, 2, 0, 2, 1]), seed=1)
    assert found["ece"].value > 0.7
    for name, one in found.items():
        assert (-1 if name == "mcc" else 0) <= one.low <= one.value <= one.high, name
        assert name in ("nll", "brier") or one.high <= 1, name
