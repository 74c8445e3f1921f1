"""Whether a composed configuration is possible: checked against the schema, without torch."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..errors import InputError, first_line
from ..errors import nearest as nearest
from .references import check_references
from .schema.kinds import Settings, find_problem
from .schema.kinds import plain as plain
from .schema.training import Train
from .schema.verbs import VERBS


def check_config(cfg: DictConfig) -> None:
    """Raise `InputError` for the first setting of a composed configuration that is not possible.

    A setting that isn't there is not missed.
    """
    check_references(cfg)
    try:
        missing = sorted(OmegaConf.missing_keys(cfg))
        values: Any = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        line = first_line(error)
        if "Missing mandatory value: " not in line:  # of a setting that another one refers to
            raise InputError(line) from error
        missing = [line.rpartition(" ")[2]]
    if missing:
        raise InputError(f"{missing[0]} has no default: say {missing[0]}=…")
    schema_of(values).read(values)


def schema_of(values: Mapping[Any, Any] | DictConfig) -> type[Settings]:
    """Return the settings of the verb that has the most of these; what several verbs have takes the same in all."""
    return max(VERBS.values(), key=lambda verb: len(verb.model_fields.keys() & values.keys()))


def problem(key: str, value: Any) -> str | None:
    """Return what is wrong with the value of one setting of `src.train`, as `take …`; None where nothing is."""
    return find_problem(Train, key, value)


def keys(cfg: Any, prefix: str = "") -> list[str]:
    """Return all settings of a configuration as dotted names, inner nodes included."""
    names: list[str] = []
    if isinstance(cfg, DictConfig):
        for key in map(str, cfg):
            name = f"{prefix}{key}"
            names += [name, *keys(cfg._get_node(key), f"{name}.")]
    return names
