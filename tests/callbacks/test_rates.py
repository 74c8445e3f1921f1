"""Learning rates by step: each once, thinned evenly, and the same where a training was stopped in between."""

from itertools import pairwise

import pytest

from src.callbacks.rates import MOST, Rates


def test_each_step_counts_once() -> None:
    rates = Rates()
    for step in (1, 1, 2, 2, 3):  # two batches a step
        rates.add(step, 0.1 * step)
    assert rates.pairs == [(1, 0.1), (2, 0.2), (3, pytest.approx(0.3))]


@pytest.mark.parametrize("stopped", [7, MOST, MOST + 1, 3 * MOST])
def test_a_long_training_is_thinned_evenly_however_often_it_stops(stopped: int) -> None:
    whole, parts = Rates(), Rates()
    for step in range(1, 5 * MOST):
        if step == stopped:
            parts = Rates(parts.pairs)
        whole.add(step, step)
        parts.add(step, step)
    steps = [step for step, _ in whole.pairs]
    assert len(steps) <= MOST
    assert len({after - before for before, after in pairwise(steps)}) == 1
    assert (steps[0], parts.pairs) == (1, whole.pairs)
