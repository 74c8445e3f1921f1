"""The configuration of a run, for what has to do with its data or its training again."""

import logging
import re
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..errors import InputError, first_line
from ..settings import composing  # noqa: F401  # the resolvers that the configuration of a study needs
from ..settings.check import check_config
from .folder import RunFolder

log = logging.getLogger(__name__)

GROUPS = ("seed", "model", "data", "trainer")
LARGEST = 2**17
"""Bytes of a config.yaml; Hydra writes four thousand."""

DEEPEST = 30
RESOLVERS = {"full_or_quick", "now", "hydra", "hex"}
"""What our own configurations refer to. A run may come from a stranger: another resolver, such as `${oc.env:TOKEN}`,
would put what is nobody's business into a message, a record or the web page."""


def run_settings(run: RunFolder) -> Any:
    """The composed configuration of `run`, unresolved: a sweep's name may be the time of day, which only Hydra tells.

    Seed and groups can be resolved, and what they say of the data is possible. Raises `InputError` where there is none
    that can be read, or it asks for what it must not.
    """
    file = run.hydra / "config.yaml"
    try:
        text = _read(file)
        settings = OmegaConf.create(text)
    except FileNotFoundError:
        raise InputError(f"{file} is missing, which says what the run was trained on: name a whole run") from None
    except (OSError, ValueError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise InputError(f"{file} can't be read ({first_line(error)[:120]}): name a whole run") from error
    lacking = [key for key in GROUPS if key not in settings]
    if not isinstance(settings, DictConfig) or lacking:
        raise InputError(f"{file} is no configuration of src.train: name a whole run")
    _check(settings, file)
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


def _read(file: Path) -> str:
    """The text, if its YAML is of a usual size; an alias in it could stand for ten others, and so on."""
    if file.exists() and not file.is_file():
        raise ValueError("it is no regular file")
    if file.stat().st_size > LARGEST:
        raise ValueError("it is too large")
    text = file.read_text(encoding="utf-8")
    refuse_unusual(text)
    return text


def refuse_unusual(text: str) -> None:
    """Raise `ValueError` or `yaml.YAMLError` where no Hydra has written the YAML of a configuration for us."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > DEEPEST:
            raise ValueError("Hydra writes no such YAML")
    named = set(re.findall(r"\$\{\s*([\w.]+)\s*:", text)) - RESOLVERS
    if named:
        raise ValueError(f"it refers to ${{{min(named)}:…}}, which is not taken from a run: write the value there")


def _check(settings: DictConfig, file: Path) -> None:
    """Raise `InputError` where a group has another type, refers to nothing, or says what `check_config` refuses."""
    try:
        nodes = {key: settings[key] for key in GROUPS}
        plain: dict[Any, Any] = {
            key: OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
            for key, node in nodes.items()
        }
        if not all(isinstance(plain[key], dict) for key in GROUPS[1:]):
            raise InputError("model, data and trainer have to be groups of settings")
        # Not the model: its weights may lie elsewhere by now.
        check_config(OmegaConf.create({key: plain[key] for key in GROUPS if key != "model"}))
    except (InputError, OmegaConfBaseException, RecursionError) as error:
        raise InputError(f"{file}: {first_line(error)[:200]}") from error
