"""What the interpolations of a configuration refer to, found without resolving any.

OmegaConf resolves when a value is read. Until then nobody sees what `${oc.create:…}` makes, what `${oc.env:TOKEN}`
gives away, or that thirty lines of `a1: ${a0}${a0}` stand for gigabytes.
"""

import re
from collections.abc import Iterator, Set
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from antlr4 import ParserRuleContext  # type: ignore[import-untyped]
from hydra._internal.config_repository import CachingConfigRepository, ConfigRepository
from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, ListConfig
from omegaconf._utils import split_key
from omegaconf.base import Node
from omegaconf.errors import OmegaConfBaseException
from omegaconf.grammar.gen.OmegaConfGrammarParser import OmegaConfGrammarParser
from omegaconf.grammar_parser import parse

from ..errors import InputError, first_line

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # many times faster, if libyaml is installed

RESOLVERS = frozenset(
    {"full_or_quick", "groups", "hex", "hydra", "methods", "now", "package", "python_version", "settings"}
)
"""Ours and Hydra's. OmegaConf's own read the environment, and make settings out of text: `oc.env`, `oc.decode`, …"""

OF_HELP = frozenset({"groups", "methods", "settings"})
"""Those that say something of the whole configuration or of files: for the text of `--help` alone."""

LONGEST = 2_000
"""Characters of a value with references in it, which a parser reads again and again; ours have seventy."""

MOST = 1_000_000
"""Characters and values of a configuration in which each reference is replaced by what it refers to."""

LARGEST, MOST_OF_FILE, MOST_LOADED = 2**20, 5_000, 20_000
"""Bytes and values of a file in conf/, and values of all files that one configuration is composed of, each as often as
it is named; ours have 3,000, 100 and 1,000."""

LONG_NUMBER = re.compile("[-+]?[0-9][0-9a-fA-FxX_:.]{999,}")
"""What Python takes its time to read, and refuses to print."""

DEEPEST = 40
"""Levels of nodes and references; ours have ten."""


def check_references(cfg: DictConfig) -> None:
    """Raise `InputError` where a value of the configuration uses another resolver than `RESOLVERS`, or grows too large.

    References have plain keys (`${data.root}`, not `${data.${x}}`), which don't lead through other references.
    """
    sizes: dict[int, int] = {}
    for key in sorted(cfg, key=lambda key: bool(key == "hydra")):  # a message names the setting, not the word for it
        _size(cfg._get_node(key), sizes, 0)
    _size(cfg, sizes, 0)


def _size(node: Any, sizes: dict[int, int], depth: int) -> int:
    """Return the characters and values of a node with what it refers to; `sizes` has those of nodes seen before."""
    if id(node) in sizes:
        if sizes[id(node)] < 0:
            raise InputError(f"{_name(node)} refers to itself: write the value there")
        return sizes[id(node)]
    if depth > DEEPEST:
        raise InputError(f"{_name(node)} lies more than {DEEPEST} references and levels deep: write the value there")
    sizes[id(node)] = -1
    value = node._value() if isinstance(node, Node) else node
    if isinstance(value, str):
        size = len(value) + sum(_size(target, sizes, depth + 1) for target in _targets(node, value))
    elif isinstance(node, DictConfig | ListConfig) and isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        size = 1 + sum(_size(one, sizes, depth + 1) for one in inner)
    else:
        size = 1
    if size > MOST:
        raise InputError(f"{_name(node)} stands for more than {MOST:,} values: write fewer")
    sizes[id(node)] = size
    return size


def _targets(node: Any, text: str) -> Iterator[Any]:
    """Yield the nodes that a value refers to; raise `InputError` for a reference that isn't plain."""
    check_resolvers(text, _name(node), RESOLVERS if _name(node).startswith("hydra.help.") else RESOLVERS - OF_HELP)
    for words in (reference for reference in _references(text) if not reference.resolver):
        if "${" in words.text[2:]:
            raise InputError(f"{_name(node)}: {words.text} is not a plain reference: write the value there")
        target = _select(node, words.text)
        if target is not None:
            yield target


def check_resolvers(text: str, name: str, allowed: Set[str] = RESOLVERS) -> None:
    """Raise `InputError`, which calls the text `name`, for a reference by another resolver than those allowed."""
    if "${" in text and len(text) > LONGEST:
        raise InputError(
            f"{name} has references in a text of {len(text):,} characters: write less, or the value itself"
        )
    try:
        refused = {reference.resolver for reference in _references(text)} - allowed - {""}
    except OmegaConfBaseException as error:
        raise InputError(f"{name}: {first_line(error)}") from error
    if refused:
        raise InputError(f"{name} refers to ${{{min(refused)}:…}}, which isn't allowed: write the value there")


class Reference(NamedTuple):
    """`${text}`, and the name in front of its colon, if any."""

    text: str
    resolver: str = ""


@lru_cache(maxsize=4096)
def _references(text: str) -> tuple[Reference, ...]:
    """Return all references in a text, at any depth."""
    found: list[Reference] = []
    waiting: list[Any] = [parse(text)] if "${" in text else []
    while waiting:
        context: Any = waiting.pop()
        if isinstance(context, OmegaConfGrammarParser.InterpolationResolverContext):
            found.append(Reference(context.getText(), context.resolverName().getText()))  # type: ignore[no-untyped-call]
        elif isinstance(context, OmegaConfGrammarParser.InterpolationNodeContext):
            found.append(Reference(context.getText()))
        if isinstance(context, ParserRuleContext):
            waiting += context.getChildren()
    return tuple(found)


def _select(node: Node, words: str) -> Any:
    """Return the node that `${key}` means, relative with dots at its beginning; None where there is none."""
    key = words[2:-1].strip()
    found: Any = node._get_parent() if key.startswith(".") else node._get_root()
    key = key.removeprefix(".")
    while key.startswith(".") and found is not None:
        found, key = found._get_parent(), key[1:]
    for word in split_key(key):
        if found is None:
            return None
        if found._is_interpolation():
            raise InputError(f"{_name(node)}: {words} leads through another reference: write the value there")
        try:
            found = found._get_node(int(word) if isinstance(found, ListConfig) else word)
        except (AttributeError, IndexError, TypeError, ValueError, OmegaConfBaseException):
            return None
    return found


def _name(node: Any) -> str:
    return str(node._get_full_key(None)) or "the configuration" if isinstance(node, Node) else str(node)


class CheckedRepository(ConfigRepository):
    """Hydra's way to the files of `conf/`, which looks at each before it is read."""

    def __init__(self, search_path: ConfigSearchPath) -> None:
        super().__init__(search_path)
        self._checked: dict[str, tuple[int, int]] = {}
        self.sizes: dict[str, int] = {}
        """Values in each file that was read, by its name without .yaml."""

    def load_config(self, config_path: str) -> ConfigResult | None:
        """Load a file or an option of a plugin. Raise `InputError` for a file elsewhere, or one that is no settings."""
        if config_path.startswith("//") or ".." in config_path.split("/"):  # out of Hydra's own folder, too
            raise InputError(f"{config_path} is not in conf/: put it there")
        for source in self.sources:
            # by its scheme: Hydra imports its own plugins a second time, with other classes
            if source.scheme() == "file" and source.is_config(config_path):
                name = source._normalize_file_name(config_path)
                file = Path(source.path) / name
                if config_path.startswith("hydra/") and any(
                    other.is_config(config_path) for other in self.sources if other is not source
                ):
                    raise InputError(f"{file} has the name of one of Hydra's own: call it something else")
                # where a package manager has put links to all of our files, theirs lead to one folder
                if file.resolve() != Path(source.path, "train.yaml").resolve().parent / name:
                    raise InputError(f"{file} is a link: put in its place what it leads to")
                state = file.stat()
                if self._checked.get(name) != (state.st_mtime_ns, state.st_size):  # those of a sweep are read again
                    self.sizes[name.removesuffix(".yaml")] = _check_file(file, name)
                    self._checked[name] = (state.st_mtime_ns, state.st_size)
        try:
            return super().load_config(config_path)
        except yaml.YAMLError as error:  # a key that is there twice, say
            raise _unreadable(config_path, error) from error


class CountingRepository(CachingConfigRepository):
    """What is composed once: ten files that name each other ten times stand for gigabytes, as aliases do."""

    delegate: CheckedRepository
    loaded = 0

    def load_config(self, config_path: str) -> ConfigResult | None:
        """Load as `CheckedRepository` does; raise `InputError` where it becomes too much."""
        result = super().load_config(config_path)
        self.loaded += self.delegate.sizes.get(config_path.removesuffix(".yaml"), 1)
        if self.loaded > MOST_LOADED:
            raise InputError(f"{config_path} and what it names stand for more than {MOST_LOADED:,} values: write fewer")
        return result


def _check_file(file: Path, name: str) -> int:
    """Return how many values a file stands for.

    Raises `InputError` where they are too many, or one uses another resolver than `RESOLVERS`.

    The composed configuration says nothing of the defaults list, which Hydra resolves while it composes.
    """
    try:
        if file.stat().st_size > LARGEST:
            raise InputError(f"{name} is larger than {LARGEST // 2**20} MiB: is it a file of settings?")
        count, texts = _read_scalars(file.read_text(encoding="utf-8"), name)
        for text in texts:
            check_resolvers(text, name)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        if isinstance(error, InputError):
            raise
        raise _unreadable(name, error) from error
    return count


def _unreadable(name: str, error: Exception) -> InputError:
    where = first_line(error)
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        where = f"line {error.problem_mark.line + 1}: {error.problem}"
    return InputError(f"{name} can't be read ({where}): see to that")


def _read_scalars(text: str, name: str) -> tuple[int, list[str]]:
    """Return how many values a YAML file stands for with its aliases replaced, and its words.

    Raises `InputError` where there are too many.
    """
    texts: list[str] = []
    sizes: dict[str, int] = {}
    count, open_ = 0, list[tuple[str | None, int]]()
    for event in yaml.parse(text, Loader=LOADER):
        if isinstance(event, yaml.AliasEvent) and event.anchor not in sizes:
            raise InputError(f"{name}: *{event.anchor} refers to itself: write the values there")
        count += sizes[str(event.anchor)] if isinstance(event, yaml.AliasEvent) else 1
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor, count))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_.pop()
            sizes |= {} if anchor is None else {anchor: count - before + 1}
        elif isinstance(event, yaml.ScalarEvent):
            sizes |= {} if event.anchor is None else {event.anchor: 1}
            texts.append(event.value)
            if LONG_NUMBER.fullmatch(event.value):
                raise InputError(f"{name} has a number of {len(event.value):,} digits: take a smaller one")
        if count > MOST_OF_FILE or len(open_) > DEEPEST:
            raise InputError(
                f"{name} stands for more than {MOST_OF_FILE:,} values, or for too many levels: write fewer"
            )
    return count, texts
