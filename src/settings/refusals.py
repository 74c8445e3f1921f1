"""Why Hydra refuses what was typed, in one line."""

import re
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from ..errors import first_line
from .check import keys, nearest
from .defaults import CONF
from .other_names import SETTINGS_SEARCH, in_full, option_with, settings_of, words_for
from .schema.verbs import VERBS


def explain(loader: ConfigLoaderImpl, verb: str, overrides: Sequence[str], error: Exception) -> str:
    """Return one line for what Hydra says in several: the value, and the remedy or the nearest right ones."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options is not None:
        if meant := next(filter(None, map(_file_as_option, overrides)), None):
            return meant
        group, _, option = error.missing_cfg_file.rpartition("/")
        if error.missing_cfg_file.startswith("hydra/sweeper/optuna"):  # in a file
            return f"hydra/sweeper: optuna is a search of its own now: {SETTINGS_SEARCH}"
        for name, _, value in (word.partition("=") for word in overrides):
            if f"{name}/{value}" == error.missing_cfg_file:
                group, option = name, value
        return f"{group}={option} is unknown; nearest: {nearest(option, list(error.options))}"
    text = str(error)
    if match := re.match(r"In '\w+': Could not load '(\w+)/([^']+)'", text):  # one of a list
        return f"{match[1]}={match[2]} is unknown; nearest: {nearest(match[2], loader.get_group_options(match[1]))}"
    if match := re.match(r"Could not append to config. An item is already at '([^']+)'", text):
        typed = next((word for word in overrides if word.startswith(f"+{match[1]}=")), f"{match[1]}=…")
        return f"{match[1]!r} is a setting already: say {typed.lstrip('+')} without +"
    if match := re.match(r"Could not (?:override|append to config|delete from config\.) '([^']+)'", text):
        return _explain_unknown(loader, verb, overrides, match[1]) or first_line(error)
    if match := re.match(r"Multiple values for (\S+)\.", text):
        return f"{match[1]} is chosen already: say {match[1]}=OPTION, once and without +"
    if isinstance(error, OverrideParseException):
        return explain_syntax(verb, error)
    cause = f": {first_line(error.__cause__)}" if error.__cause__ is not None else ""
    return first_line(error) + cause


def _explain_unknown(loader: ConfigLoaderImpl, verb: str, overrides: Sequence[str], name: str) -> str | None:
    """Say why there is no setting `name` beside the options that the overrides choose; None where there is one."""

    def load(words: list[str]) -> tuple[DictConfig, list[str]]:
        cfg = loader.load_configuration(verb, words, RunMode.RUN, from_shell=False, validate_sweep_overrides=False)
        return cfg, [key for key in keys(cfg) if key != "hydra" and not key.startswith("hydra.")]

    typed = next((word for word in overrides if word.lstrip("+").partition("=")[0] == name), "")
    words = words_for(verb, typed, overrides) if typed else None
    try:
        cfg, known = load([word for word in overrides if loader.repository.group_exists(word.partition("=")[0])])
    except HydraException:  # one of the options is unknown itself
        return f"{name!r} is not a setting: say {words}" if words else None
    if name in known:
        return None
    group, _, setting = name.partition(".")
    option = cfg.hydra.runtime.choices.get(group)
    if option is not None and name in load([])[1]:
        return f"{group}={option} has no setting {setting}: leave {name} out, or choose another {group}"
    if option is not None and typed and (way := _way_in(loader, cfg, verb, name, typed)):
        return f"{group}={option} has no setting {setting}: say {way}"
    return f"{name!r} is not a setting{f': say {words}' if words else f'; nearest: {nearest(name, known)}'}"


def _file_as_option(word: str) -> str | None:
    """Return what to say for an option that is a file or folder of the user's; None for another one."""
    group, _, value = word.partition("=")
    path = Path(value.strip("'")).expanduser()
    try:
        if group == "data" and path.is_dir():
            return f"{word} is a folder: say data=folder data.root={path}"
        if group == "data" and path.is_file() and path.suffix.lower() in TABLES:
            return f"{word} is a file: say data=table data.table={path}"
        if group == "data" and path.is_file():
            return f"{word} is a file: say data=folder data.root=FOLDER, the folder of your images"
        if group == "model" and path.exists():
            return f"{word} is no network: say weights={path}, and model=NAME of the network that it is of"
    except (OSError, RuntimeError):  # a name that is too long, or the home of nobody
        pass
    return None


TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")


def _way_in(loader: ConfigLoaderImpl, cfg: DictConfig, verb: str, name: str, typed: str) -> str | None:
    """Return how to set what the schema knows, but the chosen options don't have; None for what it doesn't know."""
    if name not in settings_of(VERBS[verb]):
        return None
    parent, _, leaf = name.rpartition(".")
    group, _, setting = name.partition(".")
    if parent == group:
        loaded = (
            (other, loader.repository.load_config(f"{group}/{other}")) for other in loader.get_group_options(group)
        )
        having = [other for other, option in loaded if option is not None and setting in option.config]
        return f"{group}={having[0]} {typed}" if len(having) == 1 else None
    there = OmegaConf.select(cfg, parent)
    if isinstance(there, DictConfig):
        return f"+{typed}"
    if option := option_with(name):
        return f"{option[0]} {typed}"
    return f"{parent}={{{leaf}:{typed.partition('=')[2]}}}"


def explain_syntax(verb: str, error: Exception) -> str:
    """Return one line for an override that can't be parsed."""
    override = getattr(error, "override", None)
    if override is None:
        return first_line(error)
    if "=" not in override:
        return f"{override!r} is not understood: settings are written as name=value, such as model=resnet50"
    if words := words_for(verb, override):  # a path, say, of a setting that isn't taken raw
        return f"{override.partition('=')[0]!r} is not a setting: say {words}"
    return f"{override!r} can't be read: put its value in quotes within quotes, \"name='value'\""


def explain_dashes(verb: str, word: str, argv: Sequence[str]) -> str:
    """Return one line for `--lr 0.1` or `--lr=0.1`, which other tools take."""
    name, equals, value = word.lstrip("-").partition("=")
    if not equals:
        after = [*argv, ""][[*argv, word].index(word) + 1 :][:1]
        value = after[0] if after and after[0][:1] != "-" and "=" not in after[0] else ""
    typed = f"{name.replace('-', '_')}={value}"
    words = words_for(verb, typed)
    if in_full(verb, [typed]) != [typed]:
        words = typed  # it is a short name of ours
    if words is None and not value:
        groups = [group for group in ("model", "data") if (CONF / group / f"{typed[:-1]}.yaml").is_file()]
        words = f"{groups[0]}={typed[:-1]}" if groups else "name=value"
    words = words or typed
    return f"{word} is not understood: settings are written without dashes, {words}"
