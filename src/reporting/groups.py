"""Groups of runs that differ only in the seed, and test sets: groups of one task, measured on the same images."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar

from ..analysis.tasks import Task
from ..names import Key, natural
from .finished import Problem, Replicate, Run
from .labels import label_groups, model_name, same_settings

Digests = dict[Replicate, bytes]
"""The test images and labels of each replicate."""


@dataclass(frozen=True, eq=False)
class Group:
    """Runs that differ only in seed, fold and split.

    Attributes:
        label: short and unique.
        differs: this group's values of the settings, besides the model, in which the groups differ.
        runs: at least one, sorted by these, each of them once.
    """

    label: str
    differs: dict[str, str]
    runs: list[Run]

    @property
    def model(self) -> str:
        return model_name(self.runs[0])

    @property
    def task(self) -> Task:
        return self.runs[0].task

    @property
    def score(self) -> float:
        """What sums up the task on the test set, averaged over the runs."""
        return sum(run.metrics[f"test/{self.task.first}"] for run in self.runs) / len(self.runs)


@dataclass(frozen=True, eq=False)
class TestSet:
    """Groups that can be compared: runs of the same seed, fold and split have the same test images. The best first."""

    __test__: ClassVar = False  # or pytest takes the class for one of its own
    name: str
    groups: list[Group]
    task: Task

    @property
    def class_names(self) -> list[str]:
        return self.groups[0].runs[0].class_names


# Groups ---------------------------------------------------------------------------------------------------------------


def group_runs(runs: Sequence[Run]) -> tuple[list[Group], list[Problem]]:
    """Return groups in the order of their first runs, and as problems runs that a newer one of the same seed replaces.

    Runs with different classes are in different groups, even if their configurations are equal.
    """
    found: list[list[Run]] = []
    for run in runs:
        alike = (
            members for members in found if members[0].class_names == run.class_names and same_settings(members[0], run)
        )
        members = next(alike, None)
        if members is None:
            found.append([run])
        else:
            members.append(run)
    kept, problems = [], []
    for members in found:
        newest: dict[Replicate, Run] = {}
        for run in sorted(members, key=_age):
            replaced = newest.pop(run.replicate, None)
            if replaced is not None:
                problems.append((replaced, run.replicate, newest))
            newest[run.replicate] = run
        kept.append(sorted(newest.values(), key=lambda run: [part or 0 for part in run.replicate]))
    named = label_groups(kept)
    groups = [Group(label, differs, members) for (label, differs), members in zip(named, kept, strict=True)]
    older = [Problem(run.name, _replaced(run, newest[replicate])) for run, replicate, newest in problems]
    return groups, [*sorted(older, key=lambda problem: natural(problem.name)), *_missing_folds(groups)]


def _replaced(run: Run, by: Run) -> str:
    if run.kept and run.record.get("start") == by.record.get("start"):
        return f"the same run as {by.name}: counted once"
    return f"the same settings and seed as {by.name}, which is newer: left out"


def _missing_folds(groups: Sequence[Group]) -> Iterator[Problem]:
    """Yield cross-validations that lack folds, whose means are over fewer test images than those of others."""
    for group in groups:
        folds = range(group.runs[0].config["data"].get("folds") or 0)
        there = [run.replicate for run in group.runs]
        divided = dict.fromkeys(replicate._replace(fold=None) for replicate in there)
        lacking = {one: [str(fold) for fold in folds if one._replace(fold=fold) not in there] for one in divided}
        for one, missing in lacking.items():
            if missing:
                reason = f"seed {one} lacks fold {', '.join(missing)} of {len(folds)}: the means are over the others"
                yield Problem(group.label, reason)


def _age(run: Run) -> tuple[float, bool, Key]:
    """Return a key that sorts runs by when they began, then by name; runs that don't say are the oldest.

    Of the same run in an archive and in a folder the second is the newer one: it has more.
    """
    try:
        start = datetime.fromisoformat(str(run.record.get("start"))).timestamp()
    except (ValueError, OverflowError, OSError):
        start = 0.0
    return start, not run.kept, natural(run.name)


# Test sets ------------------------------------------------------------------------------------------------------------


def test_sets(groups: Sequence[Group]) -> tuple[list[TestSet], list[Problem]]:
    """Return the groups by what they were measured on, and as problems those of one data set that can't be compared.

    Groups share a test set if task, data set and classes are the same and so are, for each seed and fold that both
    have, test images and labels; without a common seed, if all of their runs have the same. The test images may follow
    the seed.
    """
    digests = {id(group): {run.replicate: _digest(run) for run in group.runs} for group in groups}

    def alike(one: Group, other: Group) -> bool:
        same_classes = one.runs[0].class_names == other.runs[0].class_names
        return one.task is other.task and same_classes and _same_images(digests[id(one)], digests[id(other)])

    def agree(one: Group, other: Group) -> bool:
        return _data_set(one) == _data_set(other) and alike(one, other)

    found: list[list[Group]] = []
    for group in groups:
        home = next((members for members in found if all(agree(group, other) for other in members)), None)
        if home is None:
            found.append([group])
        else:
            home.append(group)
    problems = []
    for i, members in enumerate(found):
        for earlier in found[:i]:
            if _data_set(members[0]) == _data_set(earlier[0]):
                others = [other for other in earlier if not all(agree(group, other) for group in members)]
                problems.append(Problem(_some(members), _difference(members, others)))
            elif _data_name(members[0]) == _data_name(earlier[0]) and alike(members[0], earlier[0]):
                namesakes = f"the images are named as those of {_some(earlier)}, and come from another data.root"
                problems.append(Problem(_some(members), f"{namesakes}: {_apart(members)}"))
    names = [_name(members) for members in found]
    counts = Counter(names)
    sets = [
        TestSet(
            name if counts[name] == 1 else f"{name} ({_some(members)})",
            sorted(members, key=lambda group: -group.score),
            members[0].task,
        )
        for name, members in zip(names, found, strict=True)
    ]
    return sets, problems


def _same_images(one: Digests, other: Digests) -> bool:
    common = one.keys() & other.keys()
    if common:
        return all(one[replicate] == other[replicate] for replicate in common)
    return len({*one.values(), *other.values()}) == 1


def _digest(run: Run) -> bytes:
    pairs = sorted(zip(run.predictions["path"], run.predictions["target"], strict=True))
    # No file name contains \0; surrogateescape passes the bytes of names that are not UTF-8.
    return blake2b("\0".join(part for pair in pairs for part in pair).encode("utf-8", "surrogateescape")).digest()


def _data_set(group: Group) -> tuple[str, str | None]:
    """Return what identifies the data set: its name, and the path of a user's own folder or table."""
    return _data_name(group), _place(group.runs[0].config["data"])


def _place(data: Mapping[str, Any]) -> str | None:
    """Return the path of a user's own folder or table; None of other data sets."""
    if data["name"] == "table":
        return data.get("table") or data.get("root")
    return data.get("root") if data["name"] == "folder" else None


def _data_name(group: Group) -> str:
    return str(group.runs[0].config["data"]["name"])


def _apart(members: Sequence[Group]) -> str:
    return "in a table of their own, and not compared" if len(members) > 1 else "in a table of its own, not compared"


def _difference(members: Sequence[Group], others: Sequence[Group]) -> str:
    classes, known = members[0].runs[0].class_names, others[0].runs[0].class_names
    apart = _apart(members)
    if members[0].task is not others[0].task:
        return f"of {members[0].task.words}, and {_some(others)} of {others[0].task.words}: {apart}"
    if classes == known:
        return f"measured on other test images than {_some(others)}: {apart}"
    if sorted(classes) == sorted(known):
        return f"the classes are those of {_some(others)} in another order: {apart}"
    return f"measured on other classes ({len(classes)}) than {_some(others)} ({len(known)}): {apart}"


def _name(members: Sequence[Group]) -> str:
    """Return `catsdogs: 300 test images of 2 classes`, counting all folds of a cross-validation."""
    data = members[0].runs[0].config["data"]
    title = Path(str(_place(data))).name if data["name"] in ("folder", "table") else data["name"]
    images = 0
    for group in members:
        seeds: Counter[Replicate] = Counter()
        for run in group.runs:
            seeds[run.replicate._replace(fold=None)] += len(run.predictions)
        images = max(images, *seeds.values())
    classes = f"{len(members[0].runs[0].class_names)} {members[0].task.classes}"
    return f"{title or data['name']}: {images:,} test image{'s' * (images != 1)} of {classes}"


def _some(groups: Sequence[Group]) -> str:
    """Return up to three labels, and how many more there are."""
    labels = [group.label for group in groups[:3]]
    more = f" and {len(groups) - 3} more" if len(groups) > 3 else ""
    return " · ".join(labels) + more
