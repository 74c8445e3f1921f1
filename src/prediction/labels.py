"""Predict many files by a network of several labels an image: each label's probability, and which are decided."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf

from ..data.processes import file_progress
from ..errors import InputError
from ..files import csv_line
from ..settings.check import plain
from ..settings.composing import CONF
from ..trained.checkpoint import Trained
from ..trained.pictures import Pictures
from ..training.label_results import probabilities, thresholds_of
from ..urls import called
from .on_screen import TOP, Summary, best
from .request import row_format
from .rows import FORMULA, AppendedFile, json_line
from .stream import precision_of, some_fit, stream, worker_count

IDLE = ("top_k", "overlays", "coverage", "ood")
"""Settings that choose among classes or draw one, or rest on one true class: here each label has its answer."""


@dataclass(frozen=True)
class LabelTask:
    """How to predict several labels an image."""

    trained: Trained
    kind: str
    batch_size: int
    num_workers: int | str

    def run(self, source: Sequence[str] | Pictures, output: Path, stream_to: TextIO | None = None) -> dict[str, Any]:
        """Write a row for each file to `output`, or to a stream; return what predict.json says of them.

        Raises:
            InputError: All files have another number of bands than the network takes. Nothing was written.
            RunError: A process was killed, or no file could be read. What was written stays.
        """
        names, thresholds = self.trained.class_names, thresholds_of(self.trained.module)
        write = _as_csv if self.kind == "csv" else _as_json
        header = csv_line(["path", "predicted", *(f"probability_{name}" for name in names), "error"])
        summary = Summary(len(source), shown=stream_to is None, nothing="no label")
        workers = worker_count(self.num_workers, -(-len(source) // self.batch_size))
        began = time.perf_counter()
        found = some_fit(stream(self.trained, source, self.batch_size, workers), self.trained)
        with (
            AppendedFile(output / f"predictions.{self.kind}", header if self.kind == "csv" else "", stream_to) as file,
            file_progress("Predicting", len(source), shown=not (stream_to and stream_to.isatty())) as advance,
        ):
            for answers in found:
                summary.clipped += answers.clipped
                said = iter(probabilities(answers.logits))
                lines = []
                for path, reason in zip(map(called, answers.paths), answers.reasons, strict=True):
                    row = None if reason is not None else next(said)
                    decided = [] if row is None else [names[k] for k in np.flatnonzero(row >= thresholds)]
                    lines.append(write(path, decided, names, row, reason))
                    if row is None:
                        summary.add_unreadable(path, str(reason))
                    else:
                        summary.add(path, decided, _answer(names, row, thresholds))
                file.append("".join(lines))
                advance(summary.files)
        seconds = time.perf_counter() - began
        summary.end(seconds, file.shown)
        return {
            "task": self.trained.module.task.name,
            "precision": precision_of(self.trained),
            "thresholds": dict(zip(names, thresholds.tolist(), strict=True)),
            "count": summary.files,
            "unreadable": summary.unreadable,
            "clipped": summary.clipped,
            "predicted": dict(summary.classes.most_common()),
            "seconds": round(seconds, 1),
        }


def prepare_labels(cfg: DictConfig, trained: Trained) -> LabelTask:
    """Turn the settings of `src.predict` into a task; raise `InputError` for one that means nothing here."""
    defaults: Any = OmegaConf.load(CONF / "predict.yaml")
    for name in IDLE:
        if cfg[name] != defaults[name]:
            raise InputError(
                f"{name}={plain(cfg[name])} is for one class an image, and these are several labels: leave it out"
            )
    return LabelTask(trained, row_format(cfg), cfg.batch_size, cfg.num_workers)


def _as_csv(
    path: str, decided: list[str], names: list[str], said: NDArray[np.float64] | None, reason: str | None
) -> str:
    """Write labels with `|` between, as in a run's predictions.csv."""
    shares = [""] * len(names) if said is None else [f"{share:.6f}" for share in said]
    safe = f"./{path}" if path.startswith(FORMULA) else path  # the same file, and no formula to a spreadsheet
    return csv_line([safe, "|".join(decided), *shares, reason or ""])


def _as_json(
    path: str, decided: list[str], names: list[str], said: NDArray[np.float64] | None, reason: str | None
) -> str:
    shares = {} if said is None else dict(zip(names, np.round(said, 6).tolist(), strict=True))
    return json_line({"path": path, "predicted": decided, "probabilities": shares, "error": reason})


def _answer(names: list[str], said: NDArray[np.float64], thresholds: NDArray[np.float64]) -> str:
    """Return the decided labels, the most likely first, or that there is none, with the nearest to one."""
    order = np.argsort(-said, kind="stable")
    decided = [k for k in order if said[k] >= thresholds[k]]
    chosen = decided or order[:1]
    told = best([names[k] for k in chosen], [said[k] for k in chosen])
    more = f" · {len(decided) - TOP} more" if len(decided) > TOP else ""
    return told + more if decided else f"no label ({told})"
