"""What a configuration from elsewhere may do: set what the verb has, and name what `nameable.py` lists.

Somebody at the shell can run any code anyway. But an experiment file or a run folder that was downloaded must not, and
Hydra instantiates what its own settings name: callbacks, logging handlers, launchers. What is checked here is what is
used: `settle` replaces each reference by its value first, and nothing is resolved again.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, cast

from hydra._internal.config_repository import IConfigRepository
from hydra.core.default_element import GroupDefault
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from ..errors import InputError, first_line
from .nameable import GROUPS, PLUGINS, SAMPLERS, Nameable
from .references import check_references

HYDRAS = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweeper", "hydra.launcher", "hydra.mode", "hydra.verbose")
"""Settings of Hydra's own that may be other than the verb has them. Not its callbacks, logging, search path and
environment, nor the names of its files and folders within a run."""

COMPUTED = (
    "hydra.overrides", "hydra.job.override_dirname", "hydra.job.config_name", "hydra.runtime.choices",
    "hydra.runtime.version", "hydra.runtime.version_base", "hydra.runtime.cwd", "hydra.runtime.config_sources",
)  # fmt: skip
"""What Hydra sets itself when it has composed, whatever a file says."""

BY_HAND = "trainer.model_registry"
"""Besides loggers, what sends something to another machine."""

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""A launcher writes its settings into a shell script, where a line break begins a command."""


def check_trust(cfg: DictConfig, own: DictConfig) -> None:
    """Raise `InputError` where a composed configuration refers to what it may not, or sets what is Hydra's own.

    Args:
        own: Hydra's part as the verb's own files have it (`read_own`).
    """
    check_references(cfg)
    ours, hydras = (flat(OmegaConf.to_container(node, resolve=False), "hydra") for node in (own, cfg.hydra))
    for key in sorted(ours.keys() | hydras.keys()):
        hides = key == "hydra.output_subdir" and key not in hydras  # no .hydra/ at all, as the commands themselves say
        if ours.get(key) != hydras.get(key) and not hides and not _is_among(key, (*HYDRAS, *COMPUTED)):
            raise InputError(f"{key} can't be set: leave it out")
    verbose = hydras.get("hydra.verbose", False)
    names = verbose if isinstance(verbose, list) else [verbose]
    if any(key.startswith("hydra.verbose.") for key in hydras) or not all(
        isinstance(name, bool | str) for name in names
    ):
        raise InputError("hydra.verbose is not possible: take true, false, or names of loggers")


def read_own(verb: str, repository: IConfigRepository) -> DictConfig:
    """Return Hydra's part of a verb's configuration from its sources alone, before anything is chosen or typed.

    These are Hydra's schema, the options that the schema and the verb's defaults list name, and the verb's own `hydra`
    node: files that nothing from elsewhere replaces, since the search path can't be set either.
    """
    schema, primary = _load(repository, "hydra/config"), _load(repository, verb)
    content = cast(dict[str, Any], OmegaConf.to_container(schema.config))
    own = OmegaConf.create({"hydra": {key: value for key, value in content.items() if key != "defaults"}})
    chosen: dict[str, Any] = {}
    for parent, source in (("hydra/", schema), ("", primary)):
        groups = [default for default in source.defaults_list or [] if isinstance(default, GroupDefault)]
        chosen |= {f"{parent}{group.group}": group.value for group in groups}
    for name, option in chosen.items():
        if name.startswith("hydra/") and option is not None:
            part = _load(repository, f"{name}/{option}")
            OmegaConf.update(own, part.header["package"] or name.replace("/", "."), part.config, force_add=True)
    return cast(DictConfig, OmegaConf.merge(own.hydra, OmegaConf.select(primary.config, "hydra", default={})))


def read_plugins(cfg: DictConfig, repository: IConfigRepository) -> dict[str, Any]:
    """Return what the chosen sweeper, its sampler and the launcher are by default, by dotted keys."""
    defaults: dict[str, Any] = {}
    for name in PLUGINS:
        group = name.replace(".", "/")
        option = cfg.hydra.runtime.choices.get(group)
        if option is not None:
            content = OmegaConf.to_container(_load(repository, f"{group}/{option}").config, resolve=False)
            defaults |= flat(content, name)
    return defaults


def settle(cfg: DictConfig, plugins: Mapping[str, Any], typed: Collection[str] = ()) -> None:
    """Replace each reference in a configuration by its value, in Hydra's sweeper and launcher too, for good.

    Args:
        plugins: see `read_plugins`.
        typed: the settings that were typed behind the verb just now, by dotted keys.

    Raises:
        InputError: It names what `nameable.py` doesn't list, or a value can't be told before it is used.
    """
    for name in ("hydra.sweeper", "hydra.launcher"):
        node = OmegaConf.select(cfg, name)
        raw = flat(OmegaConf.to_container(node, resolve=False), name)
        unchanged = [key for key, value in raw.items() if key in plugins and plugins[key] == value]
        content = resolved(node, name)
        OmegaConf.update(cfg, name, dict(content), merge=False)
        sampler = content.pop("sampler", None)
        _check_node(name, content, PLUGINS[name], typed, unchanged)
        if sampler is not None:
            _check_node(f"{name}.sampler", sampler, SAMPLERS, typed, unchanged)
    verbs = without_hydra(cfg)
    OmegaConf.copy_cache(from_config=cfg, to_config=verbs)  # one `${now:}`, in the folder's name and in the settings
    content = resolved(verbs)
    OmegaConf.copy_cache(from_config=verbs, to_config=cfg)
    check_named(content, typed)
    with open_dict(cfg):
        for key, value in content.items():
            cfg[key] = value


def resolved(node: DictConfig, name: str = "") -> dict[Any, Any]:
    """Return a node as plain values, each reference replaced; raise `InputError` where that can't be told now."""
    try:
        content = cast(dict[Any, Any], OmegaConf.to_container(node, resolve=True))
    except OmegaConfBaseException as error:
        line = first_line(error)
        if "Missing mandatory value: " in line:  # of a setting that another one refers to
            line = f"{(key := line.rpartition(' ')[2])} has no default: say {key}=…"
        raise InputError(f"{name}: {line}" if name else line) from error
    for key, value in flat(content, name).items():
        if (
            "${" in f"{key}{value}"
        ):  # escaped, or put together from parts: the next reader would take it for a reference
            raise InputError(f"{key}={value} is not allowed: write the value itself")
        if type(value) is int and abs(value) >= 2**63:
            raise InputError(f"{key} is a number of {len(str(value))} digits: take a smaller one")
    return content


def check_named(content: Mapping[Any, Any], typed: Collection[str] | None = None) -> None:
    """Raise `InputError` where settings, as plain values, would instantiate what `nameable.py` doesn't list.

    Args:
        typed: as in `settle`; None where the settings were made in Python: then no file has written them.
    """
    for key, target in _targets(content):
        if key.count(".") != 2 or key.partition(".")[0] not in GROUPS:
            raise InputError(f"{key}={target} is not allowed: only nodes of callbacks and logger name a class")
    for group, table in GROUPS.items():
        nodes = content.get(group)
        for name, node in nodes.items() if isinstance(nodes, dict) else ():
            if node is not None:
                _check_node(f"{group}.{name}", node, table, typed)
    trainer = content.get("trainer")
    if typed is not None and isinstance(trainer, dict) and trainer.get("model_registry") and BY_HAND not in typed:
        raise InputError(f"{BY_HAND} sends the model to another machine: say it on the command line, or leave it out")


def _check_node(
    key: str,
    node: Any,
    table: Mapping[str, Nameable],
    typed: Collection[str] | None,
    unchanged: Collection[str] = (),
) -> None:
    """Raise `InputError` unless the node names a row of the table and has no other settings than its row.

    Args:
        unchanged: keys of values that are those of the plugin itself.
    """
    target = node.get("_target_") if isinstance(node, dict) else node
    row = table.get(_as_ours(target)) if isinstance(target, str) else None
    if row is None or not isinstance(target, str):
        names = ", ".join(table)
        raise InputError(f"{key}._target_={target} is not allowed; a configuration may name {names}")
    for leaf, value in flat(node, key).items():
        name, *inner = leaf.removeprefix(f"{key}.").split(".")
        if leaf in unchanged or (name == "_target_" and name not in row.by_hand):
            continue
        if name in row.by_hand:
            if typed is not None and leaf not in typed:
                raise InputError(f"{leaf}={value} is not taken from a file: say all of {key} on the command line")
        elif name not in row.takes:
            taken = ", ".join(sorted(row.takes | row.by_hand)) or "no settings"
            raise InputError(f"{leaf} can't be set: {target.rpartition('.')[2]} takes {taken}")
        words = [*inner, *(value if isinstance(value, list) else [value])]
        if any(isinstance(word, str) and (word.startswith("_") or UNPRINTABLE.search(word)) for word in words):
            raise InputError(f"{leaf}={value!r} is not allowed: write it in one line, without a leading _")


def _as_ours(target: str) -> str:
    """Configurations say src, whatever name we are installed under."""
    return f"src.{target.removeprefix('reslens.')}" if target.startswith("reslens.") else target


def _targets(content: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield all that would be instantiated, at any depth: (its key, what it names)."""
    pairs = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for name, value in pairs:
        key = f"{prefix}.{name}" if prefix else str(name)
        if name == "_target_":
            yield key, value
        yield from _targets(value, key)


def flat(content: Any, prefix: str = "") -> dict[str, Any]:
    """Return the values of nested settings by their dotted keys; nothing for null."""
    if isinstance(content, dict) and content:
        return {
            key: value
            for name, inner in content.items()
            for key, value in flat(inner, f"{prefix}.{name}" if prefix else str(name)).items()
        }
    return {} if content is None else {prefix: content}


def without_hydra(cfg: DictConfig) -> DictConfig:
    """Return the settings of the verb itself."""
    return OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])


def _is_among(key: str, names: Collection[str]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in names)


def _load(repository: IConfigRepository, name: str) -> ConfigResult:
    return cast(ConfigResult, repository.load_config(name))  # never None: they are ours and Hydra's
