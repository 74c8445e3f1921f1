"""The configuration of a run, for what has to do with its data or its training again."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..errors import InputError, first_line
from ..settings import composing  # noqa: F401  # the resolvers that the configuration of a study needs
from ..settings.check import check_config
from ..settings.defaults import EARLIER
from ..settings.rates import AUTO
from .contents import MissingError, UnusableError, read_config
from .folder import RunFolder

log = logging.getLogger(__name__)

GROUPS = ("seed", "model", "data", "trainer", "optimizer", "scheduler")

OTHERS = (
    *("monitor", "mode", "checkpoint_every", "label_smoothing", "memory_format", "convolutions", "compile"),
    *("mixup", "cutmix", "ema", "progressive_size", "test_flip", "head_first"),
)
"""What a measurement or a training beside the run takes over, besides."""


def unsaid(data: Mapping[Any, Any]) -> dict[str, Any]:
    """Return what the group `data` of a run meant without saying so, because its version knew no other way.

    The order of classes is that of its checkpoints' heads, and the draw of its splits depends on it.
    """
    meant = EARLIER | ({"class_order": "plain"} if data.get("name") == "folder" else {})
    return {key: value for key, value in meant.items() if key not in data}


def run_settings(run: RunFolder) -> Any:
    """The composed configuration of `run`, unresolved: a sweep's name may be the time of day, which only Hydra tells.

    Seed and groups can be resolved, and what they say of the data is possible. Raises `InputError` where there is none
    that can be read, or it asks for what it must not.
    """
    file = run.hydra / "config.yaml"
    try:
        settings = read_config(run.path, str(file.relative_to(run.path)))
    except MissingError:
        raise InputError(f"{file} is missing, which says what the run was trained on: name a whole run") from None
    except UnusableError as error:
        raise InputError(f"{run.shown}: {first_line(error)[:200]}: name a whole run") from error
    lacking = [key for key in GROUPS if key not in settings]
    if not isinstance(settings, DictConfig) or lacking:
        raise InputError(f"{file} is no configuration of src.train: name a whole run")
    _check(settings, file)
    settings.data.update(unsaid(settings.data))
    if settings.optimizer.get("lr") == AUTO and (rate := run.learning_rate) is not None:
        settings.optimizer.lr = rate  # a training beside the run learns at its rate
    return settings


def known_settings(run: RunFolder | None) -> Any:
    """As `run_settings`; nothing, with a line in the log, where they can't be had, and without a run."""
    if run is None:
        return {}
    try:
        return run_settings(run)
    except InputError as error:
        log.info("the settings of the run are unknown: %s", error)
        return {}


def _check(settings: DictConfig, file: Path) -> None:
    """Raise `InputError` where a group has another type, refers to nothing, or says what `check_config` refuses."""
    try:
        nodes = {key: settings[key] for key in (*GROUPS, *OTHERS) if key in settings}
        plain: dict[Any, Any] = {
            key: OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
            for key, node in nodes.items()
        }
        if not all(isinstance(plain[key], dict) for key in GROUPS[1:]):
            raise InputError(f"{', '.join(GROUPS[1:])} have to be groups of settings")
        # Not the model: its weights may lie elsewhere by now.
        check_config(OmegaConf.create({key: value for key, value in plain.items() if key != "model"}))
    except (InputError, OmegaConfBaseException, RecursionError) as error:
        raise InputError(f"{file}: {first_line(error)[:200]}") from error
