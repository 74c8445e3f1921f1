"""Predict many files by an ensemble: every network sees each file, and the mean of their probabilities answers."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ..data.transforms import Geometry
from ..errors import InputError
from ..settings.check import plain
from ..trained.decision import decision_of
from ..trained.ensemble import Ensemble
from ..trained.pictures import Pictures, open_run_split
from .files import Task
from .request import row_format
from .stream import Answers, precision_of, stream_together

log = logging.getLogger(__name__)

OF_ONE = {"overlays": (False,), "coverage": (None,), "ood": (None,)}
"""Settings for one network, and the values that say nothing: maps are a network's, validation images a run's."""

Sources = Mapping[Geometry, Sequence[str] | Pictures]


@dataclass(frozen=True)
class TogetherTask(Task):
    """How to predict by an ensemble; `sources` are the same files as its networks want them cut."""

    sources: Sources = field(default_factory=dict)

    def stream(self, source: Sequence[str] | Pictures, workers: int) -> Iterator[Answers]:  # noqa: ARG002
        assert isinstance(self.trained, Ensemble)
        return stream_together(self.trained, self.sources, self.batch_size, workers)

    def how(self) -> dict[str, Any]:
        assert isinstance(self.trained, Ensemble)
        return {"precision": [precision_of(one.trained) for one in self.trained.members]}


def prepare_together(cfg: DictConfig, ensemble: Ensemble, sources: Sources) -> TogetherTask:
    """Turn the settings of `src.predict` into a task; raise `InputError` for one that is for a single network."""
    for name, usual in OF_ONE.items():
        if cfg[name] not in usual:
            raise InputError(f"{name}={plain(cfg[name])} is for one run, and checkpoint names several: leave it out")
    decision = decision_of(cfg, ensemble)
    members = ensemble.members
    log.info("ensemble     mean of %d networks: %s", len(members), ", ".join(member.name for member in members))
    if ensemble.calibrated:
        log.info("calibrated   %d of them have a temperature", ensemble.calibrated)
    top_k = min(cfg.top_k, len(ensemble.class_names))
    task = (ensemble, row_format(cfg), top_k, 1.0, None, cfg.batch_size, cfg.num_workers, decision)
    return TogetherTask(*task, sources=sources)


def open_sources(where: str, ensemble: Ensemble, paths: Sequence[str], data_root: str | None) -> Sources:
    """Return `paths`, or the images of a split of all runs, for each way in which they are cut.

    Raises:
        InputError: The runs were divided differently, so that one has learned from what is new to another.
    """
    if paths:
        return dict.fromkeys(ensemble.geometries, paths)
    sources: dict[Geometry, Pictures] = {}
    first: Pictures | None = None
    for member in ensemble.members:
        found = open_run_split(where, member.trained, data_root)
        first = first or found
        roots = (getattr(pictures.dataset, "root", Path()).resolve() for pictures in (found, first))
        if found.names != first.names or len(set(roots)) > 1:
            raise InputError(divided_otherwise(ensemble, f"images={where}", "images=PHOTOS"))
        sources.setdefault(member.trained.geometry, found)
    return sources


def divided_otherwise(ensemble: Ensemble, asked: str, instead: str) -> str:
    """Say why images of the runs themselves can't be asked about, and what can be named `instead`."""
    one, other = ensemble.members[0].name, ensemble.members[-1].name
    return (
        f"{asked}: {one} and {other} were divided differently, so that a network has learned from images that are new "
        f"to another: say {instead}, images that none has seen"
    )
