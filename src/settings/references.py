"""What the interpolations of a configuration refer to, found without resolving any.

OmegaConf resolves when a value is read. Until then nobody sees what `${oc.create:…}` makes, what `${oc.env:TOKEN}`
gives away, or that thirty lines of `a1: ${a0}${a0}` stand for gigabytes.
"""

from collections.abc import Iterator, Set
from functools import lru_cache
from typing import Any, NamedTuple

from antlr4 import ParserRuleContext  # type: ignore[import-untyped]
from omegaconf import DictConfig, ListConfig
from omegaconf._utils import split_key
from omegaconf.base import Node
from omegaconf.errors import OmegaConfBaseException
from omegaconf.grammar.gen.OmegaConfGrammarParser import OmegaConfGrammarParser
from omegaconf.grammar_parser import parse

from ..errors import InputError, first_line

RESOLVERS = frozenset(
    {
        "fine_tuning",
        "full_or_quick",
        "fitted",
        "groups",
        "hex",
        "hydra",
        "if_mirrored",
        "if_named",
        "if_small",
        "methods",
        "now",
        "package",
        "python_version",
        "settings",
        "unless_limited",
        "usual_rate",
        "unless_named",
        "usual_monitor",
        "with_fast",
    }
)
"""Ours and Hydra's. OmegaConf's own read the environment, and make settings out of text: `oc.env`, `oc.decode`, …"""

OF_HELP = frozenset({"fitted", "groups", "methods", "settings"})
"""Those that say something of the whole configuration or of files: for the text of `--help` alone."""

LONGEST = 2_000
"""Characters of a value with references in it, which a parser reads again and again; ours have seventy."""

MOST = 1_000_000
"""Characters and values of a configuration in which each reference is replaced by what it refers to."""

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
