"""Does the network answer by a shortcut? All images are changed in the same ways, and what it answers is told."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from .. import figures
from ..analysis.intervals import between, wilson
from ..analysis.leaks import leak, looks, slices, widest_gap
from ..analysis.repeats import repeated_pattern
from ..analysis.shortcuts import GRID, Peaks, common_peaks
from ..attribution.cam import Attribution
from ..figures.shortcut_charts import shortcut_chart
from ..frames import pd
from ..tables import as_text
from ..trained.checkpoint import Trained
from ..trained.pictures import Pictures
from . import image_maps
from .changed_answers import Asked, Effects, asked_of, change
from .files_told import properties_of
from .remedy import retrained_without
from .shortcut_findings import background, findings, verdict_of

log = logging.getLogger(__name__)

UNLESS_TOLD = 200
"""How many images are looked at unless told."""


def find_shortcuts(
    trained: Trained,
    pictures: Pictures,
    chosen: NDArray[np.int64],
    folder: Path,
    *,
    method: str,
    layer: str | None,
    batch_size: int,
    seed: int,
    data_root: str | None,
) -> dict[str, Any]:
    """Look for shortcuts in the answers to the `chosen` pictures; write tables and figures, return what was found."""
    asked, ask = asked_of(trained, pictures, chosen, batch_size)
    effects = change(asked, ask, seed)
    maps = image_maps.explain_images(trained, torch.from_numpy(asked.images), method, asked.answers, layer, batch_size)
    assert isinstance(maps, Attribution)
    peaks = common_peaks(maps.maps, asked.answers)
    files, seen = properties_of(pictures, chosen, trained.class_names), looks(asked.images)
    by_file = None if files is None else leak(files, asked.classes, seed)
    by_look = leak(seen, asked.classes, seed)
    sliced = slices(seen if files is None else pd.concat([seen, files], axis=1), asked.right)
    pattern = repeated_pattern(asked.images, asked.classes, seed)

    found = findings(asked, effects, by_file, by_look, pattern, seed)
    record = {
        "images": len(chosen),
        "accuracy": asked.accuracy,
        "guessing": asked.guessing,
        "found": [one.as_json() for one in found],
        "verdict": verdict_of(found, asked, effects),
        "background": background(asked, effects),
        "peaks": {asked.class_names[i]: asdict(one) for i, one in peaks.items()},
        "told_by_file": None if by_file is None else asdict(by_file),
        "told_by_look": None if by_look is None else asdict(by_look),
        "widest_gap": widest_gap(sliced),
    }
    place = next((one.place for one in found if one.place is not None), None)
    if place is not None:
        record["remedy"] = retrained_without(
            trained, asked, place, batch_size=batch_size, seed=seed, data_root=data_root
        )
    _write(folder, asked, effects, maps.maps, peaks, sliced, f"{trained.name} · {len(chosen)} images")
    _say(record, asked, effects, peaks)
    return record


def _write(
    folder: Path,
    asked: Asked,
    effects: Effects,
    maps: NDArray[np.float32],
    peaks: dict[int, Peaks],
    sliced: pd.DataFrame,
    title: str,
) -> None:
    """Write the chart, and tables of cells, slices and classes."""
    means = {asked.class_names[i]: maps[asked.answers == i].mean(axis=0) for i in peaks}
    mean_images = {asked.class_names[i]: asked.images[asked.answers == i].mean(axis=0).astype(np.uint8) for i in peaks}
    dropped = {key: asked.accuracy - drops.mean(axis=0) for key, drops in effects.covered.items()}
    followed = effects.followed.mean(axis=0) if len(effects.followed) else np.zeros((GRID, GRID))
    chart = shortcut_chart(
        {number: dropped[number, "grey"] for number, fill in dropped if fill == "grey"},
        followed, effects.pieces, means, mean_images, title=title, guessing=asked.guessing,
    )  # fmt: skip
    figures.save(chart, folder / "shortcuts.png")
    rows = [
        {
            "change": f"{fill} cell of {number}×{number}",
            "row": row + 1,
            "column": column + 1,
            "images": len(asked.classes),
        }
        | {"accuracy": accuracy, "low": low, "high": high}
        for (number, fill), grid in dropped.items()
        for (row, column), accuracy in np.ndenumerate(grid)
        for low, high in [wilson(float(accuracy), len(asked.classes))]
    ]
    pd.DataFrame(rows).to_csv(folder / "cells.csv", index=False)
    sliced.to_csv(folder / "slices.csv", index=False)
    effects.by_class.to_csv(folder / "background.csv", index=False)


def _say(record: dict[str, Any], asked: Asked, effects: Effects, peaks: dict[int, Peaks]) -> None:
    log.info("\n%s\n", record["verdict"])
    if (remedy := record.get("remedy")) is not None:
        log.info("%s\n", remedy["said"])
    log.info("%s\n", as_text(_table(record, asked, effects)))
    fixed = {asked.class_names[i]: one for i, one in peaks.items() if one.share >= 0.5}
    for name, one in list(fixed.items())[:5]:
        where = "the middle" if one.in_the_middle else str(one)
        log.info("%s: %s of %d maps have their peak in %s", name, f"{one.share:.0%}", one.images, where)
    if (gap := record["widest_gap"]) is not None:
        worst, best = gap["worst"], gap["best"]
        log.info(
            "by slices: %s %s %.3f %s, %s %.3f %s", gap["property"], worst["of"], worst["accuracy"],
            between(worst["low"], worst["high"]), best["of"], best["accuracy"], between(best["low"], best["high"]),
        )  # fmt: skip


def _table(record: dict[str, Any], asked: Asked, effects: Effects) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for number, column in enumerate(("images", "accuracy", "95 % interval", "mean probability of the truth")):
        table.add_column(column, justify="right" if number else "left")
    n = len(asked.classes)
    for name, (accuracy, sure) in effects.left.items():
        table.add_row(name, f"{accuracy:.3f}", between(*wilson(accuracy, n)), f"{sure:.3f}")
    edge = record["background"]["edge_alone"]
    table.add_row("a piece of the edge, repeated", f"{edge:.3f}", between(*wilson(edge, n)), "")
    table.add_row("guessing", f"{asked.guessing:.3f}", "", "")
    return table
