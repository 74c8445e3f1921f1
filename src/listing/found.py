"""Which runs a list has: those in a folder and below, and adopted networks, without what filters leave out."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ..errors import InputError, nearest
from ..names import natural
from ..reporting.found import find_runs
from ..runs.differing import is_sweep, name_of, names_in
from ..runs.folder import ADOPTED, RunFolder
from ..runs.named import is_candidate, is_pick
from ..settings.other_names import NO_SETTINGS, settings_of
from ..settings.schema.kinds import plain
from ..settings.schema.training import Train
from .entry import Entry, read_adopted, read_entry, setting

ORDERS: Mapping[str, Callable[[Entry], Any]] = {
    "time": lambda entry: -entry.begun,
    "accuracy": lambda entry: -1 if entry.value is None else -1 - entry.value,
    "size": lambda entry: -entry.size,
    "name": lambda entry: natural(entry.name),
    "data": lambda entry: natural(entry.data),
    "model": lambda entry: natural(entry.model),
    "status": lambda entry: entry.status,
}
"""What sorts a list by each word; the newest, best and largest first, and by name what is alike."""


def read_entries(root: Path, *, losers: bool = False) -> list[Entry]:
    """Return a line for each run in `root` and below, and for each adopted network, by name.

    Of a search below `root` its pick alone has one, called by the search; with `losers` all candidates do.

    Raises:
        InputError: There is no such folder, or it is none of runs.
    """
    if not root.is_dir():
        raise InputError(f"runs={root} is no folder: train a run first, or name a folder of runs")
    names: dict[Path, dict[str, str]] = {}
    entries = []
    for path in find_runs(root)[0]:
        search = path.parent.parent
        if is_candidate(path) and search != root and not losers:
            if is_pick(path):
                entries.append(read_entry(path, RunFolder(search).shown))
            continue
        if is_sweep(path.parent) and path.parent not in names:
            names[path.parent] = names_in(path.parent)
        entries.append(read_entry(path, _name(path, names.get(path.parent, {}))))
    adopted = [root / ADOPTED, *root.glob(f"*/{ADOPTED}"), *root.glob(f"adopt/*/{ADOPTED}")]
    entries += [read_adopted(file.parent) for file in adopted if file.is_file() and not file.is_symlink()]
    return sorted(entries, key=lambda entry: natural(entry.name))


def chosen(entries: Sequence[Entry], where: Sequence[str], status: str | None, sort: str) -> list[Entry]:
    """Return the lines that all conditions let through, such as `model=resnet18,resnet50`, in this order."""
    conditions = dict(map(_condition, where))
    kept = [entry for entry in entries if status in (None, entry.status) and _fits(entry, conditions)]
    return sorted(kept, key=ORDERS[sort])


def _name(path: Path, in_sweep: Mapping[str, str]) -> str:
    """Return what a verb takes for this run below `outputs`: its own name, or that of its sweep before it."""
    if path.name in in_sweep:
        return f"{path.absolute().parent.name}/{in_sweep[path.name]}"
    return name_of(RunFolder(path))


def _condition(word: str) -> tuple[str, list[str]]:
    key, equals, value = word.lstrip("+").partition("=")
    known = {*settings_of(Train), *NO_SETTINGS}
    if not equals or key not in known:
        remedy = f"say {key}=VALUE" if key in known else f"nearest: {nearest(key, known)}"
        raise InputError(f"where: {word[:60]!r} is no setting of a run; {remedy}")
    return key, [one.strip("'\" ") for one in ([value] if value[:1] == "[" else value.split(","))]


def _fits(entry: Entry, conditions: Mapping[str, Sequence[str]]) -> bool:
    return all(any(_is(entry, key, value) for value in values) for key, values in conditions.items())


def _is(entry: Entry, key: str, wanted: str) -> bool:
    """Return whether a run has this value of a setting, or this option of a group."""
    value = setting(entry.config, key)
    if isinstance(value, DictConfig) or key in NO_SETTINGS:
        return wanted in (entry.choices.get(key), setting(entry.config, f"{key}.name"))
    if plain(value) == wanted:
        return True
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and float(value) == float(wanted)
    except ValueError:
        return False
