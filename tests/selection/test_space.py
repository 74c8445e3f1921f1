"""What Optuna proposes: within the ranges, the same again after a kill, and better than chance."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from src.errors import InputError
from src.selection.space import Span, Told, is_behind, propose, read_spans
from tests.support.composed import check_overrides

SPANS = {"lr": Span(0.005, 0.5, log=True), "mixup": Span(0.0, 0.4, log=False)}


def distance(values: Mapping[str, float]) -> float:
    """How far a trial is from the best, which has a rate of 0.2 and no mixup."""
    return abs(math.log(values["lr"] / 0.2)) + values["mixup"]


def tried(trials: int, seed: int, score: Callable[[Mapping[str, float]], float]) -> list[Told]:
    told: list[Told] = []
    for _ in range(trials):
        values = propose(SPANS, told, seed)
        told.append(Told(values, score(values), score(values)))
    return told


def test_what_is_proposed_lies_in_the_ranges_and_can_be_typed() -> None:
    for one in tried(12, 1, distance):
        for name, value in one.values.items():
            assert SPANS[name].low <= value <= SPANS[name].high
            assert value == float(f"{value:.3g}")


def test_a_search_that_was_stopped_asks_what_it_would_have_asked() -> None:
    told = tried(10, 1, distance)
    for number in (1, 5, 9):
        assert propose(SPANS, told[:number], 1) == told[number].values
    assert propose(SPANS, [], 2) != told[0].values


def test_trials_come_nearer_to_the_best() -> None:
    first, last = [], []
    for seed in range(3):
        distances = [distance(one.values) for one in tried(24, seed, lambda values: -distance(values))]
        first += distances[:6]
        last += distances[-6:]
    assert sum(last) < 0.6 * sum(first)


def test_one_that_was_ended_or_failed_counts_as_worse() -> None:
    """All large rates fail: none of them is proposed for long."""
    told: list[Told] = []
    for _ in range(24):
        values = propose(SPANS, told, 1)
        told.append(Told(values, None, None) if values["lr"] > 0.05 else Told(values, 0.5, 0.5))
    assert sum(one.values["lr"] > 0.05 for one in told[-8:]) <= 2


def test_who_is_below_the_median_of_the_whole_ones_is_behind() -> None:
    values = {"lr": 0.1, "mixup": 0.1}
    told = [Told(values, score, 0.9) for score in (0.3, 0.4, 0.5, 0.6, 0.7)]
    assert is_behind(SPANS, told, values, 0.45)
    assert not is_behind(SPANS, told, values, 0.55)
    assert not is_behind(SPANS, told[:3], values, 0.1)  # too few to tell
    assert not is_behind(SPANS, [*told[:3], *[Told(values, 0.9, None)] * 9], values, 0.1)


def test_the_ranges_of_the_configuration() -> None:
    words = ["space=lr", "model=simple_cnn", "space.mixup=null", "space.lr.low=0.5"]
    space: Any = check_overrides("search", words).space
    spans = read_spans(space, 0.05)
    assert spans["lr"] == Span(0.025, 0.5, log=True)
    assert [*spans] == ["lr", "weight_decay", "label_smoothing"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["space.lr.low=20"], "from low=20 to high=10 is empty"),
        (["space.weight_decay.low=0"], "space.weight_decay with log=true can't begin at low=0"),
        (["space.label_smoothing.high=1"], "space.label_smoothing.high=1 is not possible: take at most 0.99"),
        (["space.optimizer=adam"], "space.optimizer=adam is not possible"),
        (["space.trials=1"], "space.trials=1 is not possible"),
        ([f"space.{name}=null" for name in ("lr", "weight_decay", "mixup", "label_smoothing")], "space has no range"),
    ],
)
def test_ranges_that_are_none(words: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_overrides("search", ["space=lr", "model=simple_cnn", *words])
