"""A run in Weights & Biases: in its folder alone, unless somebody asks for more."""

import os
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import WandbLogger

from ..errors import InputError
from .loggers import EPOCH, curves
from .needed import need, title_of

STEP = "trainer/global_step"
"""What Lightning counts steps in."""


class RunWandb(WandbLogger):
    """Lightning's W&B logger, whose run has an id of its own that a resumed training finds again.

    Offline it writes `RUN/wandb/offline-run-…`, sends nothing and asks for nothing; `wandb sync` uploads it.
    """

    def __init__(
        self,
        save_dir: str,
        project: str = "reslens",
        mode: Literal["offline", "online"] | None = None,
        entity: str | None = None,
        group: str | None = None,
        tags: Sequence[str] | None = None,
        notes: str | None = None,
    ) -> None:
        need("wandb", "logger=wandb", "wandb")
        if mode not in (None, "offline", "online"):
            raise InputError(f"logger.wandb.mode={mode} is unknown; take offline or online")
        online = mode == "online"
        if online:
            _need_key()
        super().__init__(
            name=title_of(save_dir), save_dir=save_dir, id=_id_of(Path(save_dir)), offline=not online, project=project,
            entity=entity, group=group, tags=None if tags is None else list(tags), notes=notes,
            mode="online" if online else "offline",
        )  # fmt: skip

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """W&B's run. One that a notebook has going on beside this one stays as it is."""
        if self._experiment is None:
            import wandb

            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # to its makers
            settings = wandb.Settings(silent=True, console="off", symlink=False)
            options = {name: value for name, value in self._wandb_init.items() if name != "anonymous"}
            if self._offline:
                options["resume"] = None  # it is for the server; here the id is enough
            self._experiment = wandb.init(**options, settings=settings, reinit="create_new")
            _drop_links(Path(self._experiment.dir).parent)
            self._experiment.define_metric(STEP)
            self._experiment.define_metric("*", step_metric=STEP, step_sync=True)
            self._experiment.define_metric("val/gradcam*", step_metric=EPOCH)
        return self._experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log the curves."""
        figures = curves(metrics)
        if figures:
            super().log_metrics(figures, step)


def _drop_links(folder: Path) -> None:
    """Remove the link to a log of W&B's own: below a run folder nothing leads out of it, or no training goes on."""
    for path in folder.rglob("*"):
        if path.is_symlink():
            path.unlink(missing_ok=True)


def _id_of(folder: Path) -> str:
    """Return the id of the W&B run of a run folder, from the names of what was written there, or a new one."""
    names = sorted(path.name for path in folder.glob("wandb/*run-*-*"))
    known = [match[1] for name in names if (match := re.fullmatch(r"(?:offline-)?run-\d{8}_\d{6}-([a-z0-9]{8})", name))]
    return known[-1] if known else secrets.token_hex(4)


def _need_key() -> None:
    """Raise `InputError` where W&B would ask for a login."""
    import wandb

    if not wandb.login(prompt=False, verify=False):
        raise InputError("logger.wandb.mode=online needs a login: say `wandb login` once, or leave it out")
