"""A study's answer: its figures in one sentence. `ANSWERS` holds the ways to answer, by `study.answer`.

Whether a difference is shown is decided in `difference_shown`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from operator import itemgetter

import numpy as np

from ..analysis.intervals import FEW_TESTED
from ..analysis.tasks import ONE_CLASS, Task
from ..tables import large_number
from .by_images import crossing
from .deeper import by_training_error, deeper
from .difference_shown import compare, is_shown, p_value, points
from .groups import Group
from .kept_maps import sharper
from .looking import on_objects
from .pretrained import pretrained_or_scratch
from .result import Result as Result
from .result import Row, score_of
from .variance_components import how_many, summed_up

ALIKE = 1.05
"""Networks whose parameters differ by less than this factor are equally large."""

TUNED = (
    *("optimizer", "scheduler", "trainer", "model", "label_smoothing", "freeze"),
    *("data.batch_size", "data.augment", "data.image_size", "data.balance"),
)
"""Settings, or groups of them, of which one takes the best; others are a question, such as `data.train_fraction`."""


def best(result: Result) -> str:
    """Say which group is best, and whether its lead over the next one is a difference."""
    table, task = result.table, result.task
    if len(table) == 1:
        return levels(result)
    if len(table) == 2 and result.comparisons:
        return f"{result.comparisons[0]}."
    first, second = table.to_dict("records")[:2]
    lead = next((comparison for comparison in result.comparisons if comparison.other == second["label"]), None)
    text = f"{first['label']} is best with {score_of(first, task)}{task.after}"
    if lead is None:
        return f"{text}, {second['label']} next with {score_of(second, task)}."
    return f"{text}; {lead}."


def cost(result: Result) -> str:
    """Say which group is best, what it costs, and what the smallest reaches; of equally large ones the fastest."""
    rows = result.table.to_dict("records")
    sizes = [row["parameters"] for row in rows]
    by, word = "parameters", "smallest"
    if max(sizes) <= ALIKE * min(sizes) and not any(np.isnan(row["latency_ms"]) for row in rows):
        by, word = "latency_ms", "fastest"
    first, cheapest = rows[0], min(rows, key=itemgetter(by))
    text = f"{best(result).rstrip('.')}; {first['label']} has {_costs(first)}"
    if cheapest is first:
        return f"{text}."
    return (
        f"{text}; {cheapest['label']}, the {word}, has {_costs(cheapest)} and reaches "
        f"{score_of(cheapest, result.task)}."
    )


def levels(result: Result) -> str:
    """Say how good each group is, and how good it was before training."""
    return "; ".join(_level(row, result.task) for row in result.table.to_dict("records")) + "."


def pretraining(result: Result) -> str:
    """Compare the largest pretrained network with the smallest from scratch, and say what each group reaches."""
    rows = {row["label"]: row for row in result.table.to_dict("records")}

    def size(group: Group) -> int:
        return int(rows[group.label]["parameters"])

    pretrained: list[Group] = []
    scratch: list[Group] = []
    for group in result.test_set.groups:
        (scratch if group.runs[0].config["model"].get("weights") is None else pretrained).append(group)
    if not pretrained or not scratch:
        return best(result)
    asked = {max(pretrained, key=size).label, min(scratch, key=size).label}
    groups = [group for group in result.test_set.groups if group.label in asked]  # the better one first
    verdicts = [f"{comparison}; " for comparison in compare(replace(result.test_set, groups=groups))[0]]
    reached = [f"{label} reaches {score_of(row, result.task)}" for label, row in rows.items()]
    return f"{''.join(verdicts)}{', '.join(reached)}."


def gap(result: Result) -> str:
    """Say which network overfits most, on few images and on many, and which one is best there."""
    task, fraction = result.task, "data.train_fraction"
    overfits, wins, title = (
        itemgetter(f"gap_{task.first}"),
        itemgetter(f"test_{task.first}"),
        task.score.title,
    )
    rows = result.table.to_dict("records")
    if fraction not in result.table:
        most = max(rows, key=overfits)
        does = "overfits most" if overfits(most) > 0 else "is nearest to overfitting"
        return f"{most['label']} {does}: train {title} minus validation {title} is {_gap(most, task)}; {best(result)}"
    try:
        shares = sorted({row[fraction] for row in rows}, key=float)
    except ValueError:  # one run doesn't say, or says what is no number
        return best(result)
    worst, winners, lead = [], [], None
    for share in shares:
        alike, size = [row for row in rows if row[fraction] == share], f"{100 * float(share):g} %"
        most, first = max(alike, key=overfits), max(alike, key=wins)
        worst.append(f"{most['model']} on {size} of the images ({_gap(most, task)})")
        winners.append(f"{first['model']} on {size} ({score_of(first, task)})")
        others = {row["label"] for row in alike if row is not first}
        leads = (c for c in result.comparisons if c.best == first["label"] and c.other in others)
        lead = next(leads, None)  # in the end that on most images
    verdict = f"; {lead}" if lead is not None else ""
    if (told := crossing(result)) is not None:
        return f"Train {title} minus validation {title} is largest with {', '.join(worst)}. {told}"
    return (
        f"Train {title} minus validation {title} is largest with {', '.join(worst)}; best on the test set are "
        f"{', '.join(winners)}{verdict}."
    )


def sharpness(result: Result) -> str:
    """Say which group is best, how small a part of the image holds its evidence, and how much is on the objects."""
    return f"{_sharp(result)}{on_objects(result)}"


def _sharp(result: Result) -> str:
    text, shares = best(result).rstrip("."), result.looks.shares
    if not shares:
        return f"{text}."
    said = [
        f"{100 * share:.0f} %{' of the image' * (not i)} with {label}"
        for i, (label, share) in enumerate(shares.items())
    ]
    text = f"{text}; half of a map's energy lies in {', '.join(said)}"
    found = sharper(*(result.looks.areas[label] for label in shares)) if len(shares) == 2 else None
    if found is None:
        return f"{text}."
    difference, low, high, p, images = found
    verdict = "a difference" if is_shown(p, low, high) else "no difference"
    apart = f"{abs(100 * difference):.1f} points {'more' if difference > 0 else 'less'} with {[*shares][1]}"
    known = f"95 % interval {points(low)} to {points(high)}" if low <= high else "no 95 % interval"
    interval = f"{known}, {images} validation image{'s' * (images != 1)}, "
    interval += f"Wilcoxon's signed-rank test: p {p_value(p)}"
    return f"{text}, {apart} ({interval}): {verdict} shown."


def depth(result: Result) -> str:
    """Say how the training error changes with depth, plain and residual, and how far the paper's figures are."""
    return by_training_error(result) or best(result)


def depth_by_arm(result: Result) -> str:
    """Say in each arm, pretrained and from scratch, say, whether the larger network is better, and after which time."""
    return deeper(result) or best(result)


def by_number_of_images(result: Result) -> str:
    """Say which arm is best with how many images, where the order changes, and what pretraining gains."""
    told = crossing(result)
    return best(result) if told is None else " ".join(filter(None, (told, pretrained_or_scratch(result))))


def luck(result: Result) -> str:
    """Say which part of the best one's lead is luck of what, and how many runs show a difference."""
    lead = next((sources for sources in result.sources if sources.minus), None)
    if lead is not None:
        return " ".join(filter(None, (summed_up(lead), how_many(lead))))
    return " ".join([best(result), *map(summed_up, result.sources[:1])])


ANSWERS: Mapping[str, Callable[[Result], str]] = {
    "best": best,
    "cost": cost,
    "levels": levels,
    "pretraining": pretraining,
    "gap": gap,
    "sharpness": sharpness,
    "depth": depth,
    "deeper": depth_by_arm,
    "crossing": by_number_of_images,
    "luck": luck,
}


def chosen_by_test(result: Result, answer: str) -> str | None:
    """Return what is to be said where the groups differ in what one tunes, and the best is named by its test figure."""
    differs = {key for group in result.test_set.groups for key in group.differs}
    tuned = sorted(key for key in differs if key.partition(".")[0] in TUNED or key in TUNED)
    if answer != "best" or not tuned or len(result.table) < 2:
        return None
    title = result.task.score.title
    return f"To choose {' and '.join(tuned)} by test {title} makes that figure optimistic: choose by validation."


def few_tested(result: Result) -> list[str]:
    """Return a hint at folds where few images are tested, and each run tests a part of them."""
    run = result.test_set.groups[0].runs[0]
    images = int(run.per_class["support"].sum())
    if images >= FEW_TESTED or "folds" in result.table or result.test_set.task is not ONE_CLASS:
        return []
    return [f"Each run tests {images} images, and so few say little: data.folds=5 data.fold=0,1,2,3,4 tests all."]


def _level(row: Row, task: Task) -> str:
    before, baseline = "", row[f"baseline_{task.first}"]
    if not np.isnan(baseline):
        before = f" after training and {100 * baseline:.1f} % before"
    macro = {
        metric.title: 100 * row[f"test_{name}"] for name, metric in task.scores.items() if metric.average == "macro"
    }
    known = ", ".join(f"{name} {value:.1f}" for name, value in macro.items() if not np.isnan(value))
    return f"{row['label']}: {score_of(row, task)}{task.after}{before} (macro {known} %)"


def _costs(row: Row) -> str:
    macs = "" if np.isnan(row["macs"]) else f", {large_number(row['macs'])} MACs"
    latency = "" if np.isnan(row["latency_ms"]) else f", {row['latency_ms']:.1f} ms an image"
    return f"{large_number(row['parameters'])} parameters{macs}{latency}"


def _gap(row: Row, task: Task) -> str:
    mean, sd = row[f"gap_{task.first}"], row[f"gap_{task.first}_sd"]
    return f"{points(mean)}{'' if np.isnan(sd) else f' ± {100 * sd:.1f}'} points"
