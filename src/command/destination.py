"""The folder that a command writes to: which one it is, and whether it may be written to."""

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..errors import InputError, first_line
from ..runs.folder import RunFolder
from ..runs.reserved import Reserved, refuse_remote, reserved
from ..settings.composing import STAYS, set_hydras, typed_words
from ..settings.schema.training import check_name


class Destination(NamedTuple):
    """A folder, absolute, with the setting that names it and what the user wrote there."""

    path: Path
    setting: str
    named: str


def hydra_folder() -> str | None:
    """Return the folder that Hydra has made for this job; None outside Hydra."""
    return HydraConfig.get().runtime.output_dir if HydraConfig.initialized() else None


def choose_destination(cfg: DictConfig) -> Destination | None:
    """Return the folder of a run or a sweep, and settle Hydra on it.

    None for a verb that makes its folder itself. Raises `InputError` where the setting names none on this machine.
    """
    multirun = cfg.hydra.mode == RunMode.MULTIRUN
    if writes_itself(cfg) and not multirun:
        return None
    key = "hydra.sweep.dir" if multirun else "hydra.run.dir"
    setting = _setting_of(cfg, key)
    if not multirun and OmegaConf.select(cfg, "name") is not None:
        check_name(cfg.name)
        if setting != "name" and _is_typed(cfg, "name"):
            raise InputError(f"name={cfg.name} and {setting} both say where the run goes: leave one of them out")
    try:
        named = OmegaConf.select(cfg, setting)
        if named is None or not str(named).strip():
            said = f"{setting}={'null' if named is None else named}"
            raise InputError(f"{said} names no folder: name one, or leave {setting} out")
        refuse_remote(str(OmegaConf.select(cfg, key)), f"{setting}={named}")
        path = os.path.abspath(str(OmegaConf.select(cfg, key)))  # noqa: PTH100  # as Hydra makes it, without ..
    except OmegaConfBaseException as error:
        raise InputError(f"{setting}: {first_line(error)}") from error
    if not _is_typed(cfg, setting) and not Path(path).is_relative_to(Path.cwd() / "outputs"):
        raise InputError(f"{key}={path} of a configuration is not below outputs/: say {setting}=… on the command line")
    set_hydras(cfg, key, path)
    return Destination(Path(path), setting, str(named))


def writes_itself(cfg: DictConfig) -> bool:
    """Return whether the verb makes its folder itself: it tells Hydra to stay where it is."""
    return OmegaConf.to_container(cfg.hydra.run, resolve=False) == STAYS


def _setting_of(cfg: DictConfig, key: str) -> str:
    """Return the setting that says where to write: what was typed, else what the verb has for it, else `key`."""
    settings = (key, "output", "sweep") if key == "hydra.sweep.dir" else (key, "name", "output")
    return next((name for name in settings if _is_typed(cfg, name)), "output" if "output" in cfg else key)


def _is_typed(cfg: DictConfig, setting: str) -> bool:
    words = (word for part in ("task", "hydra") for word in typed_words(cfg, part))
    return any(word.lstrip("+").partition("=")[0] == setting for word in words)


def reserve(folder: Destination, *, together: bool = False) -> AbstractContextManager[Reserved]:
    """Make it or take it while a block runs, see `reserved`."""
    return reserved(folder.path, str(folder.path), another(folder), together=together)


def another(folder: Destination) -> str:
    """Return what to do where others have the folder."""
    value = "NAME" if folder.setting in ("sweep", "name") else "FOLDER"
    return f"name another folder with {folder.setting}={value}"


def refuse_taken(cfg: DictConfig, folder: Destination) -> None:
    """Raise `InputError` where a run would write over what is in the folder, or mix with it.

    A training leaves a user's own files alone, and refuses Hydra's record and all names that it writes. The other verbs
    give their files names that a user might have chosen as well, and take an empty folder only.
    """
    if "output" in cfg and any(folder.path.iterdir()):
        raise InputError(f"{folder.setting}={folder.named} is not empty: name another folder")
    names = ("run.json", cfg.hydra.output_subdir or ".hydra", f"{cfg.hydra.job.name}.log")
    other = "name another folder, or leave hydra.run.dir out"
    if folder.setting == "name":
        other = "take another name, or go on with resume=auto"
    if any(os.path.lexists(folder.path / name) for name in names):
        raise InputError(f"{folder.path} holds a run already: {other}")
    if "output" not in cfg and (taken := RunFolder(folder.path).taken()):
        raise InputError(f"{folder.path} holds {taken[0]}, which a run would write over: {other}")
