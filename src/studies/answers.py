"""A study's answer: its figures in one sentence. `ANSWERS` holds the ways to answer, by `study.answer`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np

from src.frames import pd
from src.studies.comparison import Comparison, compare
from src.studies.groups import Group, TestSet
from src.tables import large_number

SIGNIFICANT = 0.05

Row = Mapping[Any, Any]
"""One group's figures, by the columns of the table."""


@dataclass(frozen=True, eq=False)
class Result:
    """What is known about the groups of one test set.

    `table` is its `src.studies.table.summary`, `sharpness` for each label the mean smallest share of an image, in
    (0, 1], that holds half of a Grad-CAM map's energy; empty where no maps were kept.
    """

    test_set: TestSet
    table: pd.DataFrame
    comparisons: Sequence[Comparison]
    sharpness: Mapping[str, float]


def best(result: Result) -> str:
    """Which group is best, and what its lead over the next one is worth."""
    table = result.table
    if len(table) == 1:
        return levels(result)
    if len(table) == 2 and result.comparisons:
        return f"{_verdict(result.comparisons[0])}."
    first, second = table.to_dict("records")[:2]
    lead = next((comparison for comparison in result.comparisons if comparison.other == second["label"]), None)
    text = f"{first['label']} is best with {_accuracy(first)} of the test images"
    if lead is None:
        return f"{text}, {second['label']} next with {_accuracy(second)}."
    return f"{text}; {_verdict(lead)}."


def cost(result: Result) -> str:
    """Which group is best and what its lead is worth; what it costs, and what the smallest one gives for what."""
    rows = result.table.to_dict("records")
    first, smallest = rows[0], min(rows, key=itemgetter("parameters"))
    text = f"{best(result).rstrip('.')}; {first['label']} has {_costs(first)}"
    if smallest is first:
        return f"{text}."
    return f"{text}, the smallest, {smallest['label']}, {_costs(smallest)} and reaches {_accuracy(smallest)}."


def levels(result: Result) -> str:
    """How good each group is, and how good it was before training."""
    return "; ".join(map(_level, result.table.to_dict("records"))) + "."


def pretraining(result: Result) -> str:
    """The best group against the best of those that began with other weights."""
    groups = {group.label: group for group in result.test_set.groups}
    first, *others = list(groups.values())
    weights = _weights(first)
    rival = next((group for group in others if _weights(group) != weights), None)
    lead = next((c for c in result.comparisons if rival is not None and c.other == rival.label), None)
    if lead is None:
        return best(result)
    figures = {row["label"]: _accuracy(row) for row in result.table.to_dict("records")}
    return f"{lead.best} reaches {figures[lead.best]} and {lead.other} {figures[lead.other]}; {_verdict(lead)}."


def gap(result: Result) -> str:
    """Where training accuracy is furthest above validation accuracy, on few images and on many, and who wins there."""
    fraction, overfits, wins = "data.train_fraction", itemgetter("gap_accuracy"), itemgetter("test_accuracy")
    rows = result.table.to_dict("records")
    if fraction not in result.table:
        most = max(rows, key=overfits)
        return f"{most['label']} overfits most: train accuracy is {_gap(most)} above validation; {best(result)}"
    worst, winners, lead = [], [], ""
    for share in sorted({row[fraction] for row in rows}, key=float):
        alike, size = [row for row in rows if row[fraction] == share], f"{100 * float(share):g} %"
        most, first = max(alike, key=overfits), max(alike, key=wins)
        worst.append(f"{most['model']} on {size} of the images ({_gap(most)})")
        winners.append(f"{first['model']} on {size} ({_accuracy(first)})")
        labels = {row["label"] for row in alike}
        groups = [group for group in result.test_set.groups if group.label in labels]
        comparisons = compare(TestSet(result.test_set.name, groups))[0] if len(groups) > 1 else []
        lead = f"; on {size} {_verdict(comparisons[0])}" if comparisons else ""
    return (
        f"Furthest apart are train and validation accuracy of {', '.join(worst)}; best on the test set are "
        f"{', '.join(winners)}{lead}."
    )


def sharpness(result: Result) -> str:
    """What the difference in accuracy is worth, and in how small a part of the image the evidence lies."""
    shares = [
        f"{100 * result.sharpness[label]:.0f} % with {label}"
        for label in result.table["label"]
        if label in result.sharpness
    ]
    text = best(result).rstrip(".")
    return f"{text}; half of a map's energy lies in {', '.join(shares)} of the image." if shares else f"{text}."


def depth(result: Result) -> str:
    """How the error on training images changes from the shallowest to the deepest network, plain and residual."""
    table = result.table.assign(layers=result.table["model"].str.extract(r"(\d+)$", expand=False).astype(float))
    parts = []
    for kind in ("plain", "resnet"):
        rows = table[table["model"].str.contains(kind)].sort_values("layers")
        if len(rows) < 2:
            continue
        errors = 100 * (1 - rows["train_accuracy"].to_numpy())
        errors_of_means = (rows["train_accuracy_sd"].fillna(np.inf) / np.sqrt(rows["n"])).to_numpy()
        spread = 100 * np.hypot(*errors_of_means[[0, -1]])
        change = errors[-1] - errors[0]
        word = "rises" if change > 0 else "falls"
        # Two standard errors of the difference; of single runs nobody knows the spread.
        sure = "" if abs(change) > 2 * spread else ", which the spread over seeds doesn't show to be more than chance"
        names = {"plain": "plain", "resnet": "residual"}
        parts.append(
            f"the training error of {names[kind]} networks {word} from {errors[0]:.1f} % with "
            f"{rows['layers'].iloc[0]:.0f} layers to {errors[-1]:.1f} % with {rows['layers'].iloc[-1]:.0f}{sure}"
        )
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if parts else best(result)


ANSWERS: Mapping[str, Callable[[Result], str]] = {
    "best": best,
    "cost": cost,
    "levels": levels,
    "pretraining": pretraining,
    "gap": gap,
    "sharpness": sharpness,
    "depth": depth,
}


def _verdict(comparison: Comparison) -> str:
    """`resnet50 is 0.4 points below resnet18 (95 % interval −1.1 to 0.3): no difference shown`."""
    shown = comparison.p_holm < SIGNIFICANT and not comparison.low <= 0 <= comparison.high
    low, high = sorted((-100 * comparison.low, -100 * comparison.high))
    side = "below" if comparison.difference > 0 else "above"
    apart = f"{abs(100 * comparison.difference):.1f} points {side}" if comparison.difference else "equal to"
    runs = "of one seed each" if comparison.replicates == 1 else f"of {comparison.replicates} pairs of runs"
    return (
        f"{comparison.other} is {apart} {comparison.best} (95 % interval {_signed(low)} to "
        f"{_signed(high)}, {runs}): {'a difference' if shown else 'no difference'} shown"
    )


def _level(row: Row) -> str:
    before = ""
    if not np.isnan(row["baseline_accuracy"]):
        before = f" after training and {100 * row['baseline_accuracy']:.1f} % before"
    macro = ", ".join(f"{name} {100 * row[f'test_{name}']:.1f}" for name in ("precision", "recall", "f1"))
    return f"{row['label']}: {_accuracy(row)} of the test images{before} (macro {macro} %)"


def _costs(row: Row) -> str:
    latency = "" if np.isnan(row["latency_ms"]) else f", {row['latency_ms']:.1f} ms an image"
    return f"{large_number(row['parameters'])} parameters, {large_number(row['macs'])} MACs{latency}"


def _accuracy(row: Row) -> str:
    spread = "" if np.isnan(row["test_accuracy_sd"]) else f" ± {100 * row['test_accuracy_sd']:.1f}"
    return f"{100 * row['test_accuracy']:.1f}{spread} %"


def _gap(row: Row) -> str:
    return f"{100 * row['gap_accuracy']:.1f} points"


def _signed(points: float) -> str:
    return f"{round(points, 1) + 0.0:.1f}".replace("-", "−")  # + 0.0: of −0.0 it makes 0.0


def _weights(group: Group) -> str | None:
    return group.runs[0].config["model"].get("weights")
