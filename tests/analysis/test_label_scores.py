"""Figures of several labels an image: those of scikit-learn, with unknown labels left out."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score
from torchmetrics.classification import MultilabelAveragePrecision

from src.analysis.label_scores import (
    average_precision,
    best_thresholds,
    count_labels,
    mean_average_precision,
    per_label,
)
from src.analysis.metrics import LABEL_METRICS
from src.training.label_figures import add_batch, label_figures


def answers(images: int, classes: int, seed: int, unknown: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Logits float32 (N, K) with ties, and targets float32 (N, K)."""
    random = np.random.default_rng(seed)
    targets = (random.random((images, classes)) < random.uniform(0.05, 0.6, classes)).astype(np.float32)
    logits = np.round(2 * targets - 1 + 1.5 * random.standard_normal(targets.shape), 1).astype(np.float32)
    targets[random.random(targets.shape) < unknown] = np.nan
    return logits, targets


def by_sklearn(logits: np.ndarray, targets: np.ndarray, thresholds: np.ndarray) -> dict[str, float]:
    """The table's figures, label by label, of the images of which a label is known."""
    said = 1 / (1 + np.exp(-logits.astype(np.float64)))
    known = ~np.isnan(targets)
    columns = [(targets[known[:, k], k], said[known[:, k], k], thresholds[k]) for k in range(targets.shape[1])]
    columns = [column for column in columns if column[0].any()]
    scores = {"precision": precision_score, "recall": recall_score, "f1": f1_score}
    found = {
        name: float(np.mean([score(y, p >= t, zero_division=0) for y, p, t in columns]))
        for name, score in scores.items()
    }
    found["map"] = float(np.mean([average_precision_score(y, p) for y, p, _ in columns]))
    y, decided = targets[known], (said >= thresholds)[known]
    return found | {"f1_micro": f1_score(y, decided, zero_division=0)}


@pytest.mark.parametrize("seed", range(5))
def test_what_training_measures_is_what_scikit_learn_measures(seed: int) -> None:
    logits, targets = answers(300, 6, seed)
    targets[:, 5] = np.where(np.isnan(targets[:, 5]), np.nan, 0)  # a label that no image has is in no average
    thresholds = np.random.default_rng(seed).uniform(0.2, 0.8, 6)
    figures = label_figures(6, "test/", binned=False)
    for some in np.array_split(np.arange(300), 7):
        said = torch.from_numpy(logits[some]).double().sigmoid()
        add_batch(figures, said, said >= torch.from_numpy(thresholds), torch.from_numpy(targets[some]))
    wanted = by_sklearn(logits, targets, thresholds)
    assert set(wanted) == set(LABEL_METRICS) - {"loss"}
    assert {name: float(figures.compute()[f"test/{name}"]) for name in wanted} == pytest.approx(wanted, abs=1e-6)


def test_average_precision_is_that_of_torchmetrics_too() -> None:
    logits, targets = answers(200, 4, 9)
    theirs = MultilabelAveragePrecision(4, average="none", ignore_index=-1)
    theirs.update(torch.from_numpy(logits).sigmoid(), torch.from_numpy(targets).nan_to_num(-1).long())
    assert average_precision(logits, targets) == pytest.approx(theirs.compute().numpy(), abs=1e-6)


def test_an_epoch_ranks_by_bins() -> None:
    logits, targets = answers(2_000, 5, 3)
    exact, binned = (label_figures(5, "", binned=binned) for binned in (False, True))
    said = torch.from_numpy(logits).double().sigmoid()
    for figures in (exact, binned):
        add_batch(figures, said, said >= 0.5, torch.from_numpy(targets))
    assert float(binned.compute()["map"]) == pytest.approx(float(exact.compute()["map"]), abs=0.01)
    assert all(isinstance(value, torch.Tensor) for value in binned["map"].metric_state.values())


@pytest.mark.parametrize("seed", range(5))
def test_no_threshold_has_a_better_f1_than_the_best(seed: int) -> None:
    logits, targets = answers(60, 3, seed)
    said = 1 / (1 + np.exp(-logits.astype(np.float64)))
    thresholds = best_thresholds(said, targets)
    for k in range(3):
        known = ~np.isnan(targets[:, k])
        y, p = targets[known, k], said[known, k]
        best = max(f1_score(y, p >= t, zero_division=0) for t in np.unique(p))
        assert f1_score(y, p >= thresholds[k], zero_division=0) == pytest.approx(best)
        assert not y.any() or thresholds[k] not in p


def test_where_nothing_is_to_be_learned_the_threshold_is_a_half() -> None:
    targets = np.array([[0, 1, np.nan], [0, 1, np.nan]], dtype=np.float32)
    assert best_thresholds(np.full((2, 3), 0.9), targets).tolist() == [0.5, 0.5, 0.5]
    assert np.isnan(mean_average_precision(np.full((2, 1), 0.9), targets[:, :1]))


def test_the_table_of_labels_counts_what_is_known() -> None:
    targets = np.array([[1, 0], [np.nan, 1], [0, 1], [1, np.nan]], dtype=np.float32)
    said = np.array([[0.9, 0.6], [0.9, 0.2], [0.8, 0.7], [0.1, 0.9]])
    table = per_label(said, targets, np.array([0.5, 0.5]), ["a", "b"])
    assert table["support"].tolist() == [2, 2]
    assert table["unknown"].tolist() == [1, 1]
    assert table["precision"].tolist() == [0.5, 0.5]
    assert table["recall"].tolist() == [0.5, 0.5]
    assert count_labels(said >= 0.5, targets).predicted.tolist() == [2, 2]
