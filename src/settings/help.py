"""What `--help` lists: the options of each group, and each setting with its value, what it takes and what it means."""

import shutil
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

from omegaconf import DictConfig, OmegaConf

from .check import schema_of
from .defaults import BASE, CONF
from .schema.kinds import Settings, group_of, kinds, plain, takes

COLUMN = 40
"""Where the meaning of a setting begins."""


class Row(NamedTuple):
    """One setting as the schema describes it."""

    key: str
    takes: str
    meaning: str


def rows(settings: type[Settings], prefix: str = "") -> Iterator[Row]:
    """Yield each setting of a group and of the groups in it; a group itself where something else may stand there."""
    for name, kind in kinds(settings).items():
        inner = group_of(kind)
        if inner is not kind:
            yield Row(f"{prefix}{name}", takes(kind), settings.model_fields[name].description or "")
        if inner is not None:
            yield from rows(inner, f"{prefix}{name}.")


def list_settings(*, _root_: DictConfig) -> str:
    """Return a line or more for each setting of a composed configuration."""
    described = {row.key: row for row in rows(schema_of(_root_))}
    width = min(shutil.get_terminal_size((120, 24)).columns, 120)
    as_written = cast(dict[str, Any], OmegaConf.to_container(_root_, resolve=False))  # references included
    lines = []
    for key, value in _leaves(as_written):
        row = described.get(key, Row(key, "", "a setting of this option's own"))
        typed = f"{key}={plain(value)} ".ljust(COLUMN)
        meaning = f"{row.meaning} ({row.takes})" if row.takes else row.meaning
        if len(typed) > COLUMN:
            lines.append(typed.rstrip())
            typed = " " * COLUMN
        lines.append(textwrap.fill(meaning, width, initial_indent=typed, subsequent_indent=" " * COLUMN))
    return "\n".join(lines).replace("$", "$$")  # what Hydra fills in is a template


def _leaves(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each setting with its value, without Hydra's own and what is instantiated."""
    for key, value in content.items():
        if key in ("hydra", "_target_"):
            continue
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def list_groups(chosen: Mapping[str, str]) -> str:
    """Return `model: resnet101, …`, a line for each group of the verb."""
    groups = sorted(group for group in chosen if not group.startswith("hydra/"))
    options = {group: sorted(path.stem for path in (CONF / group).glob("*.yaml")) for group in groups}
    lines = [f"{group}: {', '.join(name for name in names if name != BASE)}" for group, names in options.items()]
    return "\n".join(["Groups: what can be chosen, as group=option", "", *lines, ""]) if groups else ""


OmegaConf.register_new_resolver("settings", list_settings, replace=True)
OmegaConf.register_new_resolver("groups", list_groups, replace=True)
