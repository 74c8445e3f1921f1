"""From names in a table to files: names from another system, without a suffix, or without their folder."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

from ..errors import InputError
from ..names import nfc
from .collection import Skipped
from .defects import FoundFile
from .folders import list_files

ELSEWHERE = re.compile(r"[A-Za-z]:[\\/]|\\\\|/")  # a Windows drive, a share, or a path from the root
WEB = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


class Match(NamedTuple):
    """A file that a name without suffix or folder may mean: relative path, and the folder that the name left out."""

    folder: str
    path: str
    whole: bool  # whether the name has the suffix


def find_listed(root: Path, bases: Sequence[str], names: Sequence[str], table: str) -> list[FoundFile | Skipped]:
    """Return for each name its file; for one that isn't there, why it is left out. Paths are relative to `root`.

    Where no name is there as written, names may lack their suffix or the folders above them, as in Kaggle's tables;
    where some are, the suffix alone.

    Args:
        bases: the folders, relative to `root`, that names are relative to: the first that has the file, one by one.
        table: what to call the table in a message.

    Raises:
        InputError: a name that leads out of `root`, several files that names may mean, or most files missing.
    """
    found = [first_of([look_at(root, path) for path in places(root, bases, name, table)]) for name in names]
    missing = [i for i, file in enumerate(found) if isinstance(file, Skipped)]
    if missing:
        base = bases[0]
        below = "" if base == "." else f"{base}/"
        short = {i: nfc(found[i].path.removeprefix(below)) for i in missing}
        matches = search(root, base, set(short.values()))
        if len(missing) < len(names):
            matches = {name: [match for match in some if not match.folder] for name, some in matches.items()}
        chosen = choose(matches, table)
        for i, name in short.items():
            if name in chosen:
                found[i] = look_at(root, chosen[name])
    absent = [file.path for file in found if isinstance(file, Skipped)]
    if 2 * len(absent) > len(names):
        count = "none" if len(absent) == len(names) else f"{len(names) - len(absent):,}"
        raise InputError(
            f"{count} of the {len(names):,} files that {table} names are in {root} (no {absent[0][:80]!r}): say "
            "data.root=FOLDER of the images, or data.file=COLUMN of their names"
        )
    return found


def first_of(looked: Sequence[FoundFile | Skipped]) -> FoundFile | Skipped:
    return next((file for file in looked if isinstance(file, FoundFile)), looked[0])


def places(root: Path, bases: Sequence[str], name: str, table: str) -> list[str]:
    """Return where a name is looked for, relative to `root`; raise `InputError` for one that leads out of it."""
    if WEB.match(name):
        raise InputError(f"{table} names {name[:80]!r}: download the images, and name the files")
    if ELSEWHERE.match(name):
        for folder in dict.fromkeys((root.absolute(), root.resolve())):
            if Path(name).is_relative_to(folder) and ".." not in Path(name).parts:
                return [Path(name).relative_to(folder).as_posix()]
        raise InputError(
            f"{table} names {name[:120]!r}, which is not below {root}: say data.root=FOLDER that all images lie in"
        )
    spellings = dict.fromkeys((name, name.replace("\\", "/")))  # of Windows
    # a Path takes ten times as long
    paths = [os.path.normpath(os.path.join(base, spelt)) for base in bases for spelt in spellings]  # noqa: PTH118
    inside = [path for path in paths if path.split("/", 1)[0] != ".."]
    if not inside:
        raise InputError(
            f"{table} names {name[:120]!r}, which is not below {root}: say data.root=FOLDER that all images lie in"
        )
    return inside


def look_at(root: Path, path: str) -> FoundFile | Skipped:
    try:
        status = os.stat(os.path.join(root, path))  # noqa: PTH116, PTH118
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return Skipped(path, "missing")
    if not S_ISREG(status.st_mode):
        return Skipped(path, "missing")
    return FoundFile(path, status.st_size, status.st_mtime_ns)


def search(root: Path, base: str, names: Collection[str]) -> dict[str, list[Match]]:
    """Return for each name the files below `root / base` whose path ends in it, with or without a suffix."""
    if not (root / base).is_dir():
        return {}
    matches: dict[str, list[Match]] = defaultdict(list)
    for file in list_files(root, Path(base))[0]:
        path = file.path.removeprefix("./")
        parts = nfc(path if base == "." else path.removeprefix(f"{base}/")).split("/")
        for i in range(len(parts)):
            tail = "/".join(parts[i:])
            bare = tail.rpartition(".")[0] if "." in parts[-1] else ""
            for key in (tail, bare):
                if key in names:
                    matches[key].append(Match("/".join(parts[:i]), path, key is tail))
    return matches


def choose(matches: Mapping[str, Sequence[Match]], table: str) -> dict[str, str]:
    """Return the path of each name that has one; raise `InputError` where several files may be meant."""
    several = any(len({match.folder for match in some}) > 1 for some in matches.values())
    folders = Counter(folder for some in matches.values() for folder in {match.folder for match in some})
    fits = [folder for folder, count in folders.items() if count == len(matches)]
    if several and len(fits) != 1:
        stem = table.rpartition(".")[0].lower()
        like = [folder for folder in fits if folder.lower() in (stem, f"{stem}_images", f"{stem}-images")]
        if len(like) != 1:
            shown = sorted(fits or [folder for folder, _ in folders.most_common(4)])[:4]
            raise InputError(
                f"the files that {table} names are in several folders, {', '.join(repr(name or '.') for name in shown)}"
                f": say data.root=FOLDER of those that are meant"
            )
        fits = like
    chosen = {}
    for name, some in matches.items():
        here = [match for match in some if not several or match.folder == fits[0]]
        here = [match for match in here if match.whole] or here
        if len(here) > 1:
            raise InputError(
                f"{table} names {name[:80]!r}, which may be {here[0].path!r} or {here[1].path!r}: write the suffix "
                "into the table, or move one of them away"
            )
        if here:
            chosen[name] = here[0].path
    return chosen


def pattern_of(names: Sequence[str], paths: Sequence[str]) -> str:
    """Return where files were found that their names don't say, such as "train/*.jpg"; "" where the names do."""
    name, path = next(((n, p) for n, p in zip(names, paths, strict=True) if n != p), ("", ""))
    if not name or name not in path:
        return ""
    before, _, after = path.rpartition(name)
    return f"{before}*{after}"
