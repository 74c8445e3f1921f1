"""The curves of a run as a table, `steps.csv`: a row for each step that logs something."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from ..files import replacing
from .loggers import curves

FILE = "steps.csv"


class _Writer(ExperimentWriter):
    """Lightning's, which goes on in the file of a run that is resumed; it would remove it."""

    NAME_METRICS_FILE = FILE

    def _check_log_dir_exists(self) -> None:
        self.earlier = Path(self.metrics_file_path)
        if self.earlier.is_file():
            with self.earlier.open(newline="", encoding="utf-8") as file:
                self.metrics_keys = list(next(csv.reader(file), []))

    def begin_at(self, step: int) -> None:
        """Leave out what an earlier process wrote of this step and later ones: they are done again."""
        if not self.earlier.is_file():
            return
        with self.earlier.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        kept = [row for row in rows if (row.get("step") or "").isdigit() and int(row["step"]) < step]
        if len(kept) < len(rows):
            with replacing(self.earlier) as temporary, temporary.open("w", newline="", encoding="utf-8") as new:
                table = csv.DictWriter(new, self.metrics_keys, extrasaction="ignore")
                table.writeheader()
                table.writerows(kept)


class StepsLogger(CSVLogger):
    """Lightning's CSV logger with its table at the top of the run folder and nothing else there."""

    def __init__(self, save_dir: str, flush_logs_every_n_steps: int = 100) -> None:
        super().__init__(save_dir, name="", version="", flush_logs_every_n_steps=flush_logs_every_n_steps)
        self._begun = False

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """Lightning's writer of tables."""
        if self._experiment is None:
            self._experiment = _Writer(self.log_dir)
        return self._experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:  # type: ignore[override]
        """Keep the curves; a step that comes back is that of a resumed run."""
        figures = curves(metrics)
        if not figures:
            return
        if not self._begun and step is not None:
            self._begun = True
            self.experiment.begin_at(step)
        super().log_metrics({**figures}, step)
