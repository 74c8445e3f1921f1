"""Sets of classes hold the true class as often as asked, whatever the probabilities are worth."""

import numpy as np
import pytest

from src.analysis.conformal import class_scores, fewest_images, likely_coverage, prediction_sets, score_limit


def drawn(images: int, seed: int, honest: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, 5) and true classes; `honest` below 1: sharper than the truth is."""
    random = np.random.default_rng(seed)
    truth = random.dirichlet(np.full(5, 0.7), images)
    targets = (random.random((images, 1)) > truth.cumsum(axis=1)).sum(axis=1)
    said = truth ** (1 / honest)
    return said / said.sum(axis=1, keepdims=True), targets


def test_a_score_is_what_likelier_classes_have_together() -> None:
    scores = class_scores(np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]]))
    np.testing.assert_allclose(scores, [[0.8, 0, 0.5], [0, 0.4, 0.8]])


def test_the_limit_is_the_exact_rank_of_the_true_classes_scores() -> None:
    shares, targets = np.tile([0.6, 0.3, 0.1], (9, 1)), np.array([0] * 7 + [1, 2])
    assert score_limit(shares, targets, 0.7) == 0  # ⌈10 · 0.7⌉ = 7, and seven have the score 0
    assert score_limit(shares, targets, 0.8) == 0.6
    assert score_limit(shares, targets, 0.9) == pytest.approx(0.9)
    assert prediction_sets(shares[:1], 0.6).tolist() == [[True, True, False]]


@pytest.mark.parametrize(("coverage", "images"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99), (0.999, 999)])
def test_fewer_images_than_this_have_no_such_rank(coverage: float, images: int) -> None:
    assert fewest_images(coverage) == images
    shares, targets = drawn(images, 0)
    score_limit(shares, targets, coverage)
    with pytest.raises(IndexError):
        score_limit(shares[:-1], targets[:-1], coverage)


@pytest.mark.parametrize("honest", [1.0, 0.4])
def test_hidden_images_are_covered_as_often_as_asked(honest: float) -> None:
    """Over 200 draws of 100 and 500 images: even of a network that is much too sure."""
    found = []
    for seed in range(200):
        shares, targets = drawn(600, seed, honest)
        sets = prediction_sets(shares[100:], score_limit(shares[:100], targets[:100], 0.9))
        assert sets.any(axis=1).all()
        found.append(sets[np.arange(500), targets[100:]].mean())
    assert np.mean(found) == pytest.approx(91 / 101, abs=0.01)  # ⌈101 · 0.9⌉ of 101
    low, high = likely_coverage(100, 0.9)
    inside = np.mean((np.array(found) > low - 0.02) & (np.array(found) < high + 0.02))  # and what 500 images leave open
    assert inside > 0.93
