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
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from ..errors import InputError, first_line
from .nameable import GROUPS, MOST, PLUGINS, Nameable
from .references import check_references

HYDRAS = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweeper", "hydra.launcher", "hydra.mode", "hydra.verbose")
"""Settings of Hydra's own that may be other than the verb has them. Not its callbacks, logging, search path and
environment, nor the names of its files and folders within a run."""

COMPUTED = (
    "hydra.overrides", "hydra.job.override_dirname", "hydra.job.config_name", "hydra.runtime.choices",
    "hydra.runtime.version", "hydra.runtime.version_base", "hydra.runtime.cwd", "hydra.runtime.config_sources",
)  # fmt: skip
"""What Hydra sets itself when it has composed, whatever a file says."""

SWEEP = "${hydra.sweep.dir}"
"""What a plugin's default may refer to, such as submitit's, in which its logs are."""

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
        # no .hydra/ at all, as the commands themselves say
        hides = key == "hydra.output_subdir" and hydras.get(key) is None
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


def read_verbs(verb: str, repository: IConfigRepository) -> DictConfig:
    """Return the settings in the verb's own file, before anything is chosen or typed."""
    return cast(DictConfig, _load(repository, verb).config)


def read_plugins(repository: IConfigRepository) -> dict[str, DictConfig]:
    """Return what each class of `PLUGINS` that is installed takes, with types and defaults, as its plugin says it."""
    source = repository.get_schema_source()  # never a file
    plugins = {}
    for group in (name.replace(".", "/") for name in PLUGINS):
        for option in source.list(group, ObjectType.CONFIG) if source.is_group(group) else ():
            config = cast(DictConfig, source.load_config(f"{group}/{option}").config)
            plugins[str(config._target_)] = config
    return plugins


def settle(cfg: DictConfig, plugins: Mapping[str, DictConfig], typed: Collection[str] = ()) -> None:
    """Replace each reference in a configuration by its value, in Hydra's sweeper and launcher too, for good.

    Args:
        plugins: see `read_plugins`.
        typed: the settings that were typed behind the verb just now, by dotted keys.

    Raises:
        InputError: It names what `nameable.py` doesn't list, or a value can't be told before it is used.
    """
    for name in ("hydra.sweeper", "hydra.launcher"):
        content = resolved(OmegaConf.select(cfg, name), name)
        OmegaConf.update(cfg, name, dict(content), merge=False)
        _check_node(name, content, PLUGINS[name], typed, plugins, str(cfg.hydra.sweep.dir))
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
    plugins: Mapping[str, DictConfig] | None = None,
    sweep: str = "",
) -> None:
    """Raise `InputError` unless the node names a row of the table and has no other settings than its row.

    Args:
        plugins: see `read_plugins`; what a plugin has by default may stay.
        sweep: the folder of the sweep, to which a plugin's default may refer.
    """
    target = node.get("_target_") if isinstance(node, dict) else node
    row = table.get(_as_ours(target)) if isinstance(target, str) else None
    if row is None or not isinstance(target, str):
        names = ", ".join(table)
        raise InputError(f"{key}._target_={target} is not allowed; a configuration may name {names}")
    usual = {} if plugins is None else _usual(key, node, plugins)
    for leaf, value in flat(node, key).items():
        name, *inner = leaf.removeprefix(f"{key}.").split(".")
        as_usual = usual[leaf].replace(SWEEP, sweep) if isinstance(usual.get(leaf), str) else usual.get(leaf)
        unchanged = value is None or (leaf in usual and as_usual == value)
        if unchanged or (name == "_target_" and name not in row.by_hand):
            continue
        if name in row.by_hand:
            if typed is not None and leaf not in typed:
                raise InputError(f"{leaf}={value} is not taken from a file: say all of {key} on the command line")
        elif name not in row.takes:
            taken = ", ".join(sorted(row.takes | row.by_hand)) or "no settings"
            raise InputError(f"{leaf} can't be set: {target.rpartition('.')[2]} takes {taken}")
        if any(word.startswith("_") or UNPRINTABLE.search(word) for word in (*inner, *_words(value))):
            raise InputError(f"{leaf}={value!r} is not allowed: write it in one line, without a leading _")
        if name in MOST and isinstance(value, int) and value > MOST[name]:
            raise InputError(f"{leaf}={value} is not possible: take at most {MOST[name]}")


def _usual(key: str, node: Mapping[Any, Any], plugins: Mapping[str, DictConfig]) -> dict[str, Any]:
    """Return what a plugin has by default, by dotted keys; raise `InputError` where it isn't installed or takes others.

    An option of the user's own, conf/hydra/launcher/mine.yaml, has none of the plugin's types.
    """
    plugin = plugins.get(node["_target_"])
    if plugin is None:
        raise InputError(f"{key}._target_={node['_target_']} is not installed: see pyproject.toml, or leave it out")
    try:
        OmegaConf.merge(plugin, dict(node))
    except OmegaConfBaseException as error:
        raise InputError(f"{key}: {first_line(error)}") from error
    return flat(OmegaConf.to_container(plugin, resolve=False), key)


def _words(content: Any) -> Iterator[str]:
    """Yield all words in a value, keys included, at any depth."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict | list):
        for inner in content:
            yield from _words(inner)
        yield from _words(list(content.values())) if isinstance(content, dict) else ()


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
    """Return the values of nested settings by their dotted keys; raise `InputError` where two have the same.

    With `{a: {b: 1}, a.b: 2}` one would hide what the other is.
    """
    if not isinstance(content, dict) or not content:
        return {prefix: content}
    found: dict[str, Any] = {}
    for name, inner in content.items():
        for key, value in flat(inner, f"{prefix}.{name}" if prefix else str(name)).items():
            if key in found:
                raise InputError(f"{key} is there twice: write it once, without dots in its name")
            found[key] = value
    return found


def without_hydra(cfg: DictConfig) -> DictConfig:
    """Return the settings of the verb itself."""
    return OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])


def _is_among(key: str, names: Collection[str]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in names)


def _load(repository: IConfigRepository, name: str) -> ConfigResult:
    return cast(ConfigResult, repository.load_config(name))  # never None: they are ours and Hydra's
