"""What was typed behind a verb: paths taken raw, and the configuration of each run composed and checked beforehand."""

import os
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..errors import InputError, first_line
from .check import check_config, keys, nearest
from .defaults import CONF as CONF
from .trust import check_trust

PACKAGE = __package__.partition(".")[0]
"""`src` in the repository; `reslens` where it is installed, with `conf/` in it."""

RAW_PATHS = (
    "data.root", "checkpoint", "images", "resume", "runs", "output", "weights", "model.weights", "judge", "shuffled",
    "target",
)  # fmt: skip
"""Overrides whose value is a path or a class's name, not Hydra's grammar, which refuses spaces, `ä ~ ( ) = [ ,`."""

NEEDED = ("model", "data", "trainer", "optimizer", "scheduler", "callbacks", "logger")
"""Groups that can be chosen but not taken out with `~`; `callbacks=none` and `logger=none` are empty ones."""

JOBS_CHECKED = 64
"""Of a sweep, so many runs are composed and checked before the first run; each costs some 50 ms."""

BASIC_SWEEPER = f"{BasicSweeper.__module__}.{BasicSweeper.__name__}"

# `${hex:4}`: keeps two runs of the same second apart. Cached, so that a configuration names one folder and not several.
OmegaConf.register_new_resolver("hex", lambda digits: secrets.token_hex(digits)[:digits], use_cache=True, replace=True)
# `${full_or_quick:10,2}`: a study's setting, and what it is with quick=true.
OmegaConf.register_new_resolver(
    "full_or_quick", lambda full, quick, *, _root_: quick if _root_.get("quick") is True else full, replace=True
)


def list_groups(chosen: Mapping[str, str]) -> str:
    """`model: resnet101, …` for each group that was chosen from, a line each: the groups that the verb has."""
    groups = sorted(group for group in chosen if not group.startswith("hydra/"))
    options = {group: sorted(path.stem for path in (CONF / group).glob("*.yaml")) for group in groups}
    return "\n".join(f"{group}: {', '.join(names)}" for group, names in options.items())


OmegaConf.register_new_resolver("groups", list_groups, replace=True)  # for --help
# `${package:logs.LogFile}`: a class of ours, whatever name we are installed under.
OmegaConf.register_new_resolver("package", lambda name: f"{PACKAGE}.{name}", replace=True)


def quote_paths(argv: Sequence[str]) -> list[str]:
    """The arguments with the values of `RAW_PATHS` in Hydra's quotes, and a leading `~` replaced by the home folder.

    In a sweep (`-m`) a comma separates paths, unless there is a file or folder of the whole name. `output` is one
    folder, for all of the sweep.
    """
    sweep = any(argument in ("-m", "--multirun") for argument in argv)
    quoted = []
    for argument in argv:
        key, equals, value = argument.partition("=")
        already = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
        if equals and key.lstrip("+") in RAW_PATHS and not already:
            several = sweep and key != "output" and not Path(value).exists()
            values = value.split(",") if several else [value]
            argument = f"{key}={','.join(map(_quote_path, values))}"
        quoted.append(argument)
    return quoted


def _quote_path(path: str) -> str:
    if path in ("null", ""):
        return path
    return quote(os.path.expanduser(path) if path.startswith("~") else path)  # noqa: PTH111


def quote(text: str) -> str:
    """Hydra's single quotes: a backslash escapes a quote, and itself where it stands before one or at the end."""
    escaped = re.sub(r"(\\*)'", lambda match: match[1] * 2 + r"\'", text)
    trailing = escaped[len(escaped.rstrip("\\")) :]
    return f"'{escaped}{trailing}'"


class Plan(NamedTuple):
    """What was asked for: the configuration, of a sweep without what is swept over, and the overrides of each run.

    `jobs` is None where there is one run only, or where a sweeper of its own kind finds them one by one.
    """

    cfg: DictConfig
    jobs: list[list[str]] | None


def check_overrides(verb: str, overrides: Sequence[str], *, multirun: bool = False) -> Plan:
    """Compose the configuration of each run that these overrides ask for, and check it.

    Raises `InputError` for an unknown option or setting, a value that can't be read or can't be meant.
    """
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        parsed = _parse(parser, overrides)
        for override in parsed:
            if override.is_delete() and override.key_or_group in NEEDED:
                raise InputError(f"{override.input_line}: the configuration needs it")
            if override.key_or_group == "sweep" and override.is_sweep_override():
                raise InputError(f"{override.input_line} names several sweeps: give it one name, without a comma")
            if isinstance(override.value(), list) and (CONF / override.key_or_group).is_dir():
                raise InputError(f"{override.input_line} names several options: choose one, or sweep over them with -m")
        sweeps = [override for override in parsed if override.is_sweep_override()]
        fixed = [str(override.input_line) for override in parsed if not override.is_sweep_override()]
        first = _compose(verb, fixed, multirun)
        usual = _compose(verb, [], multirun=False)
        check_trust(first, usual)
        if first.hydra.mode != RunMode.MULTIRUN:
            if sweeps:
                raise InputError(f"{sweeps[0].input_line} names several values: put -m before it for a sweep")
            check_config(_without_hydra(first))
            return Plan(first, None)
        if first.hydra.sweeper._target_ != BASIC_SWEEPER:
            check_config(_without_hydra(first))
            return Plan(first, None)
        jobs = _jobs(parser, first, parsed)
        hydras = [word for word in fixed if _is_hydras(word)]
        for job in jobs[:JOBS_CHECKED]:
            cfg = _compose(verb, [*hydras, *job], multirun=True)
            check_trust(cfg, usual)
            check_config(_without_hydra(cfg))
        return Plan(first, jobs)


def _parse(parser: OverridesParser, overrides: Sequence[str]) -> list[Override]:
    try:
        return parser.parse_overrides(list(overrides))
    except HydraException as error:
        raise InputError(_syntax(error)) from error


def _jobs(parser: OverridesParser, cfg: DictConfig, typed: Sequence[Override]) -> list[list[str]]:
    """The overrides of each run, as Hydra's own sweeper makes them: what the experiment sweeps over, then the typed."""
    params = [f"{key}={value}" for key, value in (cfg.hydra.sweeper.params or {}).items()]
    ours = [override for override in typed if not _is_hydras(str(override.input_line))]
    try:
        jobs = BasicSweeper.split_arguments([*_parse(parser, params), *ours], None)[0]
    except HydraException as error:
        raise InputError(first_line(error)) from error
    twice = next((job for job in jobs if jobs.count(job) > 1), None)
    if twice is not None:
        raise InputError(f"{' '.join(twice)} would be run twice: name each value once")
    return jobs


def _is_hydras(word: str) -> bool:
    return word.lstrip("+~").startswith(("hydra.", "hydra/"))


def compose_overrides(verb: str, overrides: Sequence[str], *, multirun: bool = False) -> DictConfig:
    """The verb's configuration with these overrides, unchecked, Hydra's own part included."""
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        return _compose(verb, list(overrides), multirun)


def _compose(verb: str, overrides: list[str], multirun: bool) -> DictConfig:
    extra = ["hydra.mode=MULTIRUN"] if multirun else []
    try:
        return compose(verb, [*overrides, *extra], return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(_explain(verb, overrides, error)) from error


def _without_hydra(cfg: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])


def _explain(verb: str, overrides: Sequence[str], error: Exception) -> str:
    """One line for what Hydra says in several: the value, and the remedy or the nearest right ones."""
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
        return _explain_unknown(verb, overrides, match[1]) or text.splitlines()[0]
    if match := re.match(r"Multiple values for (\S+)\.", text):
        return f"{match[1]} is chosen already: say {match[1]}=OPTION, once and without +"
    if isinstance(error, OverrideParseException):
        return _syntax(error)
    cause = f": {first_line(error.__cause__)}" if error.__cause__ is not None else ""
    return text.splitlines()[0] + cause


def _explain_unknown(verb: str, overrides: Sequence[str], name: str) -> str | None:
    """Why there is no setting `name` beside the options that the overrides choose; None where there is one."""
    chosen = [word for word in overrides if (CONF / word.partition("=")[0]).is_dir()]
    cfg = compose(verb, chosen, return_hydra_config=True)
    known = keys(_without_hydra(cfg))
    if name in known:
        return None
    group, _, setting = name.partition(".")
    option = cfg.hydra.runtime.choices.get(group)
    if option is not None and name in keys(_without_hydra(compose(verb, return_hydra_config=True))):
        return f"{group}={option} has no setting {setting}: leave {name} out, or choose another {group}"
    return f"{name!r} is not a setting; nearest: {nearest(name, known)}"


def _syntax(error: Exception) -> str:
    override = getattr(error, "override", None)
    if override is None:
        return first_line(error)
    if "=" not in override:
        return f"{override!r} is not understood: settings are written as name=value, such as model=resnet50"
    return f"{override!r} can't be read: put its value in quotes within quotes, \"name='value'\""
