"""The folder that a command writes to: chosen and tried beforehand, and taken away again where nothing came of it."""

import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..errors import InputError, first_line
from ..runs.folder import RunFolder


@dataclass(frozen=True)
class Reserved:
    """The folder that this process writes to, known before Hydra makes it.

    Attributes:
        path: it, absolute.
        key: Hydra's setting for it.
        made: the topmost of it and its parents that this process made; None where all were there.
        before: what was in it.
    """

    path: Path
    key: str
    made: Path | None
    before: frozenset[str]

    def is_ours(self, path: Path) -> bool:
        """Whether `path` lies in what came into the folder since."""
        parts = path.relative_to(self.path).parts if path.is_relative_to(self.path) else ()
        return bool(parts) and parts[0] not in self.before


def reserve(cfg: DictConfig, check_sweep: Callable[[Path], None] | None = None) -> Reserved | None:
    """Choose the folder now, so that it is known what this process makes of it.

    `check_sweep` says whether a sweep that is there already may be gone on with. Raises `InputError` where something is
    in the folder that would be written over, or it can't be made. None for a distributed run's processes (`LOCAL_RANK`
    is set), which are told their folder by the first, and for a verb that makes its folder itself.
    """
    multirun = cfg.hydra.mode == RunMode.MULTIRUN
    if "LOCAL_RANK" in os.environ or (writes_itself(cfg) and not multirun):
        return None
    key = "hydra.sweep.dir" if multirun else "hydra.run.dir"
    word = _word_of(cfg, key)
    try:
        named = OmegaConf.select(cfg, word)
        if named is None or not str(named).strip():
            said = f"{word}={'null' if named is None else named}"
            raise InputError(f"{said} names no folder: name one, or leave {word} out")
        value = OmegaConf.select(cfg, key)
    except OmegaConfBaseException as error:
        raise InputError(f"{word}: {first_line(error)}") from error
    folder = Path(os.path.abspath(str(value)))  # noqa: PTH100  # as Hydra makes it, without ..
    made = None
    try:
        made = _first_missing(folder)
        before = frozenset() if made else frozenset(path.name for path in folder.iterdir())
        if before:
            if multirun and check_sweep is not None:
                check_sweep(folder)
            else:
                _refuse_taken(cfg, folder, word)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder):  # permissions don't tell: root has them on a read-only disk too
            pass
    except OSError as error:
        if made is not None:
            remove_empty(Reserved(folder, key, made, frozenset()))
        reason = (error.strerror or "").lower()
        remedy = f"{word}={'NAME' if word == 'sweep' else 'FOLDER'}"
        raise InputError(f"{folder} can't be written ({reason}): name another folder with {remedy}") from None
    return Reserved(folder, key, made, before)


def writes_itself(cfg: DictConfig) -> bool:
    """Whether the verb makes its folder itself: it tells Hydra to stay where it is."""
    return OmegaConf.to_container(cfg.hydra.run, resolve=False) == {"dir": "."}


def _word_of(cfg: DictConfig, key: str) -> str:
    """The setting by which the user says where to write: what was typed, else what the verb has for it, else `key`."""
    overrides: Any = OmegaConf.to_container(cfg.hydra.overrides, resolve=False)
    typed = {word.lstrip("+").partition("=")[0] for words in overrides.values() for word in words}
    words = (key, "output", "sweep") if key == "hydra.sweep.dir" else (key, "output")
    return next((word for word in words if word in typed), "output" if "output" in cfg else key)


def _first_missing(folder: Path) -> Path | None:
    """The topmost of `folder` and its parents that doesn't exist; None where all do."""
    missing = None if folder.exists() else folder
    while missing is not None and not missing.parent.exists():
        missing = missing.parent
    return missing


def _refuse_taken(cfg: DictConfig, folder: Path, word: str) -> None:
    """Raise `InputError` where what is in the folder, which is not empty, would be written over or mixed with.

    A training leaves a user's own files alone, and refuses Hydra's record and that of a run. The other verbs give
    their files names that a user might have chosen as well, and take an empty folder only.
    """
    if "output" in cfg:
        raise InputError(f"{word}={OmegaConf.select(cfg, word)} is not empty: name another folder")
    names = ("run.json", cfg.hydra.output_subdir or ".hydra", f"{cfg.hydra.job.name}.log")
    if any((folder / name).exists() for name in names):
        raise InputError(f"{folder} holds a run already: name another folder, or leave hydra.run.dir out")


def discard(reserved: Reserved, folder: Path) -> None:
    """Remove what was written for a run that never began: without a record, or with one that says so."""
    run = RunFolder(folder)
    refused = run.status == "refused"
    if run.record_file.exists() and not refused:
        return
    for handler in list(logging.root.handlers):
        if isinstance(handler, logging.FileHandler):
            logging.root.removeHandler(handler)
            handler.close()
    if refused or reserved.is_ours(run.hydra):
        shutil.rmtree(run.hydra, ignore_errors=True)
    for file in folder.glob("*.log"):
        if reserved.is_ours(file):
            file.unlink()
    if refused:
        run.record_file.unlink()
    if reserved.is_ours(folder) and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def remove_empty(reserved: Reserved) -> None:
    """Remove the folder, and the parents made for it, where nothing but empty folders and a sweep's record came in."""
    files = [path for path in reserved.path.rglob("*") if not path.is_dir()]
    if reserved.before or any(path.name != "multirun.yaml" for path in files):
        return
    for file in files:
        file.unlink()
    if reserved.made is None:
        return
    shutil.rmtree(reserved.path, ignore_errors=True)
    for parent in reserved.path.parents:
        if parent.is_relative_to(reserved.made):
            with suppress(OSError):  # another process has begun a run in it
                parent.rmdir()
