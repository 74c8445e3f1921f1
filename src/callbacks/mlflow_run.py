"""A run in MLflow: a database and pictures below `outputs`, where all runs are compared."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import MLFlowLogger

from ..runs.folder import RunFolder
from .loggers import curves
from .needed import need, title_of

STORE = "mlruns"

ELSEWHERE = "http://localhost"
"""What Lightning's logger makes a client of before the run begins: one of a database would make the database."""

FOLDER = "reslens.folder"
"""The tag by which a resumed training finds its run."""


class RunMLflow(MLFlowLogger):
    """Lightning's MLflow logger with a database of its own, `outputs/mlruns/mlflow.db`; for runs elsewhere in the run.

    MLflow writes no more to plain files, its former way.
    """

    def __init__(
        self,
        save_dir: str,
        experiment_name: str = "reslens",
        tracking_uri: str | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> None:
        need("mlflow", "logger=mlflow", "mlflow")
        if tracking_uri is None:
            need("sqlalchemy", "logger=mlflow", "mlflow")
            need("alembic", "logger=mlflow", "mlflow")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        store = Path(RunFolder(save_dir).logdir).absolute() / STORE
        self._run, self._store = RunFolder(save_dir), None if tracking_uri else store
        super().__init__(
            experiment_name, tracking_uri=ELSEWHERE,
            artifact_location=None if tracking_uri else store.as_uri(),
            tags={**(tags or {}), "mlflow.runName": title_of(save_dir), FOLDER: str(self._run.path.absolute())},
        )  # fmt: skip
        self._tracking_uri = tracking_uri or f"sqlite:///{store / 'mlflow.db'}"

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """MLflow's client. What it is told globally, as by a notebook, stays as it is."""
        if self._initialized:
            return self._mlflow_client
        from mlflow.tracking import MlflowClient

        for name in ("mlflow", "alembic"):  # they tell of each table that they make
            logging.getLogger(name).setLevel(logging.WARNING)
        if self._store is not None:
            self._store.mkdir(parents=True, exist_ok=True)
        client: Any = MlflowClient(self._tracking_uri)
        self._mlflow_client = client
        known = client.get_experiment_by_name(self._experiment_name)
        self._experiment_id = (
            known.experiment_id
            if known is not None and known.lifecycle_stage == "active"
            else client.create_experiment(self._experiment_name, artifact_location=self._artifact_location)
        )
        self._run_id = self._earlier() or client.create_run(self._experiment_id, tags=self.tags).info.run_id
        client.update_run(self._run_id, status="RUNNING")
        self._initialized = True
        return client

    def _earlier(self) -> str | None:
        """Return the id of the run that this training goes on with; None where it begins."""
        if self._run.status is None or not self._run.record().get("resumed"):
            return None
        found: Any = self._mlflow_client.search_runs(
            [str(self._experiment_id)], f"tags.`{FOLDER}` = '{self._run.path.absolute()}'".replace("\\", "\\\\"),
            max_results=1, order_by=["attributes.start_time DESC"],
        )  # fmt: skip
        return found[0].info.run_id if found else None

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log the curves."""
        figures = curves(metrics)
        if figures:
            super().log_metrics(figures, step)

    def finalize(self, status: str = "success") -> None:
        """Keep the run open: Lightning calls this after each of measuring, training and measuring again."""
