"""The figure of faithfulness and sanity: what stands in it, and that nothing is cut off."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from src.figures import faithfulness_chart, to_image

FRACTIONS = np.linspace(0, 1, 11)


def curves(images: int = 6) -> dict[str, dict[str, np.ndarray]]:
    noise = np.random.default_rng(0).normal(0, 0.05, (images, 11))
    falling = {"map": 0.9 - 0.8 * FRACTIONS**0.5 + noise, "random": 0.9 - 0.8 * FRACTIONS + noise}
    falling |= {"centre blob": 0.9 - 0.8 * FRACTIONS + 0 * noise, "inverted": 0.9 - 0.8 * FRACTIONS**2 + noise}
    return {"deletion": falling, "insertion": {name: values[:, ::-1] for name, values in falling.items()}}


def agreement(stages: list[str]) -> pd.DataFrame:
    rows = [
        {"stage": stage, "correlation": 1 / (2 + i), "low": 1 / (2 + i) - 0.1, "high": 1 / (2 + i) + 0.1}
        | {"absolute": 0.3, "absolute_low": 0.2, "absolute_high": 0.4, "draws": (0.1, 0.2)}
        for i, stage in enumerate(stages)
    ]
    return pd.DataFrame(rows)


STAGES = ["fc", "layer4", "layer3", "layer2", "layer1", "conv1", "shuffled labels", "another image", "centre blob"]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def inside(figure: Figure) -> bool:
    to_image(figure)
    left, bottom, right, top = figure.get_tightbbox().extents
    width, height = figure.get_size_inches()
    return bool(min(left, bottom) >= -0.01 and right <= width + 0.01 and top <= height + 0.01)


def test_nothing_is_cut_off_at_1200_pixels() -> None:
    figure = faithfulness_chart(FRACTIONS, curves(), agreement(STAGES), title="a run $x$")
    assert to_image(figure).shape[1] == 1200
    assert inside(figure)
    assert "a run $x$" in texts(figure)


def test_areas_stand_in_the_legends() -> None:
    drawn = texts(faithfulness_chart(FRACTIONS, curves()))
    assert drawn.count("centre blob 0.500") == 2, "0.9 − 0.8 / 2, of deletion and of insertion"
    assert "Sanity" not in drawn


def test_explanations_differ_in_more_than_colour() -> None:
    lines = faithfulness_chart(FRACTIONS, curves()).axes[0].lines
    assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) == 4
    assert len({line.get_color() for line in lines}) == 4


def test_images_that_were_skipped_are_left_out() -> None:
    whole, holed = curves(), curves()
    for by_name in holed.values():
        for values in by_name.values():
            values[2:] = np.nan
    figure = faithfulness_chart(FRACTIONS, holed)
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), whole["deletion"]["map"][:2].mean(axis=0))


@pytest.mark.parametrize("images", [1, 3])
def test_bands_are_those_of_the_mean_and_within_0_and_1(images: int) -> None:
    axes = faithfulness_chart(FRACTIONS, curves(images)).axes[0]
    values = curves(images)["deletion"]["map"]
    low, high = (axes.collections[0].get_paths()[0].vertices[:, 1].__getattribute__(end)() for end in ("min", "max"))
    error = 4.3027 * values.std(axis=0, ddof=1) / np.sqrt(3) if images > 1 else 0  # t of 2 degrees of freedom
    assert low == pytest.approx(max(0, (values.mean(axis=0) - error).min()))
    assert high == pytest.approx(min(1, (values.mean(axis=0) + error).max()))


def test_references_are_levels_and_shuffled_labels_no_step_of_the_cascade() -> None:
    axes = faithfulness_chart(FRACTIONS, curves(), agreement(STAGES)).axes[2]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == STAGES[:7]
    longest = max(len(line.get_xdata()) for line in axes.lines if line.get_linestyle() == "-")
    levels = {line.get_label(): line.get_ydata()[0] for line in axes.lines if line.get_label() in STAGES}
    assert longest < 7 or not any(len(line.get_xdata()) == 7 and line.get_linestyle() == "-" for line in axes.lines)
    assert levels == {"another image": pytest.approx(1 / 9), "centre blob": pytest.approx(1 / 10)}


def test_silenced_maps_and_few_stages() -> None:
    table = agreement(["1.a.long.name.of.a.layer", "conv1"])
    table.loc[1, ["correlation", "low", "high"]] = np.nan
    assert inside(faithfulness_chart(FRACTIONS, curves(), table))
