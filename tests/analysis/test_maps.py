"""How alike attribution maps are, and how sharp: by hand on small ones."""

import numpy as np
import pytest

from src.analysis.maps import half_energy_area, map_similarity


class TestSimilarity:
    one = np.array([[[1.0, 2], [3, 4]], [[4, 0], [0, 0]]])

    def test_a_map_is_like_itself_whatever_its_unit(self) -> None:
        assert map_similarity(self.one, 7 * self.one) == pytest.approx(1)

    def test_the_mean_over_the_images(self) -> None:
        other = np.array([[[4.0, 3], [2, 1]], [[9, 0], [0, 0]]])
        assert map_similarity(self.one, other) == pytest.approx((-1 + 1) / 2)

    def test_only_positive_evidence_counts(self) -> None:
        other = self.one.copy()
        other[1, 1, 1] = -5
        assert map_similarity(self.one, other) == pytest.approx(1)

    @pytest.mark.parametrize("nothing", [np.zeros((2, 2)), -np.arange(1.0, 5).reshape(2, 2), np.full((2, 2), np.nan)])
    def test_images_without_a_pattern_have_no_similarity(self, nothing: np.ndarray) -> None:
        assert np.isnan(map_similarity(self.one, np.stack([nothing, nothing])))
        assert map_similarity(self.one, np.stack([self.one[0], nothing])) == pytest.approx(1)

    def test_agrees_with_numpy_on_float32(self) -> None:
        a, b = np.random.default_rng(0).normal(size=(2, 5, 6, 7)).astype(np.float32)
        pairs = zip(np.maximum(a, 0), np.maximum(b, 0), strict=True)
        expected = [np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in pairs]
        assert map_similarity(a, b) == pytest.approx(np.mean(expected))

    def test_other_grids_are_refused(self) -> None:
        with pytest.raises(ValueError, match="different grids"):
            map_similarity(self.one, np.ones((2, 3, 3)))


class TestHalfEnergyArea:
    @pytest.mark.parametrize("size", [(1, 2), (4, 4), (5, 6), (224, 224)])
    def test_half_of_the_image_holds_half_of_an_even_map(self, size: tuple[int, int]) -> None:
        pixels = size[0] * size[1]
        area = half_energy_area(np.full((1, 3, 3), 0.1, np.float32), size)
        np.testing.assert_allclose(area, 0.5, atol=1 / pixels + 1e-12)

    def test_one_pixel_holds_all(self) -> None:
        maps = np.zeros((1, 4, 5))
        maps[0, 1, 2] = 3
        assert half_energy_area(maps, (4, 5)).tolist() == [1 / 20]

    def test_by_hand(self) -> None:
        """Of 4 + 3 + 2 + 1 = 10, half is in the two largest; the negative cell is no energy."""
        maps = np.array([[[4.0, 1, -9], [3, 2, 0]]])
        assert half_energy_area(maps, (2, 3)).tolist() == [2 / 6]

    def test_upsampled_as_it_is_shown(self) -> None:
        """[1, 0] over four pixels is [1, ¾, ¼, 0] of energy 2: 1 holds half of it."""
        assert half_energy_area(np.array([[[1.0, 0]]]), (1, 4)).tolist() == [1 / 4]

    def test_no_positive_evidence_has_no_area(self) -> None:
        maps = np.stack([np.zeros((2, 2)), -np.ones((2, 2)), np.full((2, 2), np.nan), np.ones((2, 2))])
        np.testing.assert_array_equal(half_energy_area(maps, (2, 2)), [np.nan, np.nan, np.nan, 0.5])

    def test_the_unit_does_not_matter(self) -> None:
        maps = np.random.default_rng(0).normal(size=(3, 6, 6))
        np.testing.assert_array_equal(half_energy_area(maps, (24, 24)), half_energy_area(maps * 1e-6, (24, 24)))
