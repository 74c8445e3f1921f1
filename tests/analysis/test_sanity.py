"""What the sanity check says in words: whether maps depend on what was learned."""

import numpy as np
import pytest

from src.analysis.maps import Agreement, agreements
from src.analysis.sanity import controls, sanity_verdict

NAN = float("nan")


def row(stage: str, correlation: float, reach: float = 0.05) -> Agreement:
    low, high = correlation - reach, correlation + reach
    return Agreement(stage, correlation, low, high, correlation, low, high, 50, ())


@pytest.mark.parametrize(
    ("correlation", "reach", "word"),
    [
        (0.65, 0.05, "hardly change"),
        (0.52, 0.05, "change in part"),
        (0.1, 0.05, "change in part"),
        (0.04, 0.05, "change"),
        (-0.6, 0.05, "change"),
        (0.65, NAN, "hardly change"),
    ],
)
def test_the_lower_end_decides_of_the_last_stage(correlation: float, reach: float, word: str) -> None:
    found = controls([row("fc", 0.9), row("conv1", correlation, reach), row("another image", 0.2)])
    assert {name: control.word for name, control in found.items()} == {"random weights": word}


def test_maps_that_stay_are_said_to_say_little_whatever_the_blob() -> None:
    rows = [row("fc", 0.8), row("conv1", 0.65), row("shuffled labels", 0.74), row("another image", 0.21)]
    assert sanity_verdict(rows) == (
        "Sanity: they hardly change when the network's weights are random (rank correlation +0.65 [+0.60, +0.70], more "
        "than different images' maps, +0.21 [+0.16, +0.26]); they hardly change for one trained on shuffled labels "
        "(rank correlation +0.74 [+0.69, +0.79], more than different images' maps, +0.21 [+0.16, +0.26]). Such maps "
        "say little about what was learned, however they do against a blob (Adebayo et al. 2018)."
    )
    alike = sanity_verdict([row("conv1", 0.65), row("another image", 0.62)])
    assert "+0.65 [+0.60, +0.70], not told apart from different images' maps, +0.62" in alike


def test_the_words_go_with_the_figures() -> None:
    said = sanity_verdict([row("conv1", 0.02), row("shuffled labels", 0.2), row("another image", 0.3)])
    assert "they change when the network's weights are random" in said
    assert "they change in part for one trained on shuffled labels (rank correlation +0.20 [+0.15, +0.25], not" in said
    assert said.endswith("What stays does not come from what was learned.")
    assert sanity_verdict([row("conv1", 0.02)]).endswith("So they depend on what was learned.")
    assert sanity_verdict([row("conv1", NAN), row("another image", 0.3)]) == ""


def test_of_real_maps() -> None:
    """Maps that a control repeats, and such as have nothing in common."""
    random = np.random.default_rng(0)
    maps, others = random.normal(size=(2, 40, 6, 6))
    rows = agreements(maps, [("conv1", maps + 0.1 * others), ("shuffled labels", others)])
    assert [control.word for control in controls(rows).values()] == ["hardly change", "change"]
