"""Where the runs below a folder are, and which folders hold none."""

import os
from pathlib import Path

from ..errors import InputError
from ..runs.contents import UnusableError, read_yaml

MOST, DEEPEST = 20_000, 50
"""Folders without a run that are looked into, and folders inside folders: `/` has more, and `/proc` no end."""

REMEDY = "name a folder of finished runs, such as outputs/sweeps/NAME"

KEPT = "runs.tar.xz"
"""What `kept_runs` makes of runs: figures, without weights and images."""

RUN_FILES = {"metrics.json", "metrics.csv", "checkpoints"}
"""Any of them marks a run that has lost its run.json, unless there are runs below the folder."""


def find_runs(root: Path) -> tuple[list[Path], list[tuple[Path, str]], list[Path]]:
    """Return all run folders in `root` and below, with reasons the topmost folders without any or that are closed, and
    archives of runs (`KEPT`).

    Run folders, hidden ones and those called `report` are not searched. A link is followed only if it leads out of
    `root`: what is inside is found anyway. Raises `InputError` where there are many more folders than runs have.
    """
    runs: list[Path] = []
    doubtful: list[Path] = []
    others: list[tuple[Path, bool]] = []
    closed: list[tuple[Path, str]] = []
    archives: list[Path] = []
    known = {root.resolve()}
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        if len(others) > MOST or len(folder.parts) - len(root.parts) > DEEPEST:
            raise InputError(f"runs={root} is no folder of runs ({len(others):,} folders without one): {REMEDY}")
        try:
            with os.scandir(folder) as found:
                entries = list(found)
        except OSError as error:
            closed.append((folder, f"can't be opened ({error.strerror})"))
            continue
        if _is_run(folder, {entry.name for entry in entries}):
            runs.append(folder)
            continue
        if RUN_FILES & {entry.name for entry in entries}:
            doubtful.append(folder)
        archives += [folder / KEPT for entry in entries if entry.name == KEPT and not _is_folder(entry)]
        others.append((folder, not entries))
        for entry in entries:
            if entry.name == "report" or entry.name.startswith(".") or not _is_folder(entry):
                continue
            if entry.is_symlink():
                target = Path(entry.path).resolve()
                if not known.isdisjoint((target, *target.parents)):
                    continue
                known.add(target)
            waiting.append(folder / entry.name)
    above = {parent for path in runs for parent in path.parents}
    lost = {path for path in doubtful if path not in above}
    runs += [path for path in doubtful if path in lost and lost.isdisjoint(path.parents)]
    others = [(path, nothing) for path, nothing in others if lost.isdisjoint((path, *path.parents))]
    holders = {parent for path in [*runs, *archives, *(path for path, _ in closed)] for parent in path.parents}
    empty = [
        (path, "empty folder: no run in it" if nothing else "no run in it")
        for path, nothing in others
        if path != root and path not in holders and (path.parent == root or path.parent in holders)
    ]
    return runs, closed + empty, sorted(archives)


def _is_run(folder: Path, names: set[str]) -> bool:
    """Return whether these are the files of a training, even one that never began. Other verbs leave `.hydra`, too."""
    if "run.json" in names:
        return True
    if ".hydra" not in names:
        return False
    try:
        job = read_yaml(folder, ".hydra/hydra.yaml", dict)["hydra"]["job"]["name"]
    except (UnusableError, KeyError, TypeError):
        return True
    return bool(job == "train")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
