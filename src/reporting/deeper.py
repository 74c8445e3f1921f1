"""Is a deeper network better? By training error, beside what was published, by test images, by seconds of training."""

from collections.abc import Sequence
from dataclasses import replace
from math import sqrt

import numpy as np
from scipy.special import stdtr, stdtrit

from .. import figures
from ..analysis.intervals import LEVEL, NONE
from ..analysis.significance import holm
from ..analysis.tasks import ONE_CLASS
from ..figures import Points
from ..frames import pd
from ..tables import duration
from .arms import PRETRAINED, without
from .class_pictures import Drawing
from .difference_shown import Comparison, compare, is_shown, p_value, points
from .document import Picture
from .finished import Run
from .groups import Group
from .result import Result, Row

PUBLISHED = {20: 8.75, 32: 7.51, 44: 7.17, 56: 6.97, 110: 6.43}
"""Test error in percent on CIFAR-10 by layers: He et al. 2015, table 6; of 110 layers the best of five runs."""

NAMES = {"plain": "plain", "resnet": "residual"}


def by_training_error(result: Result) -> str | None:
    """Say how the training error changes from the shallowest to the deepest network, plain and residual.

    None where that can't be said: without such networks, or where another setting differs, too.
    """
    if result.task is not ONE_CLASS:  # an mAP has no error that would be its rest
        return None
    layers = result.table["model"].str.extract(r"(?:plain|resnet)(\d+)$", expand=False)
    table = result.table.assign(layers=layers.astype(float)).dropna(subset="layers")  # not wide_resnet50_2
    ends: dict[str, tuple[Row, Row]] = {}
    for kind in NAMES:
        rows = table[table["model"].str.contains(kind)].sort_values("layers")
        if rows["layers"].duplicated().any():
            return None
        if len(rows) > 1:
            first, *_, last = rows.to_dict("records")
            ends[kind] = first, last
    if not ends:
        return None
    tested = {kind: _welch(*pair, "train_accuracy") for kind, pair in ends.items()}
    corrected = iter(holm([p for p, *_ in tested.values() if p == p]))
    tested = {kind: (next(corrected) if p == p else p, low, high) for kind, (p, low, high) in tested.items()}
    text = "; ".join(_from_shallow_to_deep(*ends[kind], NAMES[kind], *tested[kind]) for kind in ends)
    return f"At the best epoch, {text}.{beside_the_paper(result, table)}"


def _from_shallow_to_deep(first: Row, last: Row, kind: str, p: float, low: float, high: float) -> str:
    shallow, deep = 100 * (1 - first["train_accuracy"]), 100 * (1 - last["train_accuracy"])
    if p == p:
        sure = (
            f"95 % interval {points(low, '+')} to {points(high, '+')} points, Welch's t-test over seeds: p {p_value(p)}"
        )
    else:
        sure = "no test of a single run" if min(first["n"], last["n"]) == 1 else "no test of runs that don't vary"
    shown = is_shown(p, low, high)
    word = "is" if not shown else "rises from" if deep > shallow else "falls from"
    joint = "and" if word == "is" else "to"
    return (
        f"the training error of {kind} networks {word} {shallow:.1f} % with {first['layers']:.0f} layers {joint} "
        f"{deep:.1f} % with {last['layers']:.0f} ({sure}{'' if shown else ', no difference shown'})"
    )


def beside_the_paper(result: Result, table: pd.DataFrame) -> str:
    """Say how far the test errors of CIFAR ResNets on CIFAR-10 are from the paper's; nothing of other networks."""
    groups = {group.label: group for group in result.test_set.groups}
    said, ours = [], dict[str, None]()
    for row in table.sort_values("layers").to_dict("records"):
        group = groups.get(row["label"])
        if group is None or group.runs[0].config["data"]["name"] != "cifar10":
            continue
        if not row["model"].startswith("cifar_resnet") or row["layers"] not in PUBLISHED:
            continue
        error, sd = 100 * (1 - row["test_accuracy"]), 100 * row["test_accuracy_sd"]
        spread = "" if np.isnan(sd) else f" ± {sd:.1f}"
        published = PUBLISHED[int(row["layers"])]
        away = f"{abs(error - published):.1f} points {'more' if error > published else 'less'}"
        ours |= dict.fromkeys(_trained(run) for run in group.runs)
        said.append(f"{error:.1f}{spread} % with {row['layers']:.0f} layers ({published} %: {away})")
    here = ", ".join(filter(None, ours))
    paper = f"He et al. 2015, 64,000 steps of 128 on 45,000 images{here and f'; here {here}'}"
    return f" Residual test error beside the paper's ({paper}): {', '.join(said)}." if said else ""


def _trained(run: Run) -> str:
    images, epochs = run.folder.train_images[0], run.metrics["epochs"]
    return f"{epochs:.0f} epochs of {images:,}" if images else ""


def _welch(one: Row, other: Row, column: str) -> tuple[float, float, float]:
    """Return Welch's p-value of two groups' means over their runs, and the 95 % interval of `one` minus `other`.

    Of errors, 1 − `column`, that is `other` minus `one`. NaN where a group has a single run, or no run differs.
    """
    sizes = [(row[f"{column}_sd"] ** 2 / row["n"], row["n"]) for row in (one, other)]
    variance = sum(part for part, _ in sizes)
    if not variance > 0:
        return float("nan"), *NONE
    freedom = variance**2 / sum(part**2 / (n - 1) for part, n in sizes)
    difference, error = one[column] - other[column], sqrt(variance)
    reach = float(stdtrit(freedom, (1 + LEVEL) / 2)) * error
    return 2 * float(stdtr(freedom, -abs(difference) / error)), difference - reach, difference + reach


# One arm after the other ----------------------------------------------------------------------------------------------


def deeper(result: Result) -> str | None:
    """Compare in each arm the largest network with the smallest, and say which is ahead after how many seconds.

    None where no arm has two networks.
    """
    arms = _by_size(result)
    pairs = {label: (groups[0], groups[-1]) for label, groups in arms.items() if len(groups) > 1}
    if not pairs:
        return None
    found = {label: _against(result, *pair) for label, pair in pairs.items()}
    corrected = iter(holm([lead.p for lead in found.values() if lead is not None]))
    leads = {label: replace(lead, p_holm=next(corrected)) for label, lead in found.items() if lead is not None}
    said = [
        f"{_of(label)}{leads.get(label) or f'{small.model} and {large.model} have no seed in common: not compared'}"
        for label, (small, large) in pairs.items()
    ]
    said += [f"{_of(label)}{groups[0].model} alone" for label, groups in arms.items() if len(groups) == 1]
    times = [f"{_of(label)}{ahead}" for label in pairs if (ahead := _ahead(arms[label], result))]
    text = "; ".join(said) + "."
    if times:
        title = f"validation {result.task.score.title}"
        text += f" By seconds of training, the best so far in {title} at an epoch's end"
        text += f" (means over the runs, not tested): {'; '.join(times)}."
    begins = text.startswith(tuple(PRETRAINED.values()))  # a network's name stays as it is
    return f"{text[0].upper()}{text[1:]}" if begins else text


def _of(arm: str) -> str:
    return f"{arm}, " if arm else ""


def _by_size(result: Result) -> dict[str, list[Group]]:
    """Return the groups of each arm, small networks first; the only arm has no name."""
    sizes = {row["label"]: row["parameters"] for row in result.table.to_dict("records")}
    arms = without(result.test_set, "model")
    arms = {label: sorted(groups, key=lambda group: sizes[group.label]) for label, groups in arms.items()}
    return arms if len(arms) > 1 else {"": next(iter(arms.values()))}


def _against(result: Result, small: Group, large: Group) -> Comparison | None:
    """Return what the small network leads the large one by, below 0 where the large one is better."""
    pair = sorted((small, large), key=lambda group: -group.score)
    found = compare(replace(result.test_set, groups=pair))[0]
    if not found:
        return None
    lead = replace(found[0], best=small.model, other=large.model)
    if pair[0] is small:
        return lead
    return replace(lead, difference=-lead.difference, low=-lead.high, high=-lead.low)


def _ahead(groups: Sequence[Group], result: Result) -> str:
    """Return `resnet18 after 20 s, up to 81.2 %, from 5 min on resnet50, up to 88.0 %`; "" without times."""
    if any("seconds" not in run.history for group in groups for run in group.runs):
        return ""
    marks = sorted(
        (seconds, score, group.model)
        for group in groups
        for seconds, score in zip(*_by_seconds(group, result.task.first)[:2], strict=True)
        if np.isfinite(score)
    )
    told, leader, best = [], "", -np.inf
    for seconds, score, model in marks:
        if score > best:
            best = score
            if model != leader:
                start = f"from {duration(seconds)} on {model}" if leader else f"{model} after {duration(seconds)}"
                told.append([start, score])
            leader = model
            told[-1][1] = score
    return ", ".join(f"{start}, up to {100 * score:.1f} %" for start, score in told)


def _by_seconds(group: Group, first: str) -> Points:
    """Return validation scores by the seconds until each epoch's end: means over the runs, and their sd."""
    tables = [
        pd.DataFrame({"at": run.history["seconds"].astype(float).cumsum(), "score": run.history[f"val/{first}"]})
        for run in group.runs
    ]
    epochs = pd.concat(tables).groupby(level=0)
    means, sds = epochs.mean(), epochs["score"].std(ddof=1)
    return Points(*(np.array(values, float) for values in (means["at"], means["score"], sds)))


def seconds_chart(result: Result, draw: Drawing) -> list[Picture]:
    """Draw validation scores by seconds of training; nothing of one group, or where an epoch has no time."""
    groups = result.test_set.groups
    if len(groups) < 2 or any("seconds" not in run.history for group in groups for run in group.runs):
        return []
    title = f"Validation {result.task.score.title}"
    names = {group.label: arm for arm, groups in without(result.test_set).items() for group in groups}
    lines: dict[str, Points] = {}
    for group in groups:
        line = _by_seconds(group, result.task.first)
        known = np.isfinite(line.mean) & (line.x > 0)
        if not known.any():
            return []
        lines[names[group.label]] = Points(*(values[known] for values in line))
    chart = figures.line_charts({title: lines}, "seconds of training", [title])
    caption = (
        f"{title} against seconds of training, at each epoch's end (bars: ± sd). A shorter training, whose rate falls "
        "sooner, may reach more in the same time"
    )
    return draw(chart, "by_seconds", caption)
