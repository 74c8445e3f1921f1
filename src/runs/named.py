"""Which run a word means: `last` is the newest below `outputs`, any other the one of that name."""

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from ..errors import InputError
from ..settings.schema.verbs import VERBS
from .contents import read_json
from .differing import number_of
from .folder import RunFolder

LAST = "last"
"""The folder of that name is `./last`."""

OUTPUTS = Path("outputs")

SEARCH = "search.json"
"""In the folder of a search, which stands for the run that it has picked."""

DEEPEST = 4
"""Folders below `outputs` that a run may lie in: `<data>/<model>/<run>`, `sweeps/<sweep>/<number>`, and one more."""

WITH_WEIGHTS = ("checkpoint", "weights", "judge", "shuffled")
"""Settings that are of no use without a checkpoint."""

MOST_NAMED = 4


def find_named(word: str, setting: str) -> Path | None:
    """Return the folder of the run that a word means, for `runs=` of a sweep as well; None where it means none.

    A run of a sweep is `SWEEP/NUMBER`.

    Raises:
        InputError: There is no run yet, or there are several of that name.
    """
    if word == LAST:
        return _newest(setting)
    if setting in WITH_WEIGHTS and (picked := picked_by(Path(word))) is not None:
        return picked
    if in_sweep := _in_sweep(word):
        return in_sweep
    if not word or word.startswith(".") or os.sep in word or "/" in word or os.path.lexists(word):
        return None
    found = [run for run in _run_folders() if run.name == word and run.parent.parent != OUTPUTS / "sweeps"]
    sweep = OUTPUTS / "sweeps" / word
    found += [sweep] * (setting == "runs" and sweep.is_dir())
    if len(found) > 1:
        named = ", ".join(map(str, sorted(found)[:MOST_NAMED])) + (" …" if len(found) > MOST_NAMED else "")
        raise InputError(f"{setting}={word} is the name of {len(found)} runs, {named}: name the folder of one")
    return found[0] if found else None


def picked_by(search: Path) -> Path | None:
    """Return the run that a search has picked, whose folder this is; None for any other folder."""
    if not os.path.isfile(search / SEARCH) or os.path.lexists(search / "run.json"):  # noqa: PTH113  # or a name is too long
        return None
    with suppress(OSError, ValueError):
        content = read_json(search, SEARCH)
        pick = content.get("pick") if isinstance(content, dict) else None
        if isinstance(pick, str) and Path(pick).name == pick:
            return search / "runs" / pick
    raise InputError(f"{search} is a search that has picked no network yet: src.search resume={search} goes on")


def is_candidate(run: Path) -> bool:
    """Return whether this is a run that a search has made."""
    return run.parent.name == "runs" and (run.parent.parent / SEARCH).is_file()


def is_pick(run: Path) -> bool:
    """Return whether it is the one that the search has picked, so far."""
    with suppress(InputError):
        return picked_by(run.parent.parent) == run
    return False


def _in_sweep(word: str) -> Path | None:
    """Return the folder of a sweep's run, `first/2` or `first/2_seed=1`, by its number; None where there is none."""
    sweep, _, run = word.partition("/")
    number = number_of(Path(run)) if sweep and run and sweep[0] != "." and "/" not in run else None
    if number is None or os.path.lexists(word):
        return None
    with suppress(OSError):
        return next((path for path in (OUTPUTS / "sweeps" / sweep).iterdir() if number_of(path) == number), None)
    return None


def _newest(setting: str) -> Path:
    """Return the run that was begun or resumed last; for `runs=`, which compares, the sweep that it belongs to."""
    needed = setting in WITH_WEIGHTS
    runs = [
        run
        for run in map(RunFolder, _run_folders())
        if (run.best_checkpoint.is_file() if needed else run.status != "refused")
    ]
    if not runs:
        what = "no run with a checkpoint" if needed else "no run"
        raise InputError(f"{setting}={LAST}: there is {what} below {OUTPUTS}/ yet: train one, or name its folder")
    newest = max(runs, key=_begun).path
    in_sweep = setting == "runs" and (newest.parent / "multirun.yaml").is_file()
    return newest.parent if in_sweep else newest


def _begun(run: RunFolder) -> tuple[float, int]:
    """Return when a run was last begun or resumed, in seconds, and when its record was last written."""
    written = run.record_file.stat().st_mtime_ns
    with suppress(OSError, ValueError, KeyError, TypeError, IndexError):
        record = run.record()
        time = record["resumed"][-1]["time"] if record.get("resumed") else record["start"]
        return datetime.fromisoformat(time).timestamp(), written
    return written / 1e9, written


def _run_folders() -> Iterator[Path]:
    """Yield all runs below `outputs`, without those that verbs keep in their own folders, such as controls."""
    waiting = [(OUTPUTS, 0)]
    while waiting:
        folder, depth = waiting.pop()
        if (folder / "run.json").is_file():
            yield folder
        elif depth < DEEPEST:
            with suppress(OSError):
                waiting += [
                    (Path(entry.path), depth + 1)
                    for entry in os.scandir(folder)
                    if entry.is_dir() and not entry.name.startswith(".") and (depth or entry.name not in VERBS)
                ]
