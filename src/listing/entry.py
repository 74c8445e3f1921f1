"""One run as a line of a list, read from its folder alone; a damaged one is a line too."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..analysis.intervals import wilson
from ..analysis.tasks import ONE_CLASS, Task, task_of
from ..errors import first_line
from ..files import is_locked
from ..runs.contents import UnusableError, is_number, read_config, read_json, read_yaml
from ..runs.differing import in_short
from ..runs.folder import ADOPTED, RunFolder

State = Literal["finished", "stopped", "failed", "running", "killed", "refused", "damaged", "adopted"]
"""`killed`: run.json says that it runs, and no process does; `refused`: its input was wrong; `stopped` goes on."""

STATES: Mapping[str, State] = {
    "finished": "finished", "interrupted": "stopped", "failed": "failed", "refused": "refused",
}  # fmt: skip

IN_COLUMNS = ("data", "model", "name", "sweep", "only", "resume", "study", "requeue")
"""Overrides that a list shows elsewhere, or that say where a run lies."""


@dataclass(frozen=True, eq=False)
class Entry:
    """One run, or the network of others that was adopted.

    Attributes:
        name: what people call it, which is also what `checkpoint=` takes where the run is below `outputs`.
        data, model: their names; empty where the folder doesn't say.
        typed: the other settings that were typed, in short.
        status: see `State`.
        size: bytes on the disk, links and what they lead to left out.
        begun: seconds since 1970; 0 where nobody knows.
        why: why it failed, was refused or can't be read.
        task: what it is trained for.
        value, low, high: the figure of the test set that sums up the task; of accuracy Wilson's 95 % interval.
        images: how many test images there were.
        config: its configuration, for filters.
    """

    path: Path
    name: str
    status: State
    size: int
    data: str = ""
    model: str = ""
    typed: str = ""
    begun: float = 0.0
    why: str = ""
    task: Task = ONE_CLASS
    value: float | None = None
    low: float | None = None
    high: float | None = None
    images: int | None = None
    config: DictConfig = field(default_factory=lambda: OmegaConf.create({}))

    @property
    def run(self) -> RunFolder:
        return RunFolder(self.path)

    @property
    def choices(self) -> dict[str, str]:
        """The option of each config group; empty where `.hydra` doesn't say."""
        with suppress(UnusableError, KeyError, TypeError, AttributeError):
            chosen = read_yaml(self.path, ".hydra/hydra.yaml", dict)["hydra"]["runtime"]["choices"]
            return {str(group): str(option) for group, option in chosen.items()}
        return {}


def read_entry(path: Path, name: str) -> Entry:
    """Return the line of a run's folder, whatever is in it."""
    run, known = RunFolder(path), dict[str, Any]()
    try:
        record = run.record()
        known["begun"] = _seconds(record.get("start"))
        known["why"] = first_line(Exception(record["error"])) if record.get("error") else ""
        status = _state(run, record.get("status"))
        try:
            known |= _settings(run)
        except UnusableError:
            if status == "finished":
                raise
        if status == "finished":
            known |= _figures(run, known["task"])
        known["status"] = status
    except (OSError, ValueError) as error:  # `UnusableError` is one
        known |= {"status": "damaged", "why": first_line(error).removeprefix(f"{run.shown}: ")}
    return Entry(path, name, size=size_of(path), **known)


def read_adopted(path: Path) -> Entry:
    """Return the line of a folder that `src.adopt` has made."""
    known: dict[str, Any] = {"status": "adopted", "begun": (path / ADOPTED).lstat().st_mtime}
    try:
        known["model"] = str(read_json(path, "adopt.json")["architecture"]["name"])[:60]
    except (UnusableError, KeyError, TypeError) as error:
        known |= {"status": "damaged", "why": first_line(error)}
    return Entry(path, path.name, size=size_of(path), **known)


def size_of(path: Path) -> int:
    """Return the bytes of all files in a folder and below; a file that has another name elsewhere counts as well."""
    total, waiting = 0, [path]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                    elif entry.is_file(follow_symlinks=False):
                        total += entry.stat(follow_symlinks=False).st_size
    return total


def _state(run: RunFolder, status: Any) -> State:
    if status == "running":
        return "running" if is_locked(run.path) else "killed"
    if status not in STATES:
        raise UnusableError(f"run.json has the status {str(status)[:40]}")
    return STATES[status]


def _settings(run: RunFolder) -> dict[str, Any]:
    """Return what `.hydra` says of a run."""
    config = read_config(run.path, ".hydra/config.yaml")
    if not isinstance(config, DictConfig):
        raise UnusableError(".hydra/config.yaml is damaged (it is no mapping)")
    words = [(word, word.lstrip("+~").partition("=")[0]) for word in run.overrides() or []]
    typed = [word for word, key in words if key not in IN_COLUMNS and not key.startswith("hydra")]
    return {
        "config": config,
        "data": str(setting(config, "data.name") or ""),
        "model": str(setting(config, "model.name") or ""),
        "typed": " ".join(in_short(typed)),
        "task": task_of({"multilabel": setting(config, "data.multilabel")}),
    }


def setting(config: DictConfig, key: str) -> Any:
    """Return a setting by its dotted key; None where there is none, or it refers to nothing."""
    with suppress(OmegaConfBaseException, ValueError, TypeError, RecursionError):
        return OmegaConf.select(config, key)
    return None


def _figures(run: RunFolder, task: Task) -> dict[str, Any]:
    """Return the test's figure, which a run with test=false has not."""
    value: Any = run.metrics().get(f"test/{task.first}")
    if not is_number(value):
        return {}
    images = sum(run.images_of_classes()) if task is ONE_CLASS else 0
    if images < 1 or not 0 <= value <= 1:
        return {"value": float(value)}
    low, high = wilson(value, images)
    return {"value": float(value), "low": low, "high": high, "images": images}


def _seconds(time: Any) -> float:
    with suppress(ValueError, TypeError, OverflowError, OSError):
        return datetime.fromisoformat(time).timestamp()
    return 0.0
