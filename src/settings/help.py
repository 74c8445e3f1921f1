"""What `--help` lists: the options of each group, and each setting with its value, what it takes and what it means."""

import re
import shutil
import textwrap
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple, cast

from omegaconf import DictConfig, OmegaConf

from ..tables import wrapped
from .check import schema_of
from .defaults import BASE, CONF
from .schema.kinds import Settings, group_of, kinds, plain, takes

WIDEST = 100
"""Columns of a line; a terminal may have fewer."""

CHOSEN = {
    "callbacks": "what watches the training",
    "data": "the images",
    "experiment": "a study: settings of several groups at once",
    "logger": "who else gets the figures",
    "model": "the network",
    "optimizer": "how weights follow gradients",
    "recipe": "settings of several groups, for speed or for accuracy",
    "scheduler": "how the learning rate changes",
    "space": "settings that a search tries around one network",
    "trainer": "where and how it runs",
}
"""What a group chooses."""

LINKS = r"\s*\([^()]*https?://[^()]*\)|,? https?://\S+?(?=\.? |$)"


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
    width = _width()
    column = 40 if width >= WIDEST else 32
    as_written = cast(dict[str, Any], OmegaConf.to_container(_root_, resolve=False))  # references included
    lines = []
    for key, value in _leaves(as_written):
        row = described.get(key, Row(key, "", "a setting of this option's own"))
        typed = f"{key}={plain(value)} ".ljust(column)
        meaning = f"{row.meaning} ({row.takes})" if row.takes else row.meaning
        if len(typed) > column:
            lines.append(typed.rstrip())
            typed = " " * column
        lines.append(textwrap.fill(meaning, width, initial_indent=typed, subsequent_indent=" " * column))
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
    """Return each group of the verb, what it chooses, and its options with a few words each."""
    groups = sorted(group for group in chosen if not group.startswith("hydra/"))
    lines = []
    for group in groups:
        lines += [f"{group}: {CHOSEN[group]}" if group in CHOSEN else group]
        files = sorted(path for path in (CONF / group).glob("*.yaml") if path.stem != BASE)
        width = max((len(file.stem) for file in files), default=0) + 2
        for file in files:
            lines.append(f"  {file.stem:<{width}}{_shorten(_about(file), _width() - width - 2)}".rstrip())
        lines.append("")
    text = "\n".join(["Groups: what can be chosen, as group=option", "", *lines, ""]) if groups else ""
    return text.replace("$", "$$")


def _shorten(text: str, room: int) -> str:
    """Return as many of a sentence's clauses as there is room for, and at least one, cut."""
    clauses = [match.start() for match in re.finditer("[,;:] ", text)]
    end = max((place for place in clauses if place <= room), default=len(text)) if len(text) > room else len(text)
    kept = text[:end] if text[:end].count("(") == text[:end].count(")") else text[:end].rpartition(" (")[0]
    return textwrap.shorten(kept if " " in kept else text, room, placeholder=" …")


def _about(option: Path) -> str:
    """Return what an option's file says first: the question of a study, or its comment's first sentence."""
    text = option.read_text(encoding="utf-8")
    if question := re.search(r"^ +question: (.+)$", text, re.MULTILINE):
        return question[1]
    lines = takewhile(lambda line: line.startswith("#"), text.replace("# @package _global_\n", "").splitlines())
    comment = re.sub(LINKS, "", " ".join(line.lstrip("# ") for line in lines))
    return re.split(r"(?<! al)\.(?: |$)|: *$", comment)[0]


def fit(text: str) -> str:
    """Return a text, such as examples of commands, in lines that fit the terminal."""
    return wrapped(text, _width())


def _width() -> int:
    return min(shutil.get_terminal_size((WIDEST, 24)).columns, WIDEST)


OmegaConf.register_new_resolver("settings", list_settings, replace=True)
OmegaConf.register_new_resolver("groups", list_groups, replace=True)
OmegaConf.register_new_resolver("fitted", fit, replace=True)
