"""Arms of a study: what groups have in common, apart from the one setting that a question is about."""

from collections.abc import Sequence

from ..runs.differing import short_names
from .groups import Group, TestSet
from .labels import ABSENT

WEIGHTS = ("weights", "model.weights")


def without(test_set: TestSet, *keys: str) -> dict[str, list[Group]]:
    """Return the groups of each arm by its label, which says all in which the groups differ but these settings.

    `model` is the network's name. Weights of a file for each network are one thing: `pretrained`. The order is the test
    set's, the best group first.
    """
    groups = test_set.groups
    columns = {"": [group.model for group in groups]} if "model" not in keys else {}
    columns |= {key: _values(groups, key) for key in groups[0].differs if key not in keys}
    columns = {key: column for key, column in columns.items() if len({*column}) > 1}
    names = short_names([key for key in columns if key])
    arms: dict[str, list[Group]] = {}
    for i, group in enumerate(groups):
        parts = [_part(names.get(key, ""), column[i]) for key, column in columns.items() if column[i] != repr(ABSENT)]
        arms.setdefault(", ".join(parts) or groups[0].model, []).append(group)
    return arms


def _part(name: str, value: str) -> str:
    return f"{name}={value}" if name and value not in PRETRAINED.values() else value


PRETRAINED = {True: "pretrained", False: "from scratch"}


def _values(groups: Sequence[Group], key: str) -> list[str]:
    values = [group.differs[key] for group in groups]
    if key not in WEIGHTS:
        return values
    files = {(group.model, value) for group, value in zip(groups, values, strict=True) if _is_there(group)}
    if len({model for model, _ in files}) < len(files) or not files:  # several for one network are a question
        return values
    return [PRETRAINED[_is_there(group)] for group in groups]


def _is_there(group: Group) -> bool:
    return group.runs[0].config["model"].get("weights") is not None
