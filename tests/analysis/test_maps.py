"""How alike attribution maps are, and how sharp: by hand on small ones."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from src.analysis.maps import agreements, half_energy_area, map_similarity, rank_correlation


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


class TestRankCorrelation:
    one = np.array([[[1.0, 2], [3, 4]], [[4, 3], [2, -9]]])

    def test_by_hand(self) -> None:
        """Of ranks 1 2 3 4 against 2 1 3 4, ρ = 1 − 6 Σd² / (n (n² − 1)) = 1 − 12 / 60."""
        other = np.array([[[0.1, 0.0], [0.2, 99]], [[-4, -3], [-2, 9]]])
        assert rank_correlation(self.one, other) == pytest.approx([0.8, -1])

    def test_only_the_order_counts(self) -> None:
        assert rank_correlation(self.one, np.exp(self.one)) == pytest.approx([1, 1])

    def test_agrees_with_scipy_on_ties(self) -> None:
        a, b = np.random.default_rng(0).integers(0, 5, (2, 7, 4, 6)).astype(np.float32)
        expected = [spearmanr(x.ravel(), y.ravel()).statistic for x, y in zip(a, b, strict=True)]
        assert rank_correlation(a, b) == pytest.approx(expected)

    def test_maps_without_ranks_have_none(self) -> None:
        other = np.stack([np.zeros((2, 2)), self.one[1]])
        np.testing.assert_allclose(rank_correlation(self.one, other), [np.nan, 1])
        other[1, 0, 0] = np.nan
        assert np.isnan(rank_correlation(other, self.one)).all()

    def test_other_grids_are_refused(self) -> None:
        with pytest.raises(ValueError, match="different grids"):
            rank_correlation(self.one, np.ones((2, 3, 3)))


class TestAgreements:
    random = np.random.default_rng(0)
    maps = random.normal(size=(60, 5, 5))

    def test_the_same_maps_agree_and_others_do_not(self) -> None:
        same, chance, turned = agreements(
            self.maps,
            [("same", 3 * self.maps), ("chance", self.random.normal(size=(60, 5, 5))), ("turned", -self.maps)],
        )
        assert (same.stage, same.n) == ("same", 60)
        assert (same.correlation, same.absolute) == pytest.approx((1, 1))
        assert np.isnan([same.low, same.high]).all(), "all are equal"
        assert chance.low < 0 < chance.high
        assert chance.high - chance.low == pytest.approx(2 * 1.96 * 0.2 / np.sqrt(60), rel=0.3), "1/√24 an image"
        assert (turned.correlation, turned.absolute) == pytest.approx((-1, 1)), "the outlines stay"

    def test_draws_of_a_stage_are_averaged_by_image(self) -> None:
        (row,) = agreements(self.maps, [("fc", self.maps), ("fc", -self.maps)])
        assert row.draws == pytest.approx((1, -1))
        assert row.correlation == pytest.approx(0)
        assert np.isnan([row.low, row.high]).all()

    def test_silenced_maps_are_left_out(self) -> None:
        some, none = self.maps.copy(), np.zeros_like(self.maps)
        some[:10] = 0
        silent, partly = agreements(self.maps, [("silent", none), ("partly", some), ("partly", none)])
        assert (silent.n, partly.n) == (0, 50)
        assert np.isnan([silent.correlation, silent.low, silent.absolute_high, *silent.draws]).all()
        assert partly.correlation == pytest.approx(1)
