"""Energy and peaks on objects, and single deletion, on maps and networks whose answers are known."""

import numpy as np
import pytest

from src.analysis.objects import on_objects, shares
from src.analysis.single_deletion import single_deletion


def test_energy_and_peaks_are_shares() -> None:
    masks = np.zeros((2, 8, 8), bool)
    masks[:, :4, :4] = True
    maps = np.zeros((2, 2, 2))
    maps[0, 0, 0], maps[1] = 1, 1
    energy, peaks = shares(maps, masks)
    assert energy[0] > 0.55  # bilinear: some of it reaches over the edge
    assert energy[1] == pytest.approx(0.25)
    assert peaks[0]


def test_negative_evidence_counts_nothing_and_a_map_without_positive_is_left_out() -> None:
    masks = np.ones((8, 4, 4), bool)
    masks[:, 2:] = False
    random = np.random.default_rng(0)
    maps = random.normal(size=(8, 4, 4))
    maps[0] = -1
    found = on_objects(maps, masks, np.array([True] * 7 + [False]))
    assert found is not None
    assert (found.images, found.without) == (6, 2)
    assert found.covered == pytest.approx(0.5)
    assert on_objects(maps, masks, np.zeros(8, bool)) is None


def weighing(weights: np.ndarray):
    """Return a network whose first logit is the weighted sum of the 16 pieces' brightness."""

    def logits(images: np.ndarray) -> np.ndarray:
        pieces = images.reshape(len(images), 1, 4, 2, 4, 2).mean(axis=(1, 3, 5))
        first = (pieces * weights).sum(axis=(1, 2))
        return np.stack([first, np.zeros_like(first)], axis=1).astype(np.float32)

    return logits


def test_a_map_of_what_counts_is_right_and_its_inverse_wrong() -> None:
    random = np.random.default_rng(0)
    images = random.normal(size=(12, 1, 8, 8)).astype(np.float32)
    weights = random.uniform(0, 1, (4, 4))
    pieces = images.reshape(12, 1, 4, 2, 4, 2).mean(axis=(1, 3, 5))
    truth = (pieces - images.mean(axis=(1, 2, 3))[:, None, None]) * weights  # what the logit loses, exactly
    whole = np.repeat(np.repeat(truth, 2, axis=1), 2, axis=2)
    targets = np.zeros(12, int)
    assert single_deletion(weighing(weights), images, targets, whole).score == pytest.approx(1)
    assert single_deletion(weighing(weights), images, targets, -whole).score == pytest.approx(-1)
    flat = single_deletion(weighing(weights), images, targets, np.concatenate([whole[:6], np.ones_like(whole[6:])]))
    assert np.isfinite(flat.values).tolist() == [True] * 6 + [False] * 6
    assert flat.as_json()["values"][-1] is None
