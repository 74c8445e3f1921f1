"""Hydra's way to the files of `conf/`, which looks at each before it is read: one of them may be a stranger's."""

import re
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.config_repository import CachingConfigRepository, ConfigRepository
from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.config_source import ConfigResult

from ..errors import InputError, first_line
from .references import DEEPEST, check_resolvers

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # many times faster, if libyaml is installed

LARGEST, MOST_OF_FILE, MOST_LOADED = 2**20, 5_000, 20_000
"""Bytes and values of a file in conf/, and values of all files that one configuration is composed of, each as often as
it is named; ours have 3,000, 100 and 1,000."""

LONG_NUMBER = re.compile("[-+]?[0-9][0-9a-fA-FxX_:.]{999,}")
"""What Python takes its time to read, and refuses to print."""


class CheckedRepository(ConfigRepository):
    """Finds and reads options, and refuses a file that leads elsewhere or stands for too much."""

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
