"""How the schema describes a setting: its type and range as an annotation, its meaning beside it.

Both the check and its error message come from the annotation, so they can't disagree. The schema is written in pydantic
rather than Hydra's structured configs because those know types but no ranges and no rules between settings, report in
several lines without a remedy, and need OmegaConf to be used from Python. Defaults are not here: they stand in `conf/`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin, get_type_hints

from annotated_types import Interval
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, core_schema

from ...errors import InputError, nearest

STRICT = ConfigDict(strict=True, allow_inf_nan=False)  # YAML has types: "3", 3.0 and true are not 3


class Settings(BaseModel):
    """A group of settings. None of them has to be there: each verb, and each option of a group, has its own."""

    # deferred: only what is used gets built. Unknown keys belong to a single network, data set or callback.
    model_config = ConfigDict(**STRICT, extra="allow", defer_build=True)

    @classmethod
    def read(cls, values: Any, group: str = "") -> Self:
        """Return the checked settings; raise `InputError` for the first that is not possible.

        Args:
            values: a mapping of names to plain values.
            group: what the settings are called by in the message: `data` for `data.image_size`.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise InputError(_explain(cls, error, values, group)) from None


def setting(meaning: str) -> Any:
    """Describe one setting. The None is nobody's default: pydantic wants one for what needn't be there."""
    return Field(None, description=meaning)


@dataclass(frozen=True)
class Takes:
    """What a setting takes, in words, where its type doesn't say it well."""

    words: str


@dataclass(frozen=True)
class Names:
    """A name or path that must not be blank, with the words of the error: `names nothing: say checkpoint=RUN`."""

    remedy: str
    what: str = "nothing"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        nullable = NoneType in get_args(source)
        return _checked(source, handler, lambda value: nullable if value is None else bool(str(value).strip()))


@dataclass(frozen=True, init=False)
class OneOf:
    """One of a few values; unlike with `Literal`, true is not 1, and the words may come from a table."""

    values: tuple[Any, ...]

    def __init__(self, *values: Any) -> None:
        object.__setattr__(self, "values", values)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _checked(source, handler, lambda value: value in self.values)


def _checked(source: Any, handler: GetCoreSchemaHandler, fits: Callable[[Any], bool]) -> CoreSchema:
    def check(value: Any) -> Any:
        if not fits(value):
            raise ValueError
        return value

    return core_schema.no_info_after_validator_function(check, handler(source))


Seed = Annotated[int, Interval(ge=0, le=2**32 - 1)]
Channels = Annotated[int, Interval(ge=1, le=1024)]
Count = Annotated[int, Interval(ge=1, le=1_000_000)]
BatchSize = Annotated[int, Interval(ge=1, le=65_536)]
Workers = Annotated[int, Interval(ge=0, le=256)] | Literal["auto"]
Classes = Annotated[int, Interval(ge=2, le=100_000)]
Share = Annotated[float, Interval(ge=0, le=1)]
Part = Annotated[float, Interval(gt=0, lt=1)]
Layer = Annotated[str | None, Takes("a name such as layer3, or null")]
FolderOrNull = Annotated[Any, Takes("a folder, or null")]


@cache
def kinds(settings: type[Settings]) -> Mapping[str, Any]:
    """The annotation of each setting of a group, its range included."""
    hints = get_type_hints(settings, include_extras=True)
    return {name: hints[name] for name in settings.model_fields}


def group_of(kind: Any) -> type[Settings] | None:
    """The group that a kind is or may be; None for a single setting."""
    return next((part for part in _parts(kind) if isinstance(part, type) and issubclass(part, Settings)), None)


def takes(kind: Any) -> str:
    """What a setting takes, in words: `a whole number between 2 and 65536, or auto`; empty where anything goes."""
    if get_origin(kind) is Annotated:
        base, *notes = get_args(kind)
        for note in notes:
            if isinstance(note, Takes):
                return note.words
            if isinstance(note, OneOf):
                return " or ".join(map(plain, note.values))
            if isinstance(note, Interval):
                return f"{_WORDS[base]} {_between(note)}"
        return takes(base)
    if get_origin(kind) in (Union, UnionType):
        words = " or ".join(takes(part) for part in get_args(kind))
        named = all(get_origin(part) is Literal or part in (bool, NoneType) for part in get_args(kind))
        return words if named else words.replace(" or ", ", or ")
    if get_origin(kind) is Literal:
        return " or ".join(map(plain, get_args(kind)))
    if get_origin(kind) is Sequence:
        return f"a list of {takes(get_args(kind)[0]).removeprefix('a ').replace('number', 'numbers', 1)}"
    return "one of the group's options" if group_of(kind) else _WORDS[kind]


_WORDS: Mapping[Any, str] = {
    int: "a whole number", float: "a number", bool: "true or false", NoneType: "null", str: "a name", Path: "a path",
    Any: "",
}  # fmt: skip


def _between(limits: Interval) -> str:
    low = plain(limits.ge if limits.gt is None else limits.gt)
    high = plain(limits.le if limits.lt is None else limits.lt)
    if limits.gt is None and limits.lt is None:
        return f"between {low} and {high}"
    if limits.ge is None and limits.le is None:
        return f"strictly between {low} and {high}"
    return f"above {low}, at most {high}" if limits.ge is None else f"from {low} to below {high}"


def _parts(kind: Any) -> Iterator[Any]:
    """A kind's alternatives, without their notes."""
    if get_origin(kind) is Annotated:
        yield from _parts(get_args(kind)[0])
    elif get_origin(kind) in (Union, UnionType):
        for part in get_args(kind):
            yield from _parts(part)
    else:
        yield kind


def find_problem(settings: type[Settings], key: str, value: Any) -> str | None:
    """What is wrong with the value of one setting, in words; None where nothing is, or there is no such setting."""
    *groups, name = key.split(".")
    for group in groups:
        settings = group_of(kinds(settings)[group]) or settings
    if name not in kinds(settings):
        return None
    try:
        _adapter(settings, name).validate_python(value)
    except ValidationError:
        return f"take {takes(kinds(settings)[name])}"
    return None


@cache
def _adapter(settings: type[Settings], name: str) -> TypeAdapter[Any]:
    return TypeAdapter(kinds(settings)[name], config=STRICT)


def _explain(settings: type[Settings], error: ValidationError, values: Any, group: str) -> str:
    """One line for the first error: the setting, its value and the remedy."""
    first = error.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InputError):  # of a rule between settings
        return str(cause)
    path, kind = [group] if group else [], Any
    inner: type[Settings] | None = settings
    for part in map(str, first["loc"]):
        if inner is None or part not in kinds(inner):
            if first["type"] == "extra_forbidden" and inner is not None:
                return f"{'.'.join([*path, part])} is unknown; nearest: {nearest(part, list(kinds(inner)))}"
            break
        path, kind, values = [*path, part], kinds(inner)[part], values[part]
        inner = group_of(kind)
    key, said = ".".join(path), plain(values)
    names = [note for note in get_args(kind) if isinstance(note, Names)]
    if names:
        return f"{key}={said} names {names[0].what}: say {names[0].remedy}"
    return f"{key}={said} is not possible: take {takes(kind)}"


def plain(value: Any) -> str:
    """The value as it is typed: `true`, `null`, `0.001`."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"{value:,.12g}".replace(",", "") if isinstance(value, float) else str(value)
