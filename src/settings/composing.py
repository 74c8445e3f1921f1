"""From what was typed behind a verb to configurations: paths taken raw, each run's composed once and checked once."""

import os
import pickle
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast

from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..analysis.tasks import task_of
from ..errors import InputError, first_line
from . import help  # noqa: F401  # its resolvers
from .check import check_config
from .conf_files import CheckedRepository, CountingRepository
from .defaults import CONF as CONF
from .defaults import PACKAGE
from .other_names import words_for
from .quotes import quote as quote
from .rates import is_fine_tuning, usual_rate
from .ray import offer_ray
from .refusals import explain, explain_syntax
from .sweeps import check_length, check_size, once_each
from .trust import check_trust, flat, read_own, read_plugins, read_verbs, settle, without_hydra

RAW_PATHS = (
    "data.root", "checkpoint", "images", "resume", "runs", "output", "weights", "model.weights", "judge", "shuffled",
    "target", "classes", "data.exclude", "data.table", "data.file", "data.label", "data.split", "data.group",
    "name", "positive",
)  # fmt: skip
"""Overrides whose value is a path, a pattern, or names classes or a column, and not Hydra's grammar, which refuses
spaces, `ä ~ ( ) = [ ,`."""

RAW_LISTS = ("data.classes", "data.exclude", "data.label")
"""Overrides whose value may be a list of such, in brackets: `[cat,Größe 2]`."""

LISTS = ("callbacks", "logger")
"""Groups of which several options can be chosen at once: `logger=[tensorboard,csv]`."""

BY_WORD = ["output", "resume"]
"""Settings that a file doesn't have a say in: a command would write to any folder that a stranger names."""

STAYS = {"dir": "."}
"""`hydra.run` of a verb that makes its folder itself, and has no sweep."""


# `${hex:4}`: keeps two runs of the same second apart. Cached, so that a configuration names one folder and not several.
OmegaConf.register_new_resolver(
    "hex", lambda digits: secrets.token_hex(16)[: int(digits)], use_cache=True, replace=True
)
# `${full_or_quick:10,2}`: a study's setting, and what it is with quick=true.
OmegaConf.register_new_resolver(
    "full_or_quick", lambda full, quick, *, _root_: quick if _root_.get("quick") is True else full, replace=True
)
# `${unless_limited:10}`: the epochs of a training, and any number where steps or a time are given to end it instead.
OmegaConf.register_new_resolver(
    "unless_limited",
    lambda epochs, *, _parent_: (
        -1 if _parent_.get("max_steps") != -1 or _parent_.get("max_time") is not None else epochs
    ),
    replace=True,
)
# `${unless_named:…}`: the last part of a run's folder, its name or else this.
OmegaConf.register_new_resolver(
    "unless_named", lambda usual, *, _root_: usual if _root_.get("name") is None else _root_.get("name"), replace=True
)
# `${usual_monitor:}`: what chooses the best epoch unless another figure is asked for.
OmegaConf.register_new_resolver(
    "usual_monitor", lambda *, _root_: task_of(_root_.get("data") or {}).monitor, replace=True
)
# `${usual_rate:0.05}`: a learning rate from scratch, and a tenth of it where pretrained weights are trained on; of two
# rates, `${usual_rate:0.1,1e-3}`, the first is for sgd and the second for adamw.
OmegaConf.register_new_resolver("usual_rate", usual_rate, replace=True)
# `${fine_tuning:true,false}`: a setting with pretrained weights, and without.
OmegaConf.register_new_resolver(
    "fine_tuning", lambda tuned, scratch, *, _root_: tuned if is_fine_tuning(_root_) else scratch, replace=True
)
# `${if_mirrored:true,false}`: a setting where training mirrors images, so that these mean the same, and elsewhere.
OmegaConf.register_new_resolver(
    "if_mirrored",
    lambda mirrored, otherwise, *, _root_: mirrored if OmegaConf.select(_root_, "data.augment.flip") else otherwise,
    replace=True,
)
# `${with_fast:64,128}`: a setting with recipe=fast, and with any other.
OmegaConf.register_new_resolver(
    "with_fast", lambda fast, otherwise, *, _root_: fast if _root_.get("recipe") == "fast" else otherwise, replace=True
)
# `${if_named:bottleneck,114,32}`: a setting for networks whose name has a word in it, and for others.
OmegaConf.register_new_resolver(
    "if_named",
    lambda word, named, otherwise, *, _root_: (
        named if word in str(OmegaConf.select(_root_, "model.name")) else otherwise
    ),
    replace=True,
)
# `${if_small:1.0,0.5}`: a setting for images of up to 64 pixels a side, and for larger ones.
OmegaConf.register_new_resolver(
    "if_small",
    lambda small, large, *, _root_: small if OmegaConf.select(_root_, "data.image_size") <= 64 else large,
    replace=True,
)
# `${package:logs.LogFile}`: a class of ours, whatever name we are installed under.
OmegaConf.register_new_resolver("package", lambda name: f"{PACKAGE}.{name}", replace=True)


def quote_paths(argv: Sequence[str]) -> list[str]:
    """Put the values of `RAW_PATHS` into Hydra's quotes, and the home folder for a leading `~`.

    In a sweep (`-m`) a comma separates paths, unless there is a file or folder of the whole name. `output` is one
    folder, for all of the sweep; `data.group` is one pattern, in which a comma means itself.
    """
    sweep = any(argument in ("-m", "--multirun") for argument in argv)
    quoted = []
    for argument in argv:
        key, equals, value = argument.partition("=")
        already = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
        if equals and key.lstrip("+") in RAW_LISTS and value[:1] == "[" and value[-1:] == "]":
            argument = f"{key}={_quote_list(value)}"
        elif equals and key.lstrip("+") in RAW_PATHS and not already:
            several = sweep and key not in ("output", "data.group") and not Path(value).exists()
            values = value.split(",") if several else [value]
            argument = f"{key}={','.join(map(_quote_path, values))}"
        quoted.append(argument)
    return quoted


def _quote_path(path: str) -> str:
    if path in ("null", ""):
        return path
    return quote(os.path.expanduser(path) if path.startswith("~") else path)  # noqa: PTH111


def _quote_list(value: str) -> str:
    """Quote the items of a list, unless brackets or quotes are in it: then it is written as Hydra wants it."""
    if any(sign in value[1:-1] for sign in "[]'\""):
        return value
    items = (item.strip() for item in value[1:-1].split(","))
    return f"[{','.join(quote(item) for item in items if item)}]"


class Composer(ConfigLoaderImpl):
    """Hydra's loader of one verb's configurations, which composes each once and hands out what was checked.

    Hydra's sweepers and launchers ask it for the configuration of each run, from processes of their own too.
    """

    def __init__(self, verb: str, search_path: ConfigSearchPath) -> None:
        super().__init__(search_path)
        self.repository = CheckedRepository(search_path)
        self.verb = verb
        self._own = read_own(verb, self.repository)
        self._verbs = read_verbs(verb, self.repository)
        self._plugins = read_plugins(self.repository)
        self._typed: frozenset[str] = frozenset()
        """Settings that were typed just now, by dotted keys: not those that a group, a file or a run brings."""

        self._checked: dict[tuple[str, ...], bytes] = {}
        """Of each run of a sweep by its overrides; pickled, since a launcher may send all of them to each process."""

        self.place: Callable[[Sequence[str]], str] | None = None
        """Names the folder of a run of a sweep by its overrides; None leaves that to the verb's file."""

    def compose(
        self, words: Sequence[str], *, multirun: bool = False, typed: Sequence[str] | None = None
    ) -> DictConfig:
        """Return the verb's configuration with these overrides, its values unchecked, Hydra's part and mode included.

        `typed` are those that were typed just now: all, unless a run that is resumed brings some. Raises `InputError`
        for an option or setting that is unknown, can't be read, or may not be set.
        """
        parsed = self._parse(words)
        self._typed = _typed_settings(parsed if typed is None else self._parse(typed))
        for override in parsed:
            if not override.key_or_group:
                raise InputError(f"{override.input_line} names no setting: write name=value")
            in_words = override.is_delete() or not isinstance(override.value(), bool | int | float | None)
            if (CONF / override.key_or_group).is_dir() and not in_words:
                raise InputError(f"{override.input_line} is no option: choose one, or leave it out")
            if override.key_or_group == "sweep" and override.is_sweep_override():
                raise InputError(f"{override.input_line} names several sweeps: give it one name, without a comma")
            if isinstance(override.value(), list) and (CONF / override.key_or_group).is_dir():
                _check_several(override)
        with self._explained(words):
            # What is swept over is left out of a sweep's own configuration, so that the mode makes no difference.
            cfg = self.load_configuration(
                self.verb, list(words), RunMode.RUN, from_shell=False, validate_sweep_overrides=False
            )
        for override in parsed:
            if override.is_delete() and "." not in override.key_or_group:
                raise InputError(f"{override.input_line}: the configuration needs it")
        self._check_origin(cfg)
        _check_words(cfg, words)
        try:
            if multirun or cfg.hydra.mode is None:
                set_hydras(cfg, "hydra.mode", "MULTIRUN" if multirun else "RUN")
        except OmegaConfBaseException as error:
            raise InputError(f"hydra.mode: {first_line(error)}") from error
        swept = next((str(override.input_line) for override in parsed if override.is_sweep_override()), None)
        if swept is not None and cfg.hydra.mode == RunMode.RUN:
            meant = words_for(self.verb, swept, words)
            sweeps = OmegaConf.to_container(cfg.hydra.run, resolve=False) != STAYS
            remedy = "put -m before it for a sweep" if sweeps else self.once_each(words)
            raise InputError(f"{swept} names several values: {f'say {meant}' if meant else remedy}")
        return cfg

    def once_each(self, words: Sequence[str]) -> str | None:
        """Return what to do instead of a sweep, of a verb that has none; None where nothing has several values."""
        return once_each(self.verb, self._parse(words))

    def check(self, cfg: DictConfig) -> list[list[str]] | None:
        """Settle and check what `compose` has returned; in a sweep return the overrides of each run, checked as well.

        From then on nothing in it refers to anything: what was checked is what is used. Returns None where there is one
        run only. Raises `InputError` for a value that is not possible.
        """
        settle(cfg, self._plugins, self._typed)
        jobs = self._jobs(cfg) if cfg.hydra.mode == RunMode.MULTIRUN else None
        if jobs is None:
            check_config(without_hydra(cfg))
            return None
        for job in jobs:
            run = self.load_sweep_config(cfg, job)
            check_config(without_hydra(run))
            self._checked[tuple(job)] = pickle.dumps(run)
        return jobs

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """Return the configuration of a run: the checked one, or where there is none yet a new one, unchecked."""
        run = self._load_run(master_config, sweep_overrides)
        if self.place is not None:
            run.hydra.sweep.subdir = self.place(sweep_overrides)
        return run

    def _load_run(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        checked = self._checked.get(tuple(sweep_overrides))
        if checked is not None:
            return cast(DictConfig, pickle.loads(checked))  # pickled by `check`
        hydras = next((word for word in self._parse(sweep_overrides) if word.is_hydra_override()), None)
        if hydras is not None:  # of a sweeper's params: another folder, say, than that which was looked at
            raise InputError(f"{hydras.input_line} can't be swept over: it is the same for all runs")
        with self._explained(sweep_overrides):
            run = super().load_sweep_config(master_config, sweep_overrides)
        self._check_origin(run)
        _check_words(run, [*typed_words(master_config, "hydra"), *sweep_overrides])
        for key in ("run", "sweep", "launcher", "sweeper", "mode", "verbose", "output_subdir"):  # an option may differ
            run.hydra[key] = master_config.hydra[key]
        if "sweep" in run:
            run.sweep = master_config.sweep  # the name has something random in it
        settle(run, self._plugins, self._typed)
        return run

    def _jobs(self, cfg: DictConfig) -> list[list[str]]:
        """Return the overrides of each run, made as Hydra's own sweeper makes them: its params, then what was typed."""
        sweeper = cfg.hydra.sweeper
        params = [f"{key}={value}" for key, value in (sweeper.params or {}).items()]
        check_length(params)
        parsed = self._parse([*params, *typed_words(cfg, "task")])
        check_size(parsed)
        try:
            jobs = BasicSweeper.split_arguments(parsed, None)[0]
        except HydraException as error:
            raise InputError(first_line(error)) from error
        twice = next((job for job in jobs if jobs.count(job) > 1), None)
        if twice is not None:
            raise InputError(f"{' '.join(twice)} would be run twice: name each value once")
        return jobs

    @contextmanager
    def _explained(self, words: Sequence[str]) -> Iterator[None]:
        """Say in one line why a configuration can't be composed."""
        try:
            yield
        except InputError:
            raise
        except (HydraException, OmegaConfBaseException) as error:
            raise InputError(explain(self, self.verb, words, error)) from error
        except (AssertionError, RecursionError, TypeError, ValueError) as error:  # of what Hydra takes for granted
            raise InputError(f"a chosen setting or file can't be used ({first_line(error)}): see to it") from error

    def _check_origin(self, cfg: DictConfig) -> None:
        """Raise `InputError` where a configuration has more from elsewhere than it may."""
        check_trust(cfg, self._own)
        ours, now = (
            cast(dict[str, Any], OmegaConf.to_container(OmegaConf.masked_copy(node, BY_WORD)))
            for node in (self._verbs, cfg)
        )
        for key in (key for key in BY_WORD if key not in self._typed):
            if ours.get(key) != now.get(key):  # as they are written
                raise InputError(f"{key} is not taken from a file in conf/: say {key}=… on the command line")

    def _parse_overrides_and_create_caching_repo(
        self,
        config_name: str | None,  # noqa: ARG002
        overrides: list[str],
    ) -> tuple[list[Override], CachingConfigRepository]:
        """Do as Hydra does, and leave the search path as it is: a package on it would be imported at once."""
        return OverridesParser.create().parse_overrides(overrides), CountingRepository(self.repository)

    def _parse(self, words: Sequence[str]) -> list[Override]:
        try:
            parsed = OverridesParser.create(config_loader=self).parse_overrides(list(words))
            self.validate_sweep_overrides_legal(parsed, RunMode.MULTIRUN, from_shell=True)
        except (HydraException, RecursionError, ValueError) as error:
            raise InputError(explain_syntax(self.verb, error)) from error
        return parsed


def _check_several(override: Override) -> None:
    """Raise `InputError` where a list of options is none, or the group takes one option alone."""
    if override.key_or_group not in LISTS:
        raise InputError(f"{override.input_line} names several options: choose one, or sweep over them with -m")
    options = cast(list[Any], override.value())
    if not options:
        raise InputError(f"{override.input_line} names no option: say {override.key_or_group}=none")
    odd = next((option for option in options if not isinstance(option, str)), None)
    if odd is not None:
        raise InputError(f"{override.input_line}: {odd} is no option: write the names of options, with commas between")


def _check_words(cfg: DictConfig, words: Sequence[str]) -> None:
    """Raise `InputError` where a file says what was typed; it would be taken for that."""
    if sorted(map(str, [*typed_words(cfg, "task"), *typed_words(cfg, "hydra")])) != sorted(words):
        raise InputError("hydra.overrides can't be set: leave it out")


def _typed_settings(words: Sequence[Override]) -> frozenset[str]:
    """Return the settings that overrides set, by dotted keys."""
    return frozenset(key for word in words for key in flat({word.key_or_group: word.value()}))


def set_hydras(cfg: DictConfig, key: str, value: str | None) -> None:
    """Set one of Hydra's own settings as if it had been typed, so that the runs of a sweep have it too."""
    OmegaConf.update(cfg, key, value)
    word = "null" if value is None else value if value.isidentifier() else quote(value)
    cfg.hydra.overrides.hydra.append(f"{key}={word}")


def typed_words(cfg: DictConfig, part: Literal["task", "hydra"]) -> list[str]:
    """Return the overrides of a configuration as they were typed, those for the verb or those for Hydra."""
    return cast(list[str], OmegaConf.to_container(cfg.hydra.overrides[part], resolve=False))


@contextmanager
def composing(verb: str) -> Iterator[Composer]:
    """Make Hydra work with `CONF` and a `Composer` of the verb while the block runs."""
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        offer_ray()
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        composer = Composer(verb, hydra.config_loader.get_search_path())
        hydra.config_loader = composer
        yield composer


@contextmanager
def composing_beside(verb: str) -> Iterator[Composer]:
    """Yield a `Composer` of another verb, inside of a command that has one of its own, which stays as it is."""
    running = GlobalHydra.instance()
    if not running.is_initialized():
        with composing(verb) as composer:
            yield composer
        return
    yield Composer(verb, running.config_loader().get_search_path())
