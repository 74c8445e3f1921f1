"""What a configuration from elsewhere may not do: name code.

Somebody at the shell can run any code anyway. But an experiment file or a checkpoint that was downloaded must not, and
Hydra instantiates what its own settings name: callbacks, logging handlers, launchers.
"""

import re
from collections.abc import Iterator
from typing import Any, cast

from hydra._internal.config_repository import IConfigRepository
from hydra.core.default_element import GroupDefault
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..errors import InputError, first_line

CLASSES = re.compile(r"(?:src|reslens)\.callbacks\.[a-z_]+\.[A-Z]\w*|lightning\.pytorch\.(callbacks|loggers)\.[A-Z]\w*")
"""What a configuration may instantiate: our callbacks, and Lightning's callbacks and loggers by their documented names
(behind the name of one of Lightning's files stands all that the file imports, `os` and `subprocess` too)."""

PLUGINS = re.compile(
    r"hydra\._internal\.core_plugins\.\w+\.\w+|hydra_plugins\.\w+\.\w+\.\w+|optuna\.samplers\.[A-Z]\w*"
)
"""What launches the runs of a sweep, and what chooses their settings."""

HYDRAS = (
    "hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.sweeper", "hydra.launcher", "hydra.mode",
    "hydra.output_subdir", "hydra.job.override_dirname", "hydra.verbose", "hydra.help", "hydra.runtime",
    "hydra.overrides", "hydra.job.name", "hydra.job.num", "hydra.job.id", "hydra.job.config_name",
)  # fmt: skip
"""Settings of Hydra's own that may be other than the verb has them; not its callbacks, logging, search path and
environment."""


def check_trust(cfg: DictConfig, own: DictConfig) -> None:
    """Raise `InputError` where a composed configuration, Hydra's part included, names code that it may not.

    `own` is Hydra's part as the verb's own files have it (`read_own`).
    """
    check_targets(cfg)
    for name in ("sweeper", "launcher"):
        check_targets(settle(cfg.hydra[name], f"hydra.{name}"), f"hydra.{name}")
    ours, hydras = (_flat(OmegaConf.to_container(node, resolve=False), "hydra") for node in (own, cfg.hydra))
    for key in sorted(ours.keys() | hydras.keys()):
        if ours.get(key) != hydras.get(key) and not any(key == name or key.startswith(f"{name}.") for name in HYDRAS):
            raise InputError(f"{key} can't be set: leave it out")


def read_own(verb: str, repository: IConfigRepository) -> DictConfig:
    """Return Hydra's part of a verb's configuration from its sources alone, before anything is chosen or typed.

    These are Hydra's schema, the options that the schema and the verb's defaults list name, and the verb's own `hydra`
    node: files that nothing from elsewhere replaces, since the search path can't be set either.
    """

    def load(name: str) -> ConfigResult:
        return cast(ConfigResult, repository.load_config(name))  # never None: they are ours and Hydra's

    schema, primary = load("hydra/config"), load(verb)
    content = cast(dict[str, Any], OmegaConf.to_container(schema.config))
    own = OmegaConf.create({"hydra": {key: value for key, value in content.items() if key != "defaults"}})
    chosen: dict[str, Any] = {}
    for parent, source in (("hydra/", schema), ("", primary)):
        groups = [default for default in source.defaults_list or [] if isinstance(default, GroupDefault)]
        chosen |= {f"{parent}{group.group}": group.value for group in groups}
    for name, option in chosen.items():
        if name.startswith("hydra/") and option is not None:
            part = load(f"{name}/{option}")
            OmegaConf.update(own, part.header["package"] or name.replace("/", "."), part.config, force_add=True)
    return cast(DictConfig, OmegaConf.merge(own.hydra, OmegaConf.select(primary.config, "hydra", default={})))


def settle(node: DictConfig, key: str) -> DictConfig:
    """The node as it will be read: `${oc.create:…}` makes nodes out of text, with `_target_`s that nobody has seen.

    Raises `InputError` where that can't be told before.
    """
    try:
        content = OmegaConf.to_container(node, resolve=True)
    except OmegaConfBaseException as error:
        raise InputError(f"{key}: {first_line(error)}") from error
    if "${" in str(content):
        raise InputError(f"{key}: {content} is not allowed: write the values themselves")
    return cast(DictConfig, OmegaConf.create({"node": content}).node)


def check_targets(cfg: Any, prefix: str = "") -> None:
    """Raise `InputError` where `cfg`, which stands under the key `prefix`, would instantiate what it may not."""
    for key, target in _targets(OmegaConf.to_container(cfg, resolve=False), prefix):
        allowed = PLUGINS if key.startswith("hydra.") else CLASSES
        if not isinstance(target, str) or not allowed.fullmatch(target):
            raise InputError(
                f"{key}={target} is not allowed; a configuration may name src.callbacks.FILE.CLASS, "
                "lightning.pytorch.callbacks.CLASS and lightning.pytorch.loggers.CLASS"
            )


def _targets(content: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All that would be instantiated, at any depth: (its key, what it names)."""
    pairs = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for name, value in pairs:
        key = f"{prefix}.{name}" if prefix else str(name)
        if name == "_target_":
            yield key, value
        yield from _targets(value, key)


def _flat(content: Any, prefix: str) -> dict[str, Any]:
    """Settings by their dotted keys; nothing for what is empty."""
    if isinstance(content, dict):
        return {key: value for name in content for key, value in _flat(content[name], f"{prefix}.{name}").items()}
    return {} if content in (None, []) else {prefix: content}
