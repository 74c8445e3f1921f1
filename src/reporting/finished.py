"""Finished runs, read from their folders alone; a run that can't be in a report is named with the reason."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..analysis.tasks import Task, task_of
from ..errors import InputError, first_line
from ..frames import pd
from ..names import natural
from ..runs.columns import read_csv
from ..runs.contents import MissingError, UnusableError, is_number, parse_yaml, read_json, read_yaml
from ..runs.folder import RunFolder
from ..settings import composing  # noqa: F401  # the resolvers that a configuration may use
from ..settings.check import problem
from ..settings.defaults import EARLIER, EARLIER_MODELS
from .found import REMEDY, find_runs
from .kept_runs import unpack_runs
from .tested import Tested, read_tested


class Replicate(NamedTuple):
    """What distinguishes the runs of one group: no fold without cross-validation, no `split` where seed divides."""

    seed: int
    fold: int | None = None
    split: int | None = None

    def __str__(self) -> str:
        """`3`, `3, fold 0` or `3, split 2`."""
        parts = {"fold": self.fold, "split": self.split}
        return ", ".join([f"{self.seed}", *(f"{name} {value}" for name, value in parts.items() if value is not None)])


IGNORED = (
    *("seed", "data.fold", "data.split_seed", "name", "sweep", "study", "resume", "probabilities"),
    "callbacks.gradcam.objects",
)
"""Settings that differ within a group, name a run or keep more of it: neither they nor what follows from them make a
group."""

NEEDED = ("best_epoch", "epochs", "train_seconds", "images_per_second", "parameters", "seed")
COSTS = ("parameters", "macs", "latency_ms_median")


@dataclass(frozen=True, eq=False)
class Run:
    """One finished run.

    Attributes:
        name: its path below the folder that was searched; "." if it is that folder.
        config: its configuration, resolved.
        choices: the option of each config group, {"data": "mnist8"}; empty if `.hydra` doesn't say.
        overrides: what was typed, key -> value; empty if `.hydra` doesn't say.
        record, metrics, cost: run.json, metrics.json and, if there is one, cost.json.
        history: metrics.csv, one row an epoch.
        predictions: path, target, predicted (class names) of each test image, how sure the network was, and `right`.
        per_class: class, support, precision, recall, f1, in the order of the classes.
        settings: `config` without `IGNORED`, resolved as if these were the same in all runs; None if unknown.
        at_once: how many runs of its sweep the launcher trained at the same time.
        kept: it comes from an archive, and has neither weights nor images.
    """

    name: str
    folder: RunFolder
    config: dict[str, Any]
    choices: dict[str, str]
    overrides: dict[str, str]
    record: dict[str, Any]
    metrics: dict[str, float]
    history: pd.DataFrame
    predictions: pd.DataFrame
    per_class: pd.DataFrame
    cost: dict[str, Any] | None
    settings: dict[str, Any] | None = None
    at_once: int = 1
    kept: bool = False

    @property
    def replicate(self) -> Replicate:
        """What distinguishes the runs of one group."""
        data = self.config["data"]
        return Replicate(self.config["seed"], data.get("fold"), data.get("split_seed"))

    @property
    def task(self) -> Task:
        return task_of(self.config["data"])

    @property
    def class_names(self) -> list[str]:
        return self.per_class["class"].tolist()


@dataclass(frozen=True)
class Problem:
    """Something that is missing from the tables, or not compared, and why."""

    name: str
    reason: str


def read_runs(
    folder: Path, unpacked: Path | None = None, output: Path | None = None
) -> tuple[list[Run], list[Problem]]:
    """Return the finished runs in `folder` and below, in natural order (2 before 10), and all others as problems.

    Archives of runs are unpacked in `unpacked`, if there is one: their files are read as long as a report is made. That
    of an earlier report in `output` isn't: it holds these runs.

    Raises:
        InputError: there is no such folder, or no finished run in it.
    """
    if not folder.is_dir():
        raise InputError(f"runs={folder} is no folder: {REMEDY}")
    paths, empty, archives = find_runs(folder)
    runs = []
    problems = [Problem(_name(path, folder), reason) for path, reason in empty]
    named = [(_name(path, folder), path) for path in paths]
    if output is not None and output.resolve() != folder.resolve():
        archives = [file for file in archives if file.parent.resolve() != output.resolve()]
    if unpacked is not None:
        for number, file in enumerate(archives):
            name, place = _name(file, folder), unpacked / f"{number}"
            place.mkdir()
            try:
                unpack_runs(file, place)
                inside = [(f"{name}/{_name(path, place)}", path) for path in find_runs(place)[0]]
                problems += [] if inside else [Problem(name, "no run in it")]
                named += inside
            except InputError as error:
                problems.append(Problem(name, first_line(error)))
    for name, path in named:
        try:
            run, remarks = read_run(name, RunFolder(path))
            run = replace(run, kept=unpacked is not None and path.is_relative_to(unpacked))
            runs.append(run)
            problems += remarks
        except UnusableError as error:
            problems.append(Problem(name, str(error)))
    problems.sort(key=lambda problem: natural(problem.name))
    if not runs:
        alike: dict[str, list[str]] = {}
        for problem in problems:
            alike.setdefault(problem.reason, []).append(problem.name)
        reasons = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in alike.items())
        stopped = [path for path in paths if RunFolder(path).status == "interrupted"]
        going_on = f"train resume={stopped[0]} goes on, or " if stopped else ""
        raise InputError(f"runs={folder} holds no finished run{f' ({reasons})' if reasons else ''}: {going_on}{REMEDY}")
    return sorted(runs, key=lambda run: natural(run.name)), problems


def without_ignored(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a configuration without the `IGNORED` settings."""
    return {
        key: without_ignored(value, f"{prefix}{key}.") if isinstance(value, dict) else value
        for key, value in config.items()
        if f"{prefix}{key}" not in IGNORED
    }


def _name(path: Path, root: Path) -> str:
    """Return the path below `root` as text that can be written anywhere: a file name may not be UTF-8."""
    return os.fsencode(path.relative_to(root).as_posix()).decode("utf-8", "replace")


def read_run(name: str, folder: RunFolder, *, untested: bool = False) -> tuple[Run, list[Problem]]:
    """Return the run and what of it was left out. Raise `UnusableError` if it can't be in a report.

    `untested`: one that has left the test set alone (`test=false`) will do; its tables of the test set are empty.
    """
    path = folder.path
    record = read_json(path, "run.json")
    _check_status(record)
    metrics = read_json(path, "metrics.json")
    content = _as_trained_last(read_yaml(path, ".hydra/config.yaml", dict, foreign=True), record)
    config, settings = _resolve(content), _resolve(content, without=True)
    _check_config(config)
    task = task_of(config["data"])
    figures = ("loss", task.first)  # what every run has; one of an earlier version may lack others
    tested = not untested or any(key.startswith("test/") for key in metrics)
    _check_metrics(metrics, figures, ("train", "val", "test") if tested else ("train", "val"))
    history = read_csv(path, "metrics.csv", ("epoch", *(f"{s}/{f}" for s in ("train", "val") for f in figures)))
    if len(history) != metrics["epochs"]:
        raise UnusableError(f"metrics.csv has {len(history)} epochs, and metrics.json says {metrics['epochs']}")
    predictions, per_class = read_tested(path, metrics, task) if tested else Tested.none()
    choices, at_once = _read_hydra(path)
    overrides = _read_overrides(path)
    remarks: list[Problem] = []
    try:
        cost = _read_cost(path)
    except UnusableError as error:
        cost, remarks = None, [Problem(name, f"{error}: its costs are left out, its other figures are in")]
    run = Run(
        name, folder, config, choices, overrides, record, metrics, history, predictions, per_class, cost, settings,
        at_once,
    )  # fmt: skip
    return run, remarks


def _check_status(record: Mapping[str, Any]) -> None:
    status, error = str(record.get("status")), " ".join(str(record.get("error") or "no reason is given").split())
    reasons = {"running": "it has not finished yet, or was killed", "interrupted": "it was stopped before its end"}
    reasons |= {"failed": error, "refused": error}
    if status in reasons:
        raise UnusableError(f"status {status}: {reasons[status]}")
    if status != "finished":
        raise UnusableError(f"run.json doesn't say that it has finished (status {status[:40]})")


def _check_metrics(metrics: Mapping[str, Any], figures: Sequence[str], splits: Sequence[str]) -> None:
    needed = (*(f"{split}/{figure}" for split in splits for figure in figures), *NEEDED)
    missing = [key for key in needed if key not in metrics]
    if all(f"test/{figure}" in missing for figure in figures):
        raise UnusableError("metrics.json has no figures of the test set (test=false leaves them out)")
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise UnusableError(f"metrics.json has no {', '.join(missing[:3])}{more}")
    for key, value in metrics.items():
        if not is_number(value):
            raise UnusableError(f"metrics.json: {key} is no finite number ({str(value)[:40]})")


def _check_config(config: Mapping[str, Any]) -> None:
    for group in ("model", "data"):
        if not isinstance(config.get(group), dict) or not isinstance(config[group].get("name"), str):
            raise UnusableError(f".hydra/config.yaml has no {group}.name")
    seed, folds = config.get("seed"), config["data"].get("folds")
    others = (config["data"].get(name) for name in ("fold", "folds", "split_seed"))
    if type(seed) is not int or any(type(number) not in (int, type(None)) for number in others):
        raise UnusableError(".hydra/config.yaml: seed, data.fold, data.folds or data.split_seed is no whole number")
    if problem("data.folds", folds):
        raise UnusableError(f".hydra/config.yaml: data.folds={folds} is not possible")


def _as_trained_last(content: dict[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration that the run began with, with the Trainer settings of its last resume, if any."""
    resumed, trainer = record.get("resumed"), content.get("trainer")
    last = resumed[-1] if isinstance(resumed, list) and resumed else None
    words = last.get("overrides") if isinstance(last, dict) else None
    if isinstance(words, list) and isinstance(trainer, dict):
        pairs = [str(word).lstrip("+").partition("=")[::2] for word in words]
        names = {key.removeprefix("trainer."): value for key, value in pairs if key.startswith("trainer.")}
        with suppress(UnusableError):
            values = {name: parse_yaml(value, "run.json", foreign=True) for name, value in names.items()}
            content["trainer"] = trainer | values
    return content


def _resolve(content: dict[str, Any], *, without: bool = False) -> dict[str, Any]:
    """Return the configuration as plain values; `without` the `IGNORED`, which are constant while it is resolved."""
    content = deepcopy(content)
    if "${" in str(content.get("sweep")):  # the time of day, which names a sweep, but this run is in none
        content["sweep"] = None
    if without:
        content |= {"seed": 0, "sweep": None, "resume": None}
        content["study"] = dict.fromkeys(content["study"]) if isinstance(content.get("study"), dict) else None
        if isinstance(content.get("data"), dict):
            content["data"] |= {"fold": 0, "split_seed": 0}
    try:
        resolved: Any = OmegaConf.to_container(OmegaConf.create(content), resolve=True)
    except (OmegaConfBaseException, ValueError, TypeError, RecursionError) as error:
        raise UnusableError(f".hydra/config.yaml can't be resolved ({first_line(error)})") from None
    resolved.setdefault("convolutions", "auto")  # an earlier version's differ by rounding
    data, model = resolved.get("data"), resolved.get("model")
    if isinstance(model, dict):
        for name, settings in EARLIER_MODELS.items():
            model |= settings | model if str(model.get("name")).startswith(name) else {}
    if isinstance(data, dict):
        for key, value in EARLIER.items():
            data.setdefault(key, value)
        for place in ("root", "table"):
            if isinstance(data.get(place), str):
                data[place] = os.path.normpath(data[place])  # photos/ and photos are the same
    return without_ignored(resolved) if without else resolved


def _read_hydra(folder: Path) -> tuple[dict[str, str], int]:
    """Return the chosen options, and how many runs the launcher trained at once."""
    content = _if_there(read_yaml, folder, ".hydra/hydra.yaml", dict) or {}
    chosen, n_jobs = _at(content, "hydra", "runtime", "choices"), _at(content, "hydra", "launcher", "n_jobs")
    options = chosen.items() if isinstance(chosen, dict) else ()
    at_once = n_jobs if type(n_jobs) is int and n_jobs > 0 else 1 if n_jobs is None else os.cpu_count() or 1
    return {str(key): str(option) for key, option in options if "/" not in str(key) and option is not None}, at_once


def _at(node: Any, *keys: str) -> Any:
    for key in keys:
        node = node.get(key) if isinstance(node, dict) else None
    return node


def _read_overrides(folder: Path) -> dict[str, str]:
    words = _if_there(read_yaml, folder, ".hydra/overrides.yaml", list) or []
    pairs = [str(word).partition("=") for word in words]
    return {key.lstrip("+~").partition("@")[0]: value.strip("'\"") for key, _, value in pairs}


def _if_there(reader: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a reader of `contents` reads; None where there is no such file."""
    try:
        return reader(*arguments)
    except MissingError:
        return None


def _read_cost(folder: Path) -> dict[str, Any] | None:
    cost: dict[str, Any] | None = _if_there(read_json, folder, "cost.json")
    for key in COSTS:
        if cost is not None and key in cost and not is_number(cost[key]):
            raise UnusableError(f"cost.json: {key} is no finite number")
    return cost
