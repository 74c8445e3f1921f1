"""Components of variance: known values, simulated ones, coverage of the intervals, and numbers of runs from books."""

import numpy as np
import pytest

from src.analysis.variance_components import (
    Component,
    Term,
    combined,
    crossed,
    image_component,
    image_values,
    images_needed,
    runs_needed,
)

SPLIT, SEED, REST = 3.0, 1.0, 2.0
"""True variances."""


def simulated(random: np.random.Generator, splits: int, seeds: int, split: float = SPLIT) -> np.ndarray:
    table = 90 + np.sqrt(split) * random.normal(size=(splits, 1)) + np.sqrt(SEED) * random.normal(size=(1, seeds))
    return np.asarray(table + np.sqrt(REST) * random.normal(size=(splits, seeds)))


def test_a_table_computed_by_hand() -> None:
    """Rows 1 2, 3 8: means 1.5 5.5, 2 5; mean squares 16, 9, 4."""
    found = crossed(np.array([[1.0, 2], [3, 8]]))
    assert [found.split.variance, found.seed.variance, found.rest.variance] == pytest.approx([6, 2.5, 4])
    assert found.run.variance == pytest.approx(6 + 2.5 + 4)
    assert found.on_one_split.variance == pytest.approx(2.5 + 4)


def test_a_negative_estimate_is_kept_and_its_sd_is_zero() -> None:
    found = crossed(np.array([[1.0, 0], [0, 1]]))
    assert found.split.variance == pytest.approx(-0.5)
    assert (found.split.sd, found.split.low) == (0, 0)
    assert found.split.high >= 0


@pytest.mark.parametrize("shape", [(1, 4), (4, 1)])
def test_fewer_than_two_of_each_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least two"):
        crossed(np.zeros(shape))


def test_a_single_mean_square_has_the_interval_of_chi_squared() -> None:
    """Of 10 degrees of freedom: 10 / 20.483 and 10 / 3.247 times as much (tables of the distribution)."""
    found = combined([Term(1, 1.0, 10)])
    assert (found.low, found.high) == pytest.approx((10 / 20.483, 10 / 3.247), rel=1e-3)


def test_more_than_a_difference_of_two_is_refused() -> None:
    with pytest.raises(ValueError, match="difference"):
        combined([Term(-1, 1.0, 3), Term(1, 1.0, 3)])


@pytest.mark.parametrize(("splits", "seeds", "split"), [(6, 6, SPLIT), (4, 5, SPLIT), (6, 6, 0.0)])
def test_estimates_are_unbiased_and_intervals_hold_the_truth(splits: int, seeds: int, split: float) -> None:
    random, draws = np.random.default_rng([splits, seeds, int(split)]), 3000
    truth = {"split": split, "seed": SEED, "rest": REST, "run": split + SEED + REST, "on_one_split": SEED + REST}
    found = [crossed(simulated(random, splits, seeds, split)) for _ in range(draws)]
    for name, true in truth.items():
        some: list[Component] = [getattr(one, name) for one in found]
        estimates = np.array([one.variance for one in some])
        assert abs(estimates.mean() - true) < 4 * estimates.std() / np.sqrt(draws), name
        held = np.mean([one.low <= true <= one.high for one in some])
        assert 0.93 <= held <= 0.99, (name, held)


def chances(random: np.random.Generator, images: int) -> np.ndarray:
    """How often each image is answered rightly: half of them always."""
    return np.where(random.random(images) < 0.5, 1.0, random.random(images))


TRUE = 0.5 * (1 / 12) + 0.25 * (1 - 0.5) ** 2
"""The variance of `chances`: within its halves, and between them."""


@pytest.mark.parametrize("splits", [1, 4])
def test_images_differ_by_what_they_get_on_average(splits: int) -> None:
    """The variance of the images' chances, not that of their single answers, which is p (1 − p)."""
    random = np.random.default_rng(splits)
    estimates, held = [], []
    for _ in range(120):
        chance = chances(random, 300)
        values = image_values((random.random((splits, 4, 300)) < chance).astype(float))
        found = image_component(values, 300)
        estimates.append(found.variance * 300)
        held.append(found.low <= TRUE / 300 <= found.high)
    assert np.mean(estimates) == pytest.approx(TRUE, rel=0.03)
    assert np.mean(held) > 0.9


def test_an_image_that_changes_with_the_split_is_no_hard_image() -> None:
    """Answers follow from image and split by chance: no image is harder than another."""
    random = np.random.default_rng(1)
    estimates = [
        image_values(np.repeat((random.random((4, 1, 300)) < 0.7).astype(float), 5, axis=1)).mean() for _ in range(300)
    ]
    assert abs(np.mean(estimates)) < 4 * np.std(estimates) / np.sqrt(300)


def test_images_that_are_all_alike_have_no_interval() -> None:
    found = image_component(image_values(np.ones((1, 3, 50))), 50)
    assert found.variance == 0
    assert np.isnan([found.low, found.high, *found.sd_interval]).all()


def test_a_part_that_is_known_is_taken_off() -> None:
    left = Component(5.0, 1.0, 9.0).without(Component(2.0, 1.5, 2.5))
    assert (left.variance, left.low, left.high) == (3, 0, 7)


@pytest.mark.parametrize(("effect", "pairs"), [(0.5, 34), (0.8, 15), (1.0, 10), (0.2, 199)])
def test_numbers_of_pairs_are_those_of_the_tables(effect: float, pairs: int) -> None:
    """Paired t-test, two-sided at 5 %, power 80 %: G*Power's and Cohen's numbers."""
    assert runs_needed(effect, 1.0) == pairs


def test_what_stays_can_be_too_much_for_any_number_of_runs() -> None:
    assert runs_needed(0.01, 0.01**2, stays=0.01**2) is None
    few, many = runs_needed(0.01, 0.01**2), runs_needed(0.01, 0.01**2, stays=0.003**2)
    assert few is not None
    assert many is not None
    assert few < many
    assert runs_needed(0.01, 0.0) == 2


def test_test_images_that_are_needed() -> None:
    """(1.960 + 0.842)² · 0.1 / 0.01²."""
    assert images_needed(0.01, 0.1) == 7849
    assert images_needed(0.01, -0.1) == 1
