"""One test set as sections of the report: its tables as text, and its pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .. import figures
from ..analysis.metrics import Metric
from ..analysis.tasks import Task
from ..errors import InputError, RunError, first_line
from ..frames import pd
from ..tables import duration, large_number
from .answers import few_tested
from .by_images import images_section
from .class_pictures import Drawing
from .deeper import seconds_chart
from .difference_shown import p_value, points
from .disputed import disagreement
from .document import Picture, Section, Table
from .groups import Group, TestSet
from .looking import looking_section
from .measured_maps import faithfulness_section
from .measured_shortcuts import shortcuts_section
from .result import Result
from .single_runs import single_runs
from .tasks import parts_of
from .variance_components import variance_section

PICTURES = (
    *(
        "by_images",
        "by_seconds",
        "class_f1",
        "confusion_matrices",
        "costs",
        "disagreements",
        "gradcam",
        "gradcam_epochs",
    ),
    *("gradcam_movement", "learning_curves", "object_energy", "class_average_precision", "roc", "variance_components"),
)


def describe(result: Result, draw: Drawing, name: str) -> list[Section]:
    """Draw the pictures of one test set and return its sections; `name` tells several test sets apart."""
    groups = result.test_set.groups
    task = result.test_set.task
    tables = [summary_table(result.table, task), *_comparisons(result), cost_table(result.table)]
    tables.append(single_runs(result.test_set))
    notes = [_legend(result), *_machines(groups), *few_tested(result)]
    sections = [
        Section(result.test_set.name, notes, tables, _costs(result, draw)),
        *images_section(result, draw),
        *variance_section(result.sources, draw),
        Section("Learning", pictures=[*_curves(groups, task, draw), *seconds_chart(result, draw)]),
        Section(task.classes.capitalize(), pictures=parts_of(task).classes(result.test_set, draw)),
        _disagreements(result, draw),
        *_gradcams(result, draw),
        *looking_section(result, draw),
        *faithfulness_section(groups),
        *shortcuts_section(groups),
    ]
    first, *others = sections
    return [first, *(replace(section, title=f"{section.title} · {name}") if name else section for section in others)]


def _legend(result: Result) -> str:
    runs = result.table["n"]
    apart = "seed or fold" if "folds" in result.table else "seed"
    count = f"{runs.max()}" if runs.min() == runs.max() else f"{runs.min()} to {runs.max()}"
    each = "one run" if runs.max() == 1 else f"{count} runs that differ only in their {apart}"
    task, table = result.test_set.task, result.table
    others = [m.title for name, m in task.scores.items() if not m.percent and table[f"test_{name}"].notna().any()]
    unit = "in percent" + (f" except for {' and '.join(others)}" if others else "")
    there, classes = with_images(result.test_set)
    macro = (
        f" Macro averages are over the {there} of {classes} {task.classes} that have test images."
        if there < classes
        else ""
    )
    return (
        f"Each row is {each}, best first: mean ± standard deviation over the runs, {unit}. The gap is between "
        "training images, measured without augmentation, and validation images at the best epoch: above 0 in "
        f"{task.score.title}, or below 0 in loss, a network knows its training images better.{macro}"
    )


def with_images(test_set: TestSet) -> tuple[int, int]:
    """Return how many classes have test images in any run, and how many there are."""
    tables = [run.per_class["support"].to_numpy() > 0 for group in test_set.groups for run in group.runs]
    return int(np.any(tables, axis=0).sum()), len(test_set.class_names)


def _machines(groups: Sequence[Group]) -> list[str]:
    """Return warnings if what depends on the machine was measured on several machines, or beside other runs."""
    runs = [run for group in groups for run in group.runs]
    costs = {f"{run.cost.get('device')}, {run.cost.get('threads')} threads" for run in runs if run.cost is not None}
    hardware = {name for run in runs if (name := _hardware(run.record)) is not None}
    found = max(costs, hardware, key=len)
    said, most = [], max(run.at_once for run in runs)
    if len(found) > 1:
        machines = "; ".join(sorted(found))
        said.append(f"Latency and training time were measured on several machines and can't be compared: {machines}.")
    if most > 1:
        said.append(f"Up to {most} runs were trained at once: latency and training time were measured beside others.")
    return said


def _hardware(record: Mapping[str, Any]) -> str | None:
    known = record.get("hardware")
    hardware = known if isinstance(known, dict) else {}
    name = hardware.get("gpus") or hardware.get("cpu")
    return None if name is None else f"{name}, {hardware.get('threads')} threads"


def summary_table(table: pd.DataFrame, task: Task) -> Table:
    """Return the summary as text: percent, `mean ± sd`, a dash for what is unknown; columns of dashes are left out."""
    first = task.score
    others = {name: metric for name, metric in task.scores.items() if metric is not first}
    columns = {
        "runs": [str(n) for n in table["n"]],
        first.title: _cells(table, f"test_{first.name}", first),
        "95 % interval": _between(table, f"test_{first.name}"),
        **{metric.title: _cells(table, f"test_{name}", metric) for name, metric in others.items()},
        "before": _cells(table, f"baseline_{first.name}", first),
        "gap": _cells(table, f"gap_{first.name}", first),
        "loss gap": _cells(table, "gap_loss", task.metrics["loss"]),
    }
    caption = (
        f"Test set: {parts_of(task).measured}; 95 % interval: of the {first.title}, on other images like these; "
        f"before: {first.title} of the untrained network"
    )
    return _of_models(caption, table, columns)


def cost_table(table: pd.DataFrame) -> Table:
    """Return what the groups of a summary cost; with the figures beside it a table would be wider than a screen."""
    columns = {
        "best epoch": [_spread(*pair, digits=0) for pair in _means_and_sds(table, "best_epoch")],
        "training": [duration(seconds) for seconds in table["train_seconds"]],
        "parameters": [large_number(count) for count in table["parameters"]],
        "MACs": [large_number(count) for count in table["macs"]],
        "latency": ["–" if np.isnan(ms) else f"{ms:.1f} ms" for ms in table["latency_ms"]],
    }
    return _of_models("Cost; latency: of one image", table, columns)


def _of_models(caption: str, table: pd.DataFrame, columns: Mapping[str, Sequence[str]]) -> Table:
    """Return a row for each group, best first, without columns of dashes."""
    known = {name: cells for name, cells in columns.items() if any(cell != "–" for cell in cells)}
    rows = list(zip(table["label"], *known.values(), strict=True))
    return Table(caption, ["model", *known], rows, best_first=len(rows) > 1)


def _comparisons(result: Result) -> list[Table]:
    if not result.comparisons:
        return []
    rows = [
        (
            *(c.other, points(-c.difference, "+") + ("" if c.sd is None else f" ± {100 * c.sd:.1f}")),
            f"{points(-c.high, '+')} to {points(-c.low, '+')}" if c.bounded else "–",
            *(f"{c.worse}", f"{c.better}", *(p_value(p).removeprefix("= ") for p in (c.p, c.p_holm))),
            f"{c.images:,}{'' if c.replicates == 1 else f' in {c.replicates} pairs'}",
        )
        for c in result.comparisons
    ]
    task = result.test_set.task
    several = any(c.sd is not None for c in result.comparisons)
    spread = " (± sd over the pairs of runs, which tells of other seeds)" if several else ""
    caption = (
        f"Against {result.comparisons[0].best}, paired on the same test images: difference in "
        f"{task.score.title}, in points{spread}, {parts_of(task).compared}. All of it is about these trained "
        "networks, not about other seeds, and the best was chosen on the same images."
    )
    if several:
        caption += " Images: how many different ones, and in how many pairs of runs, one of each model."
    if result.table["n"].max() > min(comparison.replicates for comparison in result.comparisons):
        caption += " Only runs of the same seed and fold are paired; the means above include all runs."
    there, each = max(c.images for c in result.comparisons), len(result.test_set.groups[0].runs[0].predictions)
    if there > each:
        caption += f" Each seed or fold tests its own images, {each:,} a run: the counts are of all {there:,} together."
    columns = ["model", "difference", "95 % interval", "only other", "only best", "p", "p (Holm)", "images"]
    return [Table(caption, columns, rows)]


def _costs(result: Result, draw: Drawing) -> list[Picture]:
    task, table = result.test_set.task, result.table
    if len(table) < 2:
        return []
    first = task.score
    points = table.rename(columns={f"test_{first.name}": "score", f"test_{first.name}_sd": "score_sd"})
    caption = f"{first.heading} (bars: ± sd) against cost; filled: no other is both cheaper and better (Pareto front)"
    return draw(figures.cost_charts(points, first.title), "costs", caption)


def _curves(groups: Sequence[Group], task: Task, draw: Drawing) -> list[Picture]:
    histories = {group.label: [run.history for run in group.runs] for group in groups}
    quantities = {name: task.metrics[name].title for name in (task.first, "loss")}
    caption = (
        "Learning curves: mean over the runs, with a band from the lowest to the highest. Training figures are "
        "measured during the epoch, with augmentation; the gap in the table is measured without"
    )
    return draw(figures.learning_curves(histories, quantities), "learning_curves", caption)


def _disagreements(result: Result, draw: Drawing) -> Section:
    """Show the best group beside the next one that it can be compared with."""
    title = "Where they disagree"
    best, *others = result.test_set.groups
    compared = {comparison.other for comparison in result.comparisons}
    rival = next((group for group in others if group.label in compared), None)
    if rival is None:
        return Section(title, ["There is one group only." if not others else f"None has a seed that {best.label} has."])
    try:
        found = disagreement(best, rival)
    except (InputError, RunError, OSError) as error:
        return Section(title, [f"The test images can't be shown: {error}"])
    except (ValueError, TypeError, KeyError) as error:  # the run's data settings can be anything
        return Section(title, [f"The test images can't be shown: {type(error).__name__}: {first_line(error)}"])
    if found is None:
        return Section(title, [f"{best.label} and {rival.label} are right on the same images."])
    images = f"{found.count} image{'s' * (found.count != 1)}"
    said = f"{best.label} and {rival.label} differ on {images} of seed {found.replicate}."
    caption = f"Test images that one gets right and the other wrong, {len(found.true)} of {found.count}"
    return Section(
        title,
        [said],
        pictures=draw(figures.disagreements(found.images, found.true, found.predicted), "disagreements", caption),
    )


def _gradcams(result: Result, draw: Drawing) -> list[Section]:
    shown = result.looks.maps
    known = {maps.label for maps in shown}
    missing = [group.label for group in result.test_set.groups if group.label not in known]
    lacking = f"No readable Grad-CAMs of the same images: {', '.join(missing)}."
    if not shown:
        return [Section("Where they look", [lacking])]
    best = {maps.label: maps.best for maps in shown}
    comparison = figures.gradcam_comparison(
        shown[0].images,
        {maps.label: maps.maps[best[maps.label]] for maps in shown},
        {maps.label: maps.predicted[best[maps.label]] for maps in shown},
        shown[0].true,
        {maps.label: maps.explained[best[maps.label]] for maps in shown},
    )
    series = {maps.label: list(zip(maps.epochs, maps.maps, strict=True)) for maps in shown}
    epochs = figures.gradcam_epochs(shown[0].images, series, {maps.label: maps.best_epoch for maps in shown})
    movement = figures.gradcam_movement({maps.label: maps.movement for maps in shown})
    shares = [f"{label} {100 * share:.0f} %" for label, share in result.looks.shares.items()]
    sharp = f"Half of a map's energy lies in this share of the image: {', '.join(shares)}." if shares else ""
    late = [maps.label for maps in shown if maps.best_epoch not in maps.epochs]
    note = f" Of the last epoch, as the best has none: {', '.join(late)}." if late else ""
    of = f"seed {result.looks.replicate}"
    text = f"Grad-CAM of the same validation images at each model's best epoch, {of}.{note}"
    pictures = [
        *draw(comparison, "gradcam", "Grad-CAM on one scale: the logits of an image that is like a place all over"),
        *draw(epochs, "gradcam_epochs", "How the maps moved over the epochs"),
        *draw(movement, "gradcam_movement", "How like the maps of an epoch are to those of the last one"),
    ]
    return [Section("Where they look", [text, *filter(None, [sharp, lacking if missing else ""])], pictures=pictures)]


def _between(table: pd.DataFrame, column: str) -> list[str]:
    ends = zip(table[f"{column}_low"], table[f"{column}_high"], strict=True)
    return ["–" if np.isnan(low) else f"{100 * low:.1f} to {100 * high:.1f}" for low, high in ends]


def _means_and_sds(table: pd.DataFrame, column: str) -> list[tuple[float, float]]:
    return list(zip(table[column], table[f"{column}_sd"], strict=True))


def _cells(table: pd.DataFrame, column: str, metric: Metric) -> list[str]:
    scale = 100 if metric.percent else 1
    return [_spread(scale * mean, scale * sd, metric.digits) for mean, sd in _means_and_sds(table, column)]


def _spread(mean: float, sd: float, digits: int) -> str:
    """Return `98.3 ± 0.5`, the mean alone for one run, or a dash if there is no figure."""
    if np.isnan(mean):
        return "–"
    mean = round(mean, digits) + 0.0  # turns −0.0 into 0.0
    text = f"{mean:.{digits}f}" if np.isnan(sd) else f"{mean:.{digits}f} ± {sd:.{digits}f}"
    return text.replace("-", "−")
