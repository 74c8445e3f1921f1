"""p-values are small for unlike images alone, and for known ones as often as they say."""

import numpy as np
import pytest

from src.analysis import familiarity
from src.analysis.familiarity import NEIGHBOURS, fewest_known, neighbour_distances, p_values


def test_distances_are_those_of_the_nth_neighbour_by_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    bank, new = random.normal(size=(40, 6)).astype(np.float32), random.normal(size=(7, 6)).astype(np.float32)

    def by_hand(row: np.ndarray, among: np.ndarray) -> float:
        unit = among / np.linalg.norm(among, axis=1, keepdims=True)
        return float(np.sort(np.linalg.norm(unit - row / np.linalg.norm(row), axis=1))[NEIGHBOURS - 1])

    found = neighbour_distances(bank, new)
    np.testing.assert_allclose(found, [by_hand(row, bank) for row in new], rtol=1e-4)
    np.testing.assert_allclose(neighbour_distances(bank, 3 * new), found, rtol=1e-4)
    monkeypatch.setattr(familiarity, "BLOCK", 50)
    np.testing.assert_allclose(neighbour_distances(bank, new), found, rtol=1e-4)


def test_p_values_count_what_is_at_least_as_large() -> None:
    np.testing.assert_allclose(p_values(np.array([3.0, 1.0, 2.0]), np.array([0.5, 2.0, 3.5])), [1, 0.75, 0.25])


@pytest.mark.parametrize(("share", "images"), [(0.05, 19), (0.1, 9), (0.01, 99)])
def test_so_many_known_images_can_say_it(share: float, images: int) -> None:
    assert fewest_known(share) == images
    assert p_values(np.zeros(images), np.ones(1))[0] <= share
    assert p_values(np.zeros(images - 1), np.ones(1))[0] > share


def test_known_images_are_flagged_as_often_as_asked() -> None:
    random = np.random.default_rng(1)
    flagged = [np.mean(p_values(random.normal(size=99), random.normal(size=200)) <= 0.05) for _ in range(300)]
    assert np.mean(flagged) == pytest.approx(0.05, abs=0.005)
