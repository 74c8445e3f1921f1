"""Who leaves a race, who can't be told apart, and what choosing costs."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from src.selection.judge import alike, corrected, cut, most_promising, ranked, rounds_of
from src.selection.record import Measured


def measured(right: int, images: int = 200, loss: float = 1.0, shift: int = 0) -> Measured:
    """So many right answers, those behind the first `shift`."""
    answers: NDArray[np.bool_] = np.roll(np.arange(images) < right, shift)
    return Measured(10, 1.0, answers, np.full(images, loss, np.float32), 2.0, 1.0, 0.1, 0.01)


def test_accuracy_ranks_and_the_loss_settles_what_is_equal() -> None:
    figures = {"a": measured(150, loss=2), "b": measured(160), "c": measured(150, loss=1)}
    assert ranked(figures) == ["b", "c", "a"]


def test_of_those_about_as_accurate_the_least_loss_is_the_best() -> None:
    """Of 200 images 6 more right, on which two differ 10 times, are 1.9 standard errors; 2 more on 10 are 0.6."""
    first = measured(160, loss=0.6)
    other = replace(measured(158, loss=0.5), right=first.right ^ (np.arange(200) >= 154) & (np.arange(200) < 164))
    assert (first.accuracy - other.accuracy) * 200 == pytest.approx(2)
    assert ranked({"first": first, "other": other}) == ["other", "first"]
    far = replace(other, right=first.right ^ (np.arange(200) >= 152) & (np.arange(200) < 162))
    assert (first.accuracy - far.accuracy) * 200 == pytest.approx(6)
    assert ranked({"first": first, "far": far}) == ["first", "far"]
    unknown = replace(other, losses=np.full(200, np.nan, np.float32))
    assert ranked({"unknown": unknown, "first": first}) == ["first", "unknown"], "a loss that isn't finite"


def test_who_came_as_far_in_fewer_steps_is_the_most_promising() -> None:
    """`slow` is about as accurate after half of the steps; `far` isn't; a tenth fewer steps are about as few."""
    quick = measured(160, loss=0.5)
    slow = replace(measured(158, loss=0.6), right=quick.right ^ (np.arange(200) >= 154) & (np.arange(200) < 164))
    far = measured(100, loss=0.4)
    steps = {"quick": replace(quick, steps=100), "slow": replace(slow, steps=50), "far": replace(far, steps=10)}
    assert most_promising(steps) == ["slow", "quick", "far"]
    assert ranked(steps) == ["quick", "slow", "far"]
    assert most_promising(steps | {"slow": replace(slow, steps=90)}) == ["quick", "slow", "far"]
    assert cut(steps, tested=True).stay == ["slow"]


def test_of_three_one_stays() -> None:
    figures = {str(number): measured(100 + number) for number in range(12)}
    assert cut(figures, tested=True).stay == ["11", "10", "9", "8"]
    assert [rounds_of(count) for count in (1, 2, 3, 4, 9, 10, 12, 27, 28)] == [1, 1, 1, 2, 2, 3, 3, 3, 4]


def test_who_is_shown_to_be_worse_leaves_even_among_the_first_third() -> None:
    figures = {"best": measured(190), "near": measured(187), "far": measured(120), "last": measured(100)}
    assert cut(figures, tested=True).stay == ["best", "near"]
    figures["near"] = measured(150)
    decision = cut(figures, tested=True)
    assert decision.stay == ["best"]
    assert decision.worse == ["near", "far", "last"]
    first = cut(figures, tested=False)
    assert (first.stay, first.worse) == (["best", "near"], []), "in the first round a slow learner is far behind"


def test_the_set_of_equals_counts_paired_images() -> None:
    """Three more mistakes on the same images are nothing; twenty on top of the others' are."""
    figures = {"best": measured(180), "near": measured(177), "far": measured(150)}
    assert alike(figures, "best") == ["best", "near"]


def test_the_best_of_many_equals_is_no_better_than_they_are() -> None:
    """BBC-CV: among 20 coins the best looks far better than ½ on 100 images, and its correction doesn't."""
    random, bests, accuracies, held = np.random.default_rng(0), [], [], 0
    for seed in range(20):
        coins = [replace(measured(0), right=random.random(100) < 0.5, losses=random.random(100)) for _ in range(20)]
        found = corrected(coins, seed)
        assert found is not None
        accuracy, (low, high) = found
        bests.append(max(coin.accuracy for coin in coins))
        accuracies.append(accuracy)
        held += low < 0.5 < high
    assert np.mean(bests) > 0.58
    assert np.mean(accuracies) == pytest.approx(0.5, abs=0.03)
    assert held >= 19
    few = [replace(coin, right=coin.right[:10], losses=coin.losses[:10]) for coin in coins]
    assert corrected(few, seed=1) is None, "ten images say nothing"
