"""An audit on screen: one page. Names are shown without the control characters that they may hold."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from ..data.depth import tell
from ..data.module import ImageDataModule
from ..data.splits import SPLITS
from ..figures.style import printable
from ..tables import as_text
from .findings import Audit, DuplicateGroup, count, extent
from .label_findings import Labels
from .suspects import Suspects

MOST_CLASSES = 20  # named one by one; of more, the largest and the smallest are
ENDS = 5  # how many of them
FIRST_GROUPS = 5
FIRST_IMAGES = 4
FIRST_TORN = 10
MOST_NAMED = 5


def page(audit: Audit) -> Group:
    """Return classes, sizes, files, duplicates, torn groups, and a sentence that says what to make of them."""
    total, classes = count(int(audit.sizes.sum()), "image"), "classes" if audit.labels is None else "labels"
    parts = [
        Text(f"{audit.source}: {total} of {len(audit.class_names)} {classes} in {printable(audit.root)}", style="bold"),
        Text(f"Split as training splits it with seed={audit.seed}.\n"),
        Text(as_text(class_table(audit.class_names, audit.counts, audit.sizes))),
        Text(""),
        facts(audit),
    ]
    if audit.groups:
        parts += [Text(""), *(describe(group) for group in audit.groups[:FIRST_GROUPS])]
        if (more := len(audit.groups) - FIRST_GROUPS) > 0:
            parts.append(Text(f"  … and {more:,} more: audit.json"))
    if audit.torn:
        parts += [Text(""), *torn(audit)]
    parts += [Text(""), Text(audit.verdict, style="bold" if audit.sound else "bold red")]
    return Group(*parts)


def class_table(names: Sequence[str], counts: np.ndarray, sizes: np.ndarray) -> Table:
    """Return the images of each class and split, `counts` (K, 3), and of each split, `sizes` (3,)."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    table.add_column("class", max_width=40, overflow="ellipsis", no_wrap=True)
    for split in (*SPLITS, "all"):
        table.add_column(split, justify="right")

    def add(name: str, row: np.ndarray) -> None:
        table.add_row(Text(printable(name)), *(f"{n:,}" for n in row), f"{row.sum():,}")

    if len(names) <= MOST_CLASSES:
        for name, row in zip(names, counts, strict=True):
            add(name, row)
    else:
        order = np.argsort(-counts.sum(axis=1), kind="stable")
        for i in order[:ENDS]:
            add(names[i], counts[i])
        table.add_row(f"… {len(names) - 2 * ENDS} classes between")
        for i in order[-ENDS:]:
            add(names[i], counts[i])
        table.add_row(
            "median class", *(f"{n:,.0f}" for n in np.median(counts, axis=0)), f"{np.median(counts.sum(1)):,.0f}"
        )
    add("all", sizes)
    return table


def facts(audit: Audit) -> Text:
    """Return a line each, however long: balance, sizes, files, what was left out, what appears twice."""
    width, height = extent(audit.widths), extent(audit.heights)
    groups = audit.groups
    exact = sum(group.exact for group in groups)
    rows: dict[str, str] = {
        "balance": "all classes have equally many training images, within 1 %"
        if audit.imbalance < 1.01
        else f"the largest class has {audit.imbalance:.3g} times the training images of the smallest",
        "width": f"{width['min']} to {width['max']} pixels, median {width['median']:g}",
        "height": f"{height['min']} to {height['max']} pixels, median {height['median']:g}",
        "mode": tally(audit.modes),
        "format": tally(audit.formats),
        "left out": left_out(audit.skipped),
        "duplicates": "none"
        if not groups
        else f"{count(len(groups), 'group')} ({exact} exact, {len(groups) - exact} near): {len(audit.leaks)} across "
        f"splits, {len(audit.contradictions)} across {'classes' if audit.labels is None else 'label sets'}",
    }
    if audit.labels is not None:
        rows |= label_facts(audit.labels)
    for split, name in (("val", "no val"), ("test", "no test")):
        if names := audit.lacking.get(split):
            one, many = ("class", "classes") if audit.labels is None else ("label", "labels")
            rows[name] = f"{len(names):,} {many if len(names) > 1 else one}: {first(names)}"
    if audit.range is not None:
        clipped = {split: number for split, number in audit.clipped.items() if number}
        rows["range"] = audit.range if isinstance(audit.range, str) else tell(audit.range)
        rows["range"] += f"; values outside in {tally(Counter(clipped))}" if clipped else ", which holds all images"
    if audit.passed_over:
        rows["passed over"] = str(audit.passed_over)
    if audit.belonging is not None:
        rows["groups"] = f"{audit.belonging:,}, {len(audit.torn) or 'none'} across splits"
    lines = [Text.assemble((f"{name:<13}", "bold"), text) for name, text in rows.items()]
    return Text("\n").join(lines)


def label_facts(labels: Labels) -> dict[str, str]:
    """Return rows for several labels an image: how many, what is empty, which are rare, always or never together."""
    rows = {
        "labels": f"{labels.together.diagonal().sum() / labels.images:.2f} an image; "
        f"{count(labels.without, 'image')} without any",
        "empty cells": f"{labels.cells:,} in {count(labels.incomplete, 'image')}, unknown to training"
        + (f"; of {count(labels.blank, 'image')} nothing is known" if labels.blank else "")
        if labels.cells
        else "none",
    }
    if labels.rare:
        few = [f"{name} ({number})" for name, number in labels.rare.items()]
        rows["too rare"] = f"{first(few)}: fewer images than splits"
    if labels.always:
        rows["always"] = first([f"{pair.one} with {pair.other} ({pair.both:,})" for pair in labels.always])
    if labels.never:
        told = [f"{pair.one} with {pair.other} ({pair.by_chance:,.0f} by chance)" for pair in labels.never]
        rows["never"] = first(told)
    return rows


def first(names: Sequence[str]) -> str:
    """Return the first few names."""
    more = len(names) - MOST_NAMED
    return printable(", ".join(names[:MOST_NAMED])) + (", …" if more > 0 else "")


def tally(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts.most_common())


def left_out(skipped: Iterable[tuple[str, str]]) -> str:
    """Return such as "3 files: 2 empty file (a.jpg, …), 1 not an image (b.db)"."""
    by_reason: dict[str, list[str]] = {}
    for path, reason in skipped:
        by_reason.setdefault(reason, []).append(path)
    if not by_reason:
        return "nothing"
    texts = [
        f"{len(paths)} {reason} ({printable(', '.join(paths[:2]))}{', …' if len(paths) > 2 else ''})"
        for reason, paths in by_reason.items()
    ]
    return f"{count(sum(map(len, by_reason.values())), 'file')}: {', '.join(texts)}"


def torn(audit: Audit) -> list[Text]:
    """Return a line for each group of images in several splits."""
    lines = [
        Text(f"  group across splits: {printable(name)} ({', '.join(splits)})")
        for name, splits in list(audit.torn.items())[:FIRST_TORN]
    ]
    more = len(audit.torn) - len(lines)
    return [*lines, Text(f"  … and {more:,} more: audit.json")] if more else lines


def describe(group: DuplicateGroup) -> Text:
    """Return a group in a line: what is wrong with it, then its images."""
    images = [printable(f"{path} ({split}, {name})") for path, split, name in group.images[:FIRST_IMAGES]]
    if (more := len(group.images) - FIRST_IMAGES) > 0:
        images.append(f"{more} more")
    return Text(f"  {group.title}: {' = '.join(images)}")


def suspects_line(suspects: Suspects, data: ImageDataModule) -> str:
    """Say how many labels are doubted, and name the most doubtful."""
    names, paths = data.class_names, data.found.paths
    doubted, images = int(suspects.doubted.sum()), len(suspects.indices)
    first = [
        printable(f"{paths[suspects.indices[i]]} ({names[suspects.given[i]]}, rather {names[suspects.rather[i]]})")
        for i in range(min(MOST_NAMED, suspects.listed))
    ]
    return f"labels       {doubted:,} of {images:,} are doubted; the most doubtful: {', '.join(first)}"
