"""One run as sections of a page: what was trained, how good it is, what it looks at, what it costs, how to use it."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath

from ..analysis.intervals import Interval, said, wilson
from ..analysis.metrics import SPLITS, Metric
from ..analysis.tasks import ONE_CLASS
from ..command.next_steps import STEPS, filled_in
from ..cost.cost_table import TOLD
from ..runs.contents import is_number
from ..runs.turned import chosen
from ..tables import duration
from .document import Picture, Section, Table
from .finished import Run
from .groups import Group
from .measured_maps import faithfulness_section
from .measured_shortcuts import shortcuts_section
from .on_objects import on_objects_said

PAIRS, WORST = 10, 20
"""Rows of the tables of confused pairs and of classes."""

USES = (*STEPS["train"], "predict checkpoint={run} images=PHOTOS", "export checkpoint={run}")

SHEET = re.compile(r"epoch_(\d{1,9})\.png")


def describe_run(
    run: Run, intervals: Mapping[str, Interval], of_classes: Sequence[Picture] | None = None
) -> list[Section]:
    """Return the sections; pictures are those that the run has left, `figures/curves.png` and the like.

    `intervals` are those of the figures of the test set; `of_classes` take the place of its confusion matrix.
    """
    sections = [
        Section("How good it is", [_figures_said(run), *_early(run)], [_figures(run, intervals)]),
        Section("What was trained", tables=[_settings(run)], pictures=_pictures(run, BATCH)),
        Section("Learning", on_objects_said(run), pictures=_pictures(run, (*RATES, *CURVES, *ENERGY))),
        _classes(run, _pictures(run, CONFUSION) if of_classes is None else of_classes),
        Section("Its surest mistakes", [_mistakes_said(run)], pictures=_pictures(run, MISTAKES)),
        Section("Where it looks", pictures=_maps(run)),
        *faithfulness_section([Group(run.config["model"]["name"], {}, [run])]),
        *shortcuts_section([Group(run.config["model"]["name"], {}, [run])], pictured=True),
        Section("What it costs", tables=[_costs(run)]),
        Section("How to use it", commands=_commands(run)),
    ]
    return [section for section in sections if section.tables or section.pictures or section.commands]


# How good it is -------------------------------------------------------------------------------------------------------


def _figures(run: Run, intervals: Mapping[str, Interval]) -> Table:
    """Return a row a split, and one with the intervals of the test set."""
    shown, metrics = run.task.shown, run.metrics
    splits = [
        (split, name) for split, name in SPLITS.items() if any(f"{split}/{figure}" in metrics for figure in shown)
    ]
    rows = [[name, *(_figure(metrics.get(f"{split}/{figure}")) for figure in shown)] for split, name in splits]
    if any(low <= high for low, high in intervals.values()):
        rows.append(["… 95 % interval", *(_between(intervals.get(figure)) for figure in shown)])
    return Table("Figures of the best checkpoint", ["images", *(_heading(row) for row in shown.values())], rows)


def _heading(metric: Metric) -> str:
    return f"{metric.title} (macro)" if metric.average == "macro" else metric.title


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _between(interval: Interval | None) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}" if interval and interval[0] <= interval[1] else "–"


def _figures_said(run: Run) -> str:
    best, epochs = int(run.metrics["best_epoch"]), int(run.metrics["epochs"])
    tested = run.per_class["support"].to_numpy() > 0
    classes = run.task.classes
    macro = f" Macro figures of the test set are over the {tested.sum()} of {len(tested)} {classes} that have images."
    return (
        f"Measured without augmentation at epoch {best} of {epochs}, the best by {run.config.get('monitor')}. An "
        "interval tells what other test images like these could have given, not what another training would."
        + macro * (not tested.all())
        + _sample_said(run)
    )


def _early(run: Run) -> list[str]:
    why = run.record.get("stopped_early")
    return [f"Stopped early: {why}."] if isinstance(why, str) else []


def _sample_said(run: Run) -> str:
    """Say of how many training images the figures are, where they aren't of all."""
    images, measured = run.folder.train_images
    if not 0 < measured < images:
        return ""
    accuracy = run.metrics.get("train/accuracy")
    interval = (
        "" if accuracy is None or run.task is not ONE_CLASS else f" (accuracy: {said(wilson(accuracy, measured))})"
    )
    return f" Those of training images are of a sample, {measured:,} of {images:,}{interval}."


# What was trained -----------------------------------------------------------------------------------------------------


def _settings(run: Run) -> Table:
    """Return what somebody chose, first what was typed, and how many images there were."""
    typed = run.folder.overrides() or []
    values: dict[str, object] = dict(chosen(run.config, typed))
    if (size := run.folder.batch_size) is not None:
        values["data.batch_size"] = f"auto: {size}"
    if (rate := run.folder.learning_rate) is not None:
        values["optimizer.lr"] = f"auto: {rate:g}"
    words = {word.lstrip("+").partition("=")[0].partition("@")[0] for word in typed}
    rows = sorted(((name, _plain(value), "yes" if name in words else "") for name, value in values.items()), key=_order)
    images, channels = run.record.get("images"), run.config["data"].get("in_channels")
    if isinstance(images, dict):
        rows.append(("images: train, validation, test", ", ".join(f"{n:,}" for n in _whole(images)), ""))
    if not run.per_class.empty:
        rows.append((run.task.classes, f"{len(run.per_class):,}", ""))
    if channels is not None:
        rows.append(("channels", str(channels), ""))
    return Table("Data, network and the settings that one turns", ["setting", "value", "typed"], rows, text_columns=3)


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def _order(row: tuple[str, str, str]) -> bool:
    return not row[2]


def _whole(images: Mapping[str, object]) -> Iterator[int]:
    return (n for split in ("train", "val", "test") if isinstance(n := images.get(split), int))


# Classes --------------------------------------------------------------------------------------------------------------


def _classes(run: Run, pictures: Sequence[Picture]) -> Section:
    """Show the confusion matrix and what was confused most where an image has one class, and each class by itself."""
    pairs = [_confused(run)] if run.task is ONE_CLASS and not run.predictions["right"].all() else []
    classes = [_worst(run)] if not run.per_class.empty else []
    return Section(run.task.classes.capitalize(), tables=[*pairs, *classes], pictures=pictures)


def _confused(run: Run) -> Table:
    wrong = run.predictions[~run.predictions["right"].astype(bool)]
    counts = Counter(zip(wrong["true"], wrong["said"], strict=True))
    support = run.per_class.set_index("class")["support"]
    rows = [(true, said, f"{count:,} of {int(support[true]):,}") for (true, said), count in counts.most_common(PAIRS)]
    caption = "Most confused: test images of one class that were taken for another"
    return Table(caption, ["true", "predicted", "images"], rows, text_columns=2)


def _worst(run: Run) -> Table:
    table = run.per_class
    columns = [name for name in ("precision", "recall", "f1", "average_precision", "threshold") if name in table]
    tested = table[table["support"] > 0].sort_values("f1", kind="stable")
    rows = [
        (str(row["class"]), f"{int(row['support']):,}", *(f"{row[name]:.3f}" for name in columns))
        for row in tested.head(WORST).to_dict("records")
    ]
    few = f", the {WORST} worst of {len(tested):,}" if len(tested) > WORST else ""
    titles = {"f1": "F1", "average_precision": "average precision"}
    return Table(
        f"By F1, worst first{few}",
        ["class" if run.task is ONE_CLASS else "label", "test images", *(titles.get(name, name) for name in columns)],
        rows,
    )


# Pictures -------------------------------------------------------------------------------------------------------------

BATCH = (("train_batch", "A training batch as the network gets it, with the labels"),)
CURVES = (
    (
        "curves",
        "Figures by epoch, learning rate by step. Training figures are measured during the epoch, with augmentation",
    ),
)
RATES = (
    (
        "learning_rate",
        "How the learning rate was found: the loss of a copy of the network while the rate rises at each step; the "
        "rate that was taken is the largest at which it still falls nearly as steeply as anywhere",
    ),
)
ENERGY = (
    (
        "object_energy",
        "How much of the Grad-CAMs' positive evidence lies on the object, and what a centre blob and an even map have; "
        "band: 95 % interval, over the images, of the distance to the even map",
    ),
)
CONFUSION = (
    ("confusion_matrix", "Confusion matrix of the test set: rows are the true classes, columns the predicted"),
)
ANIMATION = Picture("figures/gradcam_by_epoch.webp", "Grad-CAM of fixed validation images, epoch after epoch")
MISTAKES = (("mistakes", "Mistakes with the highest confidence, each beside its Grad-CAM of what was decided wrongly"),)


def _pictures(run: Run, pictures: Sequence[tuple[str, str]]) -> list[Picture]:
    """Return those of `figures/` that are there."""
    there = [(f"figures/{name}.png", caption) for name, caption in pictures]
    return [Picture(file, caption) for file, caption in there if (run.folder.path / file).is_file()]


def _maps(run: Run) -> list[Picture]:
    """Return the first and the last sheet of Grad-CAMs, and how the maps moved."""
    found = {int(n[1]): n[0] for path in run.folder.gradcam.glob("epoch_*.png") if (n := SHEET.fullmatch(path.name))}
    ends = sorted({min(found), max(found)}) if found else []
    moved = (("gradcam_movement", "How like each Grad-CAM is to that of the epoch before"),)
    film = [ANIMATION] if (run.folder.path / ANIMATION.file).is_file() else []
    sheets = [Picture(f"gradcam/{found[epoch]}", _of_epoch(epoch, run)) for epoch in ends]
    return film + sheets + _pictures(run, moved)


def _of_epoch(epoch: int, run: Run) -> str:
    when = f"after epoch {epoch}" if epoch else "before training"
    best = int(run.metrics["best_epoch"])
    note = "" if epoch in (0, best) else f"; the best checkpoint is of epoch {best}"
    return f"Grad-CAM of fixed validation images {when}{note}"


def _mistakes_said(run: Run) -> str:
    wrong, images = int((~run.predictions["right"].astype(bool)).sum()), len(run.predictions)
    if not images:
        return "Of the validation images, because the test set was left alone."
    are, have = ("is", "has") if wrong == 1 else ("are", "have")
    what = f"{are} classified wrongly" if run.task is ONE_CLASS else f"{have} a label that is decided wrongly"
    return f"{wrong:,} of {images:,} test images {what}."


# Cost and use ---------------------------------------------------------------------------------------------------------


def _costs(run: Run) -> Table:
    cost = {"parameters": run.metrics["parameters"]} | (run.cost or {})
    rows = [(name, write(float(cost[key]))) for key, (name, write) in TOLD.items() if is_number(cost.get(key))]
    rows.append(("training, all epochs", duration(run.metrics["train_seconds"])))
    threads = cost.get("threads")
    counted = f"{threads} thread{'s' * (threads != 1)}" if isinstance(threads, int) else None
    told = (cost.get("device"), counted, cost.get("precision"))
    where = ", ".join(text for text in told if isinstance(text, str))
    return Table(f"Measured on {where}" if where else "Cost", ["figure", "value"], rows)


def _commands(run: Run) -> list[str]:
    """Return what to do with the run, as it is typed in the folder that it was trained in."""
    shown = run.folder.shown
    told = not PurePath(shown).is_absolute() or shown in str(run.record.get("command"))
    name = shown if told else "RUN"
    return filled_in(USES, multilabel=run.task is not ONE_CLASS, run=name, tested=name)
