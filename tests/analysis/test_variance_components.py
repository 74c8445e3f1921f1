"""Components of variance: known values, simulated ones, coverage of the intervals, and numbers of runs from books."""

import numpy as np
import pytest
from scipy.special import ndtr

from src.analysis.variance_components import (
    Component,
    Term,
    combined,
    crossed,
    image_parts,
    images_interval,
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


SD = {"split": 0.02, "seed": 0.01, "rest": 0.015}
"""True standard deviations of the accuracy on infinitely many images."""


def answers(random: np.random.Generator, design: str, splits: int = 4, seeds: int = 4) -> np.ndarray:
    """Networks of known accuracy, to which the same images are hard, of 400 all, or parts of 200 or 100."""
    accuracy = 0.8 + SD["split"] * random.normal(size=(splits, 1, 1)) + SD["seed"] * random.normal(size=(1, seeds, 1))
    accuracy = accuracy + SD["rest"] * random.normal(size=(splits, seeds, 1))
    felt = np.sqrt(0.6) * random.normal(size=400) + np.sqrt(0.4) * random.normal(size=(splits, seeds, 400))
    right = (ndtr(felt) < accuracy).astype(float)
    for split in range(splits if design != "published" else 0):
        asked = random.permutation(400)[:200] if design == "drawn" else np.arange(400)[split::splits]
        right[split][:, np.setdiff1d(np.arange(400), asked)] = np.nan
    return right


@pytest.mark.parametrize("design", ["published", "drawn", "parts"])
def test_what_many_images_would_leave_is_told_from_luck_of_the_images(design: str) -> None:
    """Whether all runs have the same test images, splits share some of them, or none."""
    random, draws = np.random.default_rng([*design.encode()]), 600
    left: dict[str, list[float]] = {name: [] for name in SD}
    for _ in range(draws):
        right = answers(random, design)
        found, luck = crossed(np.nanmean(right, axis=2)), image_parts(right)
        assert luck.run == pytest.approx(luck.split + luck.seed + luck.rest + luck.common)
        for name, some in left.items():
            some.append(getattr(found, name).without(getattr(luck, name)).variance)
    for name, some in left.items():
        assert abs(np.mean(some) - SD[name] ** 2) < 4 * np.std(some) / np.sqrt(draws), name


def test_the_luck_of_a_run_is_binomial() -> None:
    """p (1 − p) / m, with its interval, which a single run of 100 images nearly has, too."""
    right = answers(np.random.default_rng(1), "parts")
    shares = np.nanmean(right, axis=2)
    expected = (shares * (1 - shares)).mean() / 99
    low, high = images_interval(right)
    assert image_parts(right).run == pytest.approx(expected)
    assert 0.7 * expected < low < expected < high < 1.3 * expected
    assert image_parts(right).common == 0


def test_of_published_images_most_is_common() -> None:
    """What all networks fail on stays, however many there are."""
    luck = image_parts(answers(np.random.default_rng(2), "published"))
    assert luck.common > 3 * abs(luck.split) + 3 * abs(luck.seed)


def test_images_that_are_all_alike_have_no_interval() -> None:
    assert image_parts(np.ones((2, 3, 50))) == (0, 0, 0, 0, 0)
    assert np.isnan(images_interval(np.ones((2, 3, 50)))[1])


def test_a_part_that_is_known_is_taken_off() -> None:
    left = Component(5.0, 1.0, 9.0).without(2.0)
    assert (left.variance, left.low, left.high) == (3, 0, 7)


def test_the_interval_holds_the_estimate_where_the_part_that_is_known_is_negative() -> None:
    left = Component(-5.0, 0.0, 9.0).without(-2.0)
    assert left == Component(-3.0, 0.0, 11.0)
    assert Component(1.0, 0.0, 9.0).without(-2.0) == Component(3.0, 2.0, 11.0)


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
