"""What the runs of a sweep are called: by number and by what differs, `2_model=resnet18_seed=1`.

The name is that of the folder, so that TensorBoard, which knows nothing else, shows it too. A comma between the
settings would be one between paths, of `checkpoint=A,B` with -m.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath

from ..names import nfc
from .folder import RunFolder

NUMBERED = re.compile(r"(0|[1-9][0-9]{0,5})(?:_.+)?", re.DOTALL)

LONGEST_VALUE, LONGEST = 24, 100
"""Characters of a value, and bytes of all that stands behind the number; file systems take names of 255 bytes."""

SETTINGS_OF_SWEEPS = ("sweep", "name", "resume")
"""What tells runs apart by their place alone."""

_MARKS = re.compile(r"[\[\](){}'\"]")
_UNSAFE = re.compile(r"[^\w.+=-]+")
_REFERENCE = re.compile(r"\$\{[\w.]+\}")
_DIGITS = re.compile(r"-?[0-9]*\.[0-9]{5,}(?:e[-+]?[0-9]+)?", re.IGNORECASE)


def number_of(folder: Path) -> int | None:
    """Return the number, from 0, that the name of a sweep's run begins with; None of any other folder."""
    match = NUMBERED.fullmatch(folder.name)
    return int(match[1]) if match else None


def folder_name(number: int | str, words: Sequence[str]) -> str:
    """Return what a run is called that differs from others by these overrides; without any, its number alone."""
    said = "_".join(_UNSAFE.sub("-", _MARKS.sub("", word)) for word in in_short(words))
    cut = nfc(said).encode("utf-8")[:LONGEST].decode("utf-8", "ignore").rstrip("_.-=")
    return f"{number}_{cut}" if cut else str(number)


def in_short(words: Sequence[str]) -> list[str]:
    """Return overrides as people say them: `lr=0.1` of `optimizer.lr`, numbers to four digits, paths by their ends."""
    pairs = [word.lstrip("+~").partition("=")[::2] for word in words]
    names = short_names(dict.fromkeys(key for key, _ in pairs))
    values = [_in_short(value) for _, value in pairs]
    return [f"{names[key]}={value}" if value else names[key] for (key, _), value in zip(pairs, values, strict=True)]


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """Return the last part of each dotted key (`optimizer` of `optimizer.name`), or all of it if another ends alike."""
    short = {key: key.removesuffix(".name").rsplit(".", 1)[-1] for key in keys}
    counts = Counter(short.values())
    return {key: name if counts[name] == 1 else key for key, name in short.items()}


def differing(jobs: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return of the overrides of each run those that not all have."""
    common = set.intersection(*map(set, jobs.values())) if jobs else set()
    return {
        name: [word for word in words if word not in common and word.partition("=")[0] not in SETTINGS_OF_SWEEPS]
        for name, words in jobs.items()
    }


def names_in(sweep: Path) -> dict[str, str]:
    """Return what each run of a sweep is called, by its folder; those of earlier versions have numbers as folders."""
    folders = [path for path in sweep.iterdir() if number_of(path) is not None and path.is_dir()]
    if not any(path.name.isdigit() for path in folders):
        return {path.name: path.name for path in folders}
    words = {path.name: words for path in folders if (words := RunFolder(path).overrides()) is not None}
    differ = differing(words)
    return {
        path.name: folder_name(path.name, differ.get(path.name, [])) if path.name.isdigit() else path.name
        for path in folders
    }


def is_sweep(folder: Path) -> bool:
    """Return whether a folder is where a sweep was started."""
    return (folder / "multirun.yaml").is_file() or folder.absolute().parent.name == "sweeps"


def name_of(run: RunFolder) -> str:
    """Return what a run is called by people: its own name or time, and in a sweep its number with what differs."""
    path = run.path.absolute()
    if path.name.isdigit() and is_sweep(path.parent):
        return names_in(path.parent).get(path.name, path.name)
    return path.name


def _in_short(value: str) -> str:
    value = _REFERENCE.sub("", value.strip("'\""))  # of FOLDER/${model.name}.pth the model is said anyway
    if "/" in value and not re.search(r"[\[{(]", value):
        value = PurePath(value).name or value
    if _DIGITS.fullmatch(value):
        return f"{float(value):.4g}"
    return value if len(value) <= LONGEST_VALUE else f"{value[: LONGEST_VALUE - 1]}…"
