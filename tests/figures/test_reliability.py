"""The reliability diagram: bars, gaps and counts are those of the bins, and nothing is cut off."""

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from src.figures import ReliabilityBins, reliability_diagram

Legible = Callable[[Figure], list[str]]


def bins(name: str, *, most: int = 12_345, some: int = 15) -> ReliabilityBins:
    counts = np.zeros(15, dtype=np.int64)
    counts[-some:] = np.linspace(1, most, some).astype(int)
    confidence = np.where(counts > 0, (np.arange(15) + 0.7) / 15, np.nan)
    return ReliabilityBins(name, counts, confidence, confidence**2, 0.1234)


@pytest.mark.parametrize("panels", [1, 2])
@pytest.mark.parametrize("title", ["resnet18 on 300 catsdogs test images", "a very long name " * 12])
def test_everything_is_legible(legible: Legible, panels: int, title: str) -> None:
    names = ["As trained", "With temperature 1.133"][:panels]
    shown = legible(reliability_diagram([bins(name) for name in names], title))
    assert {*names, "expected calibration error 0.1234", "12,345", "confidence", "accuracy", "images"} <= set(shown)


def test_bars_and_gaps_are_those_of_the_bins() -> None:
    panel = bins("As trained", some=5)
    upper, lower = reliability_diagram([panel]).axes[:2]
    heights = [bar.get_height() for bar in upper.patches if isinstance(bar, Rectangle)]
    np.testing.assert_allclose(heights, panel.accuracy[-5:])
    (gaps,) = [lines.get_segments() for lines in upper.collections]  # type: ignore[attr-defined]
    np.testing.assert_allclose([gap[0] for gap in gaps], np.stack([panel.confidence, panel.accuracy], axis=1)[-5:])
    np.testing.assert_allclose([gap[1] for gap in gaps], np.stack([panel.confidence] * 2, axis=1)[-5:])
    np.testing.assert_allclose([bar.get_height() for bar in lower.patches], panel.counts)  # type: ignore[attr-defined]


def test_one_bin_is_enough(legible: Legible) -> None:
    legible(reliability_diagram([bins("As trained", most=1, some=1)] * 2, "x"))
