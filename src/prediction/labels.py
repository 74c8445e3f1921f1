"""Predict many files by a network of several labels an image: each label's probability, and which are decided."""

import json
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf

from ..data.processes import file_progress
from ..errors import InputError, RunError
from ..files import csv_line
from ..settings.check import plain
from ..settings.composing import CONF
from ..trained.checkpoint import Trained
from ..trained.pictures import Pictures
from ..training.label_results import probabilities, thresholds_of
from .rows import FORMULA, AppendedFile
from .stream import precision_of, some_fit, stream, worker_count

log = logging.getLogger(__name__)

IDLE = ("top_k", "overlays")
"""Settings that choose among classes or draw one: here each label has its answer."""


@dataclass(frozen=True)
class LabelTask:
    """How to predict several labels an image."""

    trained: Trained
    kind: str
    batch_size: int
    num_workers: int | str

    def run(self, source: Sequence[str] | Pictures, output: Path) -> dict[str, Any]:
        """Write a row for each file to `output`; return what predict.json says of them.

        Raises:
            InputError: All files have another number of bands than the network takes. Nothing was written.
            RunError: A process was killed, or no file could be read. What was written stays.
        """
        names, thresholds = self.trained.class_names, thresholds_of(self.trained.module)
        write = _as_csv if self.kind == "csv" else _as_json
        header = csv_line(["path", "predicted", *(f"probability_{name}" for name in names), "error"])
        counts: Counter[str] = Counter()
        files = unreadable = 0
        workers = worker_count(self.num_workers, -(-len(source) // self.batch_size))
        began = time.perf_counter()
        found = some_fit(stream(self.trained, source, self.batch_size, workers), self.trained)
        with (
            AppendedFile(output / f"predictions.{self.kind}", header if self.kind == "csv" else "") as file,
            file_progress("Predicting", len(source)) as advance,
        ):
            for answers in found:
                said = iter(probabilities(answers.logits))
                lines = []
                for path, reason in zip(answers.paths, answers.reasons, strict=True):
                    row = None if reason is not None else next(said)
                    decided = [] if row is None else [names[k] for k in np.flatnonzero(row >= thresholds)]
                    lines.append(write(path, decided, names, row, reason))
                    counts.update(decided)
                    unreadable += row is None
                file.append("".join(lines))
                files += len(answers.paths)
                advance(files)
        if files == unreadable:
            raise RunError(f"none of {files} files can be read: see `error` in {file.path}")
        told = ", ".join(f"{name} {count}" for name, count in counts.most_common(10))
        log.info("predicted    %d files: %s", files, told or "no label of any")
        if unreadable:
            log.info("unreadable   %d of them, see `error` in %s", unreadable, file.path.name)
        return {
            "task": self.trained.module.task.name,
            "precision": precision_of(self.trained),
            "thresholds": dict(zip(names, thresholds.tolist(), strict=True)),
            "count": files,
            "unreadable": unreadable,
            "predicted": dict(counts.most_common()),
            "seconds": round(time.perf_counter() - began, 1),
        }


def prepare_labels(cfg: DictConfig, trained: Trained) -> LabelTask:
    """Turn the settings of `src.predict` into a task; raise `InputError` for one that means nothing here."""
    defaults: Any = OmegaConf.load(CONF / "predict.yaml")
    for name in IDLE:
        if cfg[name] != defaults[name]:
            raise InputError(
                f"{name}={plain(cfg[name])} is for one class an image, and these are several labels: leave it out"
            )
    return LabelTask(trained, cfg.format, cfg.batch_size, cfg.num_workers)


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
    return json.dumps({"path": path, "predicted": decided, "probabilities": shares, "error": reason}) + "\n"
