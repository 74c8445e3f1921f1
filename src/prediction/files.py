"""Predict many files: from the settings of `src.predict` to a file of rows and a summary."""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from ..data.processes import file_progress
from ..errors import RunError
from ..figures.style import printable
from ..trained.checkpoint import Trained
from ..trained.logits import probabilities
from ..trained.pictures import Pictures
from ..trained.temperature import read_calibration
from .overlays import Overlays
from .rows import Columns, Row, RowFile
from .stream import Answers, precision_of, some_fit, stream, worker_count

log = logging.getLogger(__name__)

CLASSES_TOLD = 10


@dataclass
class Tally:
    """Counts of what was written: files, images of each class, and the first file that could not be read."""

    files: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    first_bad: Row | None = None

    def add(self, rows: Sequence[Row]) -> None:
        self.files += len(rows)
        self.classes.update(row.classes[0] for row in rows if row.classes)
        self.first_bad = self.first_bad or next((row for row in rows if row.error is not None), None)

    @property
    def unreadable(self) -> int:
        return self.files - self.classes.total()


@dataclass(frozen=True)
class Task:
    """How to predict. `top_k` is at most the number of classes; `temperature` divides the logits."""

    trained: Trained
    kind: str
    top_k: int
    temperature: float
    overlays: Overlays | None
    batch_size: int
    num_workers: int | str

    def run(self, source: Sequence[str] | Pictures, output: Path) -> dict[str, Any]:
        """Write a row for each file, and pictures, to `output`; return what predict.json says of them.

        Args:
            source: paths of files, or a split of a run.

        Raises:
            InputError: All files have another number of bands than the network takes. Nothing was written.
            RunError: A process was killed, or no file could be read. What was written stays.
        """
        tally = Tally()
        workers = worker_count(self.num_workers, -(-len(source) // self.batch_size))
        began = time.perf_counter()
        found = some_fit(stream(self.trained, source, self.batch_size, workers), self.trained)
        with (
            RowFile(output, self.kind, Columns(self.top_k, self.overlays is not None)) as file,
            file_progress("Predicting", len(source)) as advance,
        ):
            for answers in found:
                rows = self.rows(answers, tally.files, output)
                file.write(rows)
                tally.add(rows)
                advance(tally.files)
        seconds = time.perf_counter() - began
        if not tally.classes:
            raise RunError(_complaint(tally, file.path))
        _say(tally, seconds, file.path.name)
        return {
            "precision": precision_of(self.trained),
            "temperature": self.temperature,
            "overlays": None if self.overlays is None else f"{self.overlays.method}, {self.overlays.layer}",
            "count": tally.files,
            "unreadable": tally.unreadable,
            "predicted": dict(tally.classes.most_common()),
            "seconds": round(seconds, 1),
        }

    def rows(self, answers: Answers, before: int, output: Path) -> list[Row]:
        """Make a row for each path; `before`: rows written so far."""
        likely = probabilities(answers.logits, self.temperature)
        order = np.argsort(-likely, axis=1, kind="stable")[:, : self.top_k]
        whole = [place for place, reason in enumerate(answers.reasons) if reason is None]
        pictures: list[str] = []
        if self.overlays is not None and whole:
            names = ((before + place + 1, Path(answers.paths[place]).name) for place in whole)
            pictures = self.overlays.draw(output, answers.images, order[:, 0], names)
        rows = [Row(path, error=reason) for path, reason in zip(answers.paths, answers.reasons, strict=True)]
        for index, place in enumerate(whole):
            rows[place] = Row(
                answers.paths[place],
                [self.trained.class_names[class_] for class_ in order[index]],
                likely[index, order[index]].tolist(),
                overlay=pictures[index] if pictures else None,
            )
        return rows


def prepare(cfg: DictConfig, trained: Trained) -> Task:
    """Turn the settings of `src.predict` into a task; raise `InputError` if the network can't do it."""
    overlays = Overlays(trained, cfg.method, cfg.layer) if cfg.overlays else None
    calibration = read_calibration(trained.path) if cfg.calibrated else None
    if calibration is not None:
        found = (calibration.temperature, calibration.images, calibration.split)
        log.info("calibrated   temperature %.3f, found on %d images of %s", *found)
    return Task(
        trained,
        cfg.format,
        min(cfg.top_k, len(trained.class_names)),
        1.0 if calibration is None else calibration.temperature,
        overlays,
        cfg.batch_size,
        cfg.num_workers,
    )


def _say(tally: Tally, seconds: float, file: str) -> None:
    told = [f"{printable(name)} {count}" for name, count in tally.classes.most_common(CLASSES_TOLD)]
    if len(tally.classes) > CLASSES_TOLD:
        told.append(f"{len(tally.classes) - CLASSES_TOLD} more classes")
    speed = tally.files / seconds
    log.info("predicted    %d files, %.0f a second: %s", tally.files, speed, ", ".join(told))
    if tally.first_bad is not None:
        first = _shown(tally.first_bad)
        log.info("unreadable   %d of them, see `error` in %s; the first: %s", tally.unreadable, file, first)


def _shown(row: Row) -> str:
    return f"{printable(row.path)} ({row.error})"


def _complaint(tally: Tally, file: Path) -> str:
    assert tally.first_bad is not None
    if tally.files == 1:
        return f"the only file, {_shown(tally.first_bad)}, can't be read: see {file}"
    return f"none of {tally.files} files can be read (the first: {_shown(tally.first_bad)}): see {file}"
