"""The files of a run, read on the suspicion that they are missing, half-written, or a stranger's.

What they cost is bounded before it is spent: a run folder may come from anywhere.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..errors import InputError, first_line
from ..files import read_inside
from ..settings.conf_files import LOADER
from ..settings.references import check_references

NAMES: Literal["surrogateescape"] = "surrogateescape"
"""How file names that are not UTF-8 pass through text files: byte by byte, as Python itself passes them."""

RECORD: Mapping[str, type | tuple[type, ...]] = {
    "command": str, "status": str, "start": str, "error": (str, type(None)), "versions": dict, "hardware": dict,
    "resumed": list, "pruned": list, "stopped_early": str,
}  # fmt: skip
"""What `run.json` says in which type, where somebody relies on it."""

YAML, JSON = 2**17, 2**23
"""Bytes of a file of each kind. Hydra writes a few thousand; JSON may take a hundred times as much memory."""

DEEPEST = 30
"""Brackets inside brackets; ours have five."""

LARGEST = 1e300
"""No figure of a run is larger. Python's integers can be too large for a float, or to be printed."""

LONG = re.compile(r"[-+]?(?:[\d_:.]{40}|0[xob]\w{40})")
"""How a number begins in YAML that would take thousands of digits to print."""


class UnusableError(InputError):
    """A file, and its run, can't be used. The message names the file and says why."""


class MissingError(UnusableError, FileNotFoundError):
    """There is no such file."""


def is_number(value: Any) -> bool:
    """Return whether this is a finite number; True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """Return the JSON object in a file below `folder`. Raise `UnusableError` without one."""
    text = read_text(folder, name, JSON)
    try:
        content = json.loads(text, parse_int=_whole_number)
    except json.JSONDecodeError as error:
        raise UnusableError(f"{name} is damaged (line {error.lineno}: {error.msg})") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise UnusableError(f"{name} is damaged ({first_line(error)})") from None
    if not isinstance(content, dict):
        raise UnusableError(f"{name} is damaged (it is no JSON object)")
    level: list[Any] = [content]
    for _ in range(DEEPEST):
        level = [value for node in level for value in (node.values() if isinstance(node, dict) else node)]
        level = [node for node in level if isinstance(node, dict | list)]
    if level:
        raise UnusableError(f"{name} is damaged (brackets inside brackets, {DEEPEST} deep)")
    return content


def check_record(record: Mapping[str, Any], file: Path) -> None:
    """Raise `UnusableError` where what somebody relies on in `run.json` is of another type."""
    for key, kind in RECORD.items():
        if key in record and not isinstance(record[key], kind):
            raise UnusableError(f"{file} is damaged ({key} is {str(record[key])[:40]})")
    for entry in record.get("resumed", []):
        words = entry.get("overrides", []) if isinstance(entry, dict) else None
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise UnusableError(f"{file} is damaged (resumed has {str(entry)[:40]})")


def check_figures(figures: Mapping[str, Any], file: Path) -> None:
    """Raise `UnusableError` where not all that `metrics.json` says are numbers."""
    for key, value in figures.items():
        if not is_number(value) and not isinstance(value, float):  # nan of a training that went wrong
            raise UnusableError(f"{file} is damaged ({key[:40]} is no number)")


def _whole_number(digits: str) -> int:
    if len(digits) > 1000:
        raise ValueError("a number of more than 1,000 digits")
    return int(digits)


def read_yaml(folder: Path, name: str, kind: type, *, foreign: bool = False) -> Any:
    """Return the content, of this kind (dict or list), of a YAML file, with interpolations unresolved.

    Args:
        foreign: it will be resolved: also raise `UnusableError` where it refers to what is not the run's own.
    """
    content = parse_yaml(read_text(folder, name, YAML), name, foreign=foreign)
    if not isinstance(content, kind):
        raise UnusableError(f"{name} is damaged (it is no {'list' if kind is list else 'mapping'})")
    return content


def parse_yaml(text: str, name: str, *, foreign: bool = False) -> Any:
    """As `read_yaml`, of any kind, from the text itself; `name` is for messages."""
    try:
        try:
            content = _load_yaml(text, LOADER)
        except yaml.YAMLError:  # libyaml refuses the escapes of names that are not UTF-8
            content = _load_yaml(text, yaml.SafeLoader)
        if foreign:
            check_references(OmegaConf.create(content if isinstance(content, dict) else {name: content}))
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise UnusableError(f"{name} is damaged ({where}{error.problem})") from None
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
        raise UnusableError(f"{name} is damaged ({first_line(error)[:200]})") from None
    return content


def _load_yaml(text: str, loader: Any) -> Any:
    """Return what Hydra may have written for us; `ValueError` or `yaml.YAMLError` for any other YAML."""
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > DEEPEST:  # an alias could stand for ten others, and so on
            raise ValueError("Hydra writes no such YAML")
        if isinstance(event, yaml.ScalarEvent) and event.implicit[0] and LONG.match(event.value):
            raise ValueError("a number of more than 40 digits")
    return yaml.load(text, Loader=loader)


def read_config(folder: Path, name: str) -> Any:
    """Return a configuration of Hydra's, as OmegaConf reads it, that can be resolved at little cost."""
    text = read_text(folder, name, YAML)
    parse_yaml(text, name, foreign=True)
    try:
        return OmegaConf.create(text)
    except (OmegaConfBaseException, ValueError, TypeError, AttributeError, yaml.YAMLError, RecursionError) as error:
        raise UnusableError(f"{name} is damaged ({first_line(error)[:120]})") from None


def read_text(folder: Path, name: str, most: int) -> str:
    """Return the text of a file of at most so many bytes. Raise `UnusableError` without any."""
    try:
        return read_bytes(folder, name, most).decode("utf-8")
    except UnicodeDecodeError:
        raise UnusableError(f"{name} is damaged (not UTF-8)") from None


def read_bytes(folder: Path, name: str, most: int) -> bytes:
    """Return what is in a file of at most so many bytes. Raise `UnusableError` where that is nothing."""
    try:
        content = read_inside(folder, name, most)
    except FileNotFoundError:
        raise MissingError(f"{name} is missing") from None
    except OSError as error:
        raise UnusableError(f"{name} can't be read ({error.strerror})") from None
    if not content.strip():
        raise UnusableError(f"{name} is empty")
    return content
