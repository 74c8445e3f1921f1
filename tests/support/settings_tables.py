"""The tables of settings in conf/README.md, from the schema and conf/: `python -m tests.support.settings_tables`."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from src.settings.defaults import BASE, CONF
from src.settings.help import Row, rows
from src.settings.schema.data import Data
from src.settings.schema.kinds import group_of, kinds, plain
from src.settings.schema.training import Train
from src.settings.schema.verbs import VERBS

README = CONF / "README.md"
MARKED = re.compile(r"(?<=<!-- begin: python -m tests\.support\.settings_tables -->\n).*(?=<!-- end -->)", re.DOTALL)
GROUPS = {name: group for name, kind in kinds(Train).items() if (group := group_of(kind)) is kind}
SPACE = CONF / "space" / "lr.yaml"
FEW = 3
"""A setting with more defaults than this gets no list of them: its group's files say which."""


def tables() -> str:
    """All settings of a training, group by group, then those of the other verbs."""
    parts = [section("`src.train`, top level", own_rows("train"), [read(CONF / "train.yaml")])]
    for name, group in GROUPS.items():
        parts.append(section(f"`{name}`", rows(group, f"{name}."), options(name)))
    for verb in VERBS:
        if verb != "train":
            contents = [read(CONF / f"{verb}.yaml"), *({"space": read(SPACE)} for _ in range(verb == "search"))]
            parts.append(section(f"`src.{verb}`", own_rows(verb), contents))
    return "\n".join(parts)


def own_rows(verb: str) -> Iterator[Row]:
    """The settings of a verb without those of groups; of data that it may only look for elsewhere the root."""
    elsewhere = kinds(VERBS[verb]).get("data", Data) is not Data
    for row in rows(VERBS[verb]):
        if row.key.partition(".")[0] not in GROUPS or (elsewhere and row.key == "data.root"):
            yield row


def section(title: str, settings: Iterator[Row], contents: list[Mapping[str, Any]]) -> str:
    lines = [f"### {title}", "", "| setting | takes | default | meaning |", "|---|---|---|---|"]
    for row in settings:
        takes = row.takes or "whatever Lightning takes"
        lines.append(f"| `{row.key}` | {takes} | {default(row.key, contents)} | {row.meaning} |")
    return "\n".join([*lines, ""])


def default(key: str, contents: list[Mapping[str, Any]]) -> str:
    """What a setting is unless it is set: one value, or a few with their options."""
    values: dict[str, list[str]] = {}
    for content in contents:
        value: Any = content
        for part in key.split(".") if content.get("option") is None else key.split(".")[1:]:
            value = value.get(part, ABSENT) if isinstance(value, Mapping) else ABSENT
        if isinstance(value, dict):
            return "see below"
        if value is not ABSENT:
            values.setdefault("none" if value == "???" else f"`{plain(value)}`", []).append(content.get("option", ""))
    values = {value: names for value, names in values.items() if value != "none" or names != [BASE]}
    base = next((value for value, names in values.items() if BASE in names), None)
    if len(values) == 1:
        return next(iter(values))
    if base is not None:
        return f"{base}, or as the option says"
    if len(values) <= FEW:
        return ", ".join(f"{value} ({', '.join(names)})" for value, names in values.items())
    return "as the option says" if values else ""


def options(group: str) -> list[Mapping[str, Any]]:
    return [{**option(group, file.stem), "option": file.stem} for file in sorted((CONF / group).glob("*.yaml"))]


def option(group: str, name: str) -> dict[str, Any]:
    """An option of a group as Hydra composes it."""
    content = read(CONF / group / f"{name}.yaml")
    below = content.pop("defaults", [])
    return {key: value for other in below for key, value in option(group, other).items()} | content


def read(file: Any) -> dict[str, Any]:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


ABSENT = object()

if __name__ == "__main__":
    README.write_text(MARKED.sub(lambda _: f"\n{tables()}\n", README.read_text(encoding="utf-8")), encoding="utf-8")
