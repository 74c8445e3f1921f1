"""Charts of shares end at 1, above which there is nothing, and what lies there is drawn whole."""

import pandas as pd
import pytest

from src import figures


@pytest.mark.parametrize(("accuracy", "ends"), [(1.0, True), (1.0000001, True), (0.98, True), (0.5, False)])
def test_no_axis_of_accuracies_goes_beyond_1(accuracy: float, ends: bool) -> None:
    epochs = {"epoch": [1, 2]}
    shares = pd.DataFrame(epochs | {"train/accuracy": [0.4, accuracy], "val/accuracy": [0.3, accuracy]})
    shares[["train/loss", "val/loss"]] = [[1.0, 0.9], [0.98, 0.99]]
    points = pd.DataFrame({"label": ["a", "b"], "score": [0.4, accuracy], "parameters": [10, 100]})
    costs = figures.cost_charts(points)
    assert costs is not None
    charts = {
        "curves": figures.curves(shares, 2, {"accuracy": "Accuracy", "loss": "Loss"}),
        "learning": figures.learning_curves({"a": [shares], "b": [shares]}),
        "many": figures.learning_curves({f"{n}": [shares] for n in range(8)}),
        "costs": costs,
    }
    for name, figure in charts.items():
        axes = next(one for one in figure.axes if one.lines)
        top = axes.get_ylim()[1]
        assert top == 1 if ends else top < 1, name
        drawn = [line for line in axes.lines if len(set(line.get_xdata())) > 1]  # not the mark of the best epoch
        assert not (ends and any(line.get_clip_on() for line in drawn)), name
    assert charts["curves"].axes[1].get_ylim()[1] > 1  # a loss goes on
