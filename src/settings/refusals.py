"""Why Hydra refuses what was typed, in one line."""

import re
from collections.abc import Sequence

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig

from ..errors import first_line
from .check import keys, nearest


def explain(loader: ConfigLoaderImpl, verb: str, overrides: Sequence[str], error: Exception) -> str:
    """Return one line for what Hydra says in several: the value, and the remedy or the nearest right ones."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options is not None:
        group, _, option = error.missing_cfg_file.rpartition("/")
        return f"{group}={option} is unknown; nearest: {nearest(option, list(error.options))}"
    text = str(error)
    if match := re.match(r"In 'search/(\w+)'", text):
        return f"+search={match[1]} is for hydra/sweeper=optuna, which comes with pip install -e '.[sweep]': add it"
    if match := re.match(r"Could not append to config. An item is already at '([^']+)'", text):
        typed = next((word for word in overrides if word.startswith(f"+{match[1]}=")), f"{match[1]}=…")
        return f"{match[1]!r} is a setting already: say {typed.lstrip('+')} without +"
    if match := re.match(r"Could not (?:override|append to config|delete from config\.) '([^']+)'", text):
        return _explain_unknown(loader, verb, overrides, match[1]) or first_line(error)
    if match := re.match(r"Multiple values for (\S+)\.", text):
        return f"{match[1]} is chosen already: say {match[1]}=OPTION, once and without +"
    if isinstance(error, OverrideParseException):
        return explain_syntax(error)
    cause = f": {first_line(error.__cause__)}" if error.__cause__ is not None else ""
    return first_line(error) + cause


def _explain_unknown(loader: ConfigLoaderImpl, verb: str, overrides: Sequence[str], name: str) -> str | None:
    """Say why there is no setting `name` beside the options that the overrides choose; None where there is one."""

    def load(words: list[str]) -> tuple[DictConfig, list[str]]:
        cfg = loader.load_configuration(verb, words, RunMode.RUN, from_shell=False, validate_sweep_overrides=False)
        return cfg, [key for key in keys(cfg) if key != "hydra" and not key.startswith("hydra.")]

    try:
        cfg, known = load([word for word in overrides if loader.repository.group_exists(word.partition("=")[0])])
    except HydraException:  # one of the options is unknown itself
        return None
    if name in known:
        return None
    group, _, setting = name.partition(".")
    option = cfg.hydra.runtime.choices.get(group)
    if option is not None and name in load([])[1]:
        return f"{group}={option} has no setting {setting}: leave {name} out, or choose another {group}"
    return f"{name!r} is not a setting; nearest: {nearest(name, known)}"


def explain_syntax(error: Exception) -> str:
    """Return one line for an override that can't be parsed."""
    override = getattr(error, "override", None)
    if override is None:
        return first_line(error)
    if "=" not in override:
        return f"{override!r} is not understood: settings are written as name=value, such as model=resnet50"
    return f"{override!r} can't be read: put its value in quotes within quotes, \"name='value'\""
