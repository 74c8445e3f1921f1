"""What of a finished run can be made again, and taking that away: nothing else, of no other run, through no link.

Only files that a verb of ours writes under that name go; where something else lies among them, all of them stay.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..files import locked, refuse_links
from ..runs.contents import UnusableError, read_json
from ..runs.folder import EVENTS, RunFolder
from .entry import Entry

Files = list[Path]

OF_TRAINING = re.compile(
    rf"(run|metrics|cost)\.json|(metrics|per_class|predictions|skipped|steps)\.csv|report\.html|probabilities\.npz|train\.log|{EVENTS}\..*"
    r"|\.hydra/(config|hydra|overrides)\.yaml|checkpoints/(best|last)\.ckpt|checkpoints/best\.(calibration\.json|validation\.npz)"
    r"|gradcam/(epoch_[0-9]+\.(png|npz)|(images|objects)\.npz)|figures/[a-z_]+\.(png|webp)"
)
"""What a training writes, by the path below its folder."""


class KeptError(Exception):
    """Something stays; the message says why."""


@dataclass(frozen=True)
class Part:
    """Files of a run that can be made again: `kind` is one of `KINDS`, `folder` is what is locked while they go."""

    kind: str
    folder: Path
    files: Files

    @property
    def size(self) -> int:
        """Bytes that will be free; a file that has another name elsewhere frees none."""
        found = (path.lstat() for path in self.files)
        return sum(entry.st_size for entry in found if entry.st_nlink == 1)


@dataclass(frozen=True)
class Plan:
    """What can go of a run, and what stays although it was asked for, with reasons."""

    entry: Entry
    parts: Sequence[Part]
    kept: Sequence[str]

    def size(self, kind: str | None = None) -> int:
        return sum(part.size for part in self.parts if kind in (None, part.kind))


def plan(entry: Entry, root: Path, kinds: Sequence[str]) -> Plan:
    """Return what of these kinds can go of a run below `root`."""
    run, parts, kept = entry.run, list[Part](), list[str]()
    try:
        _refuse(entry, root)
    except (KeptError, InputError) as error:
        return Plan(entry, [], [str(error)])
    for kind in kinds:
        for folder in KINDS[kind].folders(run):
            try:
                if folder.is_dir() and (files := _files(run, kind, folder)):
                    parts.append(Part(kind, folder, files))
            except (KeptError, InputError, OSError) as error:
                kept.append(f"{folder.relative_to(run.path)}: {_said(error, run)}")
    return Plan(entry, parts, kept)


def prune(planned: Plan, root: Path) -> tuple[int, list[str]]:
    """Take away what was planned, unless the run has changed since; return the bytes that are free, and what stays."""
    run, freed, kept = planned.entry.run, 0, list(planned.kept)
    if not planned.parts:
        return 0, kept
    try:
        with locked(run.path):
            _refuse(planned.entry, root)
            for part in planned.parts:
                with ExitStack() as stack:
                    if part.folder not in (run.path, run.checkpoints):
                        stack.enter_context(locked(part.folder))
                    if sorted(_files(run, part.kind, part.folder)) != sorted(part.files):
                        kept.append(f"{part.folder.relative_to(run.path)}: it has just changed")
                        continue
                    size = part.size
                    run.note_pruned([path.relative_to(run.path).as_posix() for path in part.files])
                    for path in part.files:
                        path.unlink()
                    freed += size
                    _remove_empty(part.folder, run)
    except BlockingIOError:
        kept.append("another process is at work there")
    except (KeptError, InputError, OSError) as error:
        kept.append(_said(error, run))
    return freed, kept


def _refuse(entry: Entry, root: Path) -> None:
    """Raise `KeptError` or `InputError` unless a run is finished, whole, and reached through no link."""
    run = entry.run
    refuse_links(root, run.path)
    status = run.status if entry.status == "finished" else None
    if entry.status != "finished" or status != "finished" or not run.is_whole:
        raise KeptError(entry.status if entry.status != "finished" else "its figures can't be read")
    if run.best_checkpoint.is_symlink() or not run.best_checkpoint.is_file():
        raise KeptError("it has no best.ckpt")


def _files(run: RunFolder, kind: str, folder: Path) -> Files:
    refuse_links(run.path, folder)
    return KINDS[kind].files(folder)


def _last(folder: Path) -> Files:
    path = folder / "last.ckpt"
    if path.is_symlink():
        raise KeptError("last.ckpt is a link")
    return [path] if path.is_file() else []


def _of_control(folder: Path) -> Files:
    """Return all files of a finished training beside the run's explanations."""
    control = RunFolder(folder)
    if not control.is_whole:
        raise KeptError("no finished training")
    return _all_known(folder, lambda name: OF_TRAINING.fullmatch(name) is not None)


def _of_export(folder: Path) -> Files:
    """Return all files of an export, as its record names them."""
    try:
        names = read_json(folder, "export.json").get("files")
    except UnusableError as error:
        raise KeptError(str(error)) from None
    known = {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()
    return _all_known(folder, known.__contains__)


def _all_known(folder: Path, known: Callable[[str], bool]) -> Files:
    """Return all files in a folder and below; raise `KeptError` where one is none of ours, or no plain file."""
    found = []
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not path.is_file() or not known(name):
            raise KeptError(f"it holds {name[:60]}, which is yours")
        found.append(path)
    return found


def _walk(folder: Path) -> Iterator[Path]:
    """Yield all in a folder and below that is no folder; a link to one is none."""
    for at, folders, names in os.walk(folder):
        links = [name for name in folders if Path(at, name).is_symlink()]
        yield from (Path(at, name) for name in (*names, *links))


def _remove_empty(folder: Path, run: RunFolder) -> None:
    """Remove the folders that have become empty: those of the part, and `explain` or `export` around it."""
    if folder == run.checkpoints:
        return
    inner = sorted((Path(at) for at, _, _ in os.walk(folder)), reverse=True)
    for path in (*inner, folder.parent):
        with suppress(OSError):
            path.rmdir()


def _said(error: Exception, run: RunFolder) -> str:
    words = (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
    return words.replace(f"{run.path}{os.sep}", "")


@dataclass(frozen=True)
class Kind:
    """What may go, in words, how it comes back, where it lies in a run, and which files of a folder it is."""

    title: str
    remedy: str
    folders: Callable[[RunFolder], Sequence[Path]]
    files: Callable[[Path], Files]


KINDS: Mapping[str, Kind] = {
    "last": Kind(
        "last.ckpt", "a finished run can't be given more epochs without it", lambda run: [run.checkpoints], _last
    ),
    "controls": Kind(
        "controls", "explain trains them again when it needs them",
        lambda run: [run.judge, run.shuffled_labels, *sorted(run.judge.parent.glob(f"{run.deletions().name}*"))],
        _of_control,
    ),
    "exports": Kind(
        "exports", "export makes them again",
        lambda run: sorted((run.path / "export").iterdir()) if (run.path / "export").is_dir() else [], _of_export,
    ),
}  # fmt: skip
