"""Predict many files: from the settings of `src.predict` to a file of rows and a summary."""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from omegaconf import DictConfig

from ..analysis.binary import Decision
from ..data.processes import file_progress
from ..trained.checkpoint import Trained
from ..trained.decision import decision_of
from ..trained.ensemble import Ensemble
from ..trained.logits import probabilities
from ..trained.pictures import Pictures
from ..trained.temperature import read_calibration
from ..urls import called
from .doubt import Doubt
from .on_screen import Summary, best
from .overlays import Overlays, folder_of
from .request import row_format
from .rows import Columns, Row, RowFile
from .stream import Answers, precision_of, some_fit, stream, worker_count
from .validated import Validated, prepare_validated

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """How to predict. `top_k` is at most the number of classes; `temperature` divides the logits; `decision` comes
    before the likelier of two classes; `validated` is what is asked of the validation images."""

    trained: Trained | Ensemble
    kind: str
    top_k: int
    temperature: float
    overlays: Overlays | None
    batch_size: int
    num_workers: int | str
    decision: Decision | None = None
    validated: Validated | None = None

    @property
    def columns(self) -> Columns:
        asked = self.validated
        sets, ood = asked is not None and asked.coverage is not None, None if asked is None else asked.ood
        return Columns(self.top_k, self.overlays is not None, sets, ood)

    def stream(self, source: Sequence[str] | Pictures, workers: int) -> Iterator[Answers]:
        """Yield the answers to the files of `source`."""
        assert isinstance(self.trained, Trained)
        return stream(self.trained, source, self.batch_size, workers, features=self.columns.ood is not None)

    def how(self) -> dict[str, Any]:
        """Return what predict.json says of the network's answers."""
        assert isinstance(self.trained, Trained)
        return {"precision": precision_of(self.trained), "temperature": self.temperature}

    def run(self, source: Sequence[str] | Pictures, output: Path, stream_to: TextIO | None = None) -> dict[str, Any]:
        """Write a row for each file, and pictures, to `output`; return what predict.json says of them.

        Args:
            source: paths of files, or a split of a run.
            stream_to: where the rows go instead; nothing is written to `output` then.

        Raises:
            InputError: All files have another number of bands than the network takes. Nothing was written.
            RunError: A process was killed, or no file could be read. What was written stays.
        """
        if self.decision is not None:
            log.info("decision     %s", self.decision.in_words(self.trained.class_names))
        summary = Summary(len(source), shown=stream_to is None)
        workers = worker_count(self.num_workers, -(-len(source) // self.batch_size))
        columns, doubt = self.columns, Doubt(self.validated)
        began = time.perf_counter()
        found = some_fit(self.stream(source, workers), self.trained)
        with (
            RowFile(output, self.kind, columns, stream_to) as file,
            file_progress("Predicting", len(source), shown=not (stream_to and stream_to.isatty())) as advance,
        ):
            for answers in found:
                summary.clipped += answers.clipped
                rows = self.rows(answers, summary.files, output, folder_of(source))
                file.write(rows)
                for row in rows:
                    _count(row, summary, doubt)
                advance(summary.files)
        seconds = time.perf_counter() - began
        summary.end(seconds, file.shown)
        doubt.say(summary.files - summary.unreadable)
        return {
            **self.how(),
            **({} if self.decision is None else self.decision.told(self.trained.class_names)),
            **doubt.told(),
            "overlays": None if self.overlays is None else f"{self.overlays.method}, {self.overlays.layer}",
            "count": summary.files,
            "unreadable": summary.unreadable,
            "clipped": summary.clipped,
            "predicted": dict(summary.classes.most_common()),
            "seconds": round(seconds, 1),
        }

    def rows(self, answers: Answers, before: int, output: Path, folder: Path | None) -> list[Row]:
        """Make a row for each path.

        Args:
            before: rows written so far.
            folder: where the files are; None where there are none.
        """
        likely = probabilities(answers.logits, self.temperature)
        order = np.argsort(-likely, axis=1, kind="stable")
        if self.decision is not None:
            order[:, 0] = self.decision.decide(likely)
            order[:, 1] = 1 - order[:, 0]
        order = order[:, : self.top_k]
        whole = [place for place, reason in enumerate(answers.reasons) if reason is None]
        pictures: list[str] = []
        if self.overlays is not None and whole:
            best_ = order[:, 0]
            paths = [(before + place + 1, answers.paths[place]) for place in whole]
            shares = likely[np.arange(len(likely)), best_]
            pictures = self.overlays.draw(output, answers.images, best_, shares, paths, folder)
        asked = self.validated
        sets = None if asked is None else asked.sets(likely)
        familiarity = None if asked is None else asked.familiarity(answers.features)
        rows = [Row(called(path), error=reason) for path, reason in zip(answers.paths, answers.reasons, strict=True)]
        for index, place in enumerate(whole):
            rows[place] = Row(
                called(answers.paths[place]),
                [self.trained.class_names[class_] for class_ in order[index]],
                likely[index, order[index]].tolist(),
                overlay=pictures[index] if pictures else None,
                set=[] if sets is None else [self.trained.class_names[class_] for class_ in sets[index]],
                familiarity=None if familiarity is None else float(familiarity[index]),
            )
        return rows


def prepare(cfg: DictConfig, trained: Trained) -> Task:
    """Turn the settings of `src.predict` into a task; raise `InputError` if the network can't do it."""
    decision = decision_of(cfg, trained)
    overlays = Overlays(trained, cfg.method, cfg.layer) if cfg.overlays else None
    calibration = read_calibration(trained.path) if cfg.calibrated else None
    if calibration is not None:
        found = (calibration.temperature, calibration.images, calibration.split)
        log.info("calibrated   temperature %.3f, found on %d images of %s", *found)
    temperature = 1.0 if calibration is None else calibration.temperature
    return Task(
        trained,
        row_format(cfg),
        min(cfg.top_k, len(trained.class_names)),
        temperature,
        overlays,
        cfg.batch_size,
        cfg.num_workers,
        decision,
        prepare_validated(trained, cfg.coverage, cfg.ood, temperature, cfg.data.root),
    )


def _count(row: Row, summary: Summary, doubt: Doubt) -> None:
    if row.error is not None:
        summary.add_unreadable(row.path, row.error)
    else:
        summary.add(row.path, row.classes[:1], best(row.classes, row.confidences) + doubt.of(row))
