"""Labels of groups of runs: the settings in which they differ, as short as these allow."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from ..runs.differing import short_names
from .finished import IGNORED, Run, without_ignored

Column = list[Any]
"""The values of one setting, one a group."""


class _Absent:
    """A setting that a group lacks, or an option that it didn't choose."""

    def __repr__(self) -> str:
        return "–"


ABSENT = _Absent()


def label_groups(groups: Sequence[Sequence[Run]]) -> list[tuple[str, dict[str, str]]]:
    """Return for each group its label and its values of the settings, besides the model, in which the groups differ.

    What was typed tells which settings matter; groups for which a setting wasn't typed get it from their configuration.
    If that leaves two groups alike, or runs were made from Python, where nothing is typed, the configurations are
    compared as well.
    """
    firsts = [runs[0] for runs in groups]
    models = [model_name(run) for run in firsts]
    typed = dict.fromkeys(key for runs in groups for run in runs for key in run.overrides)
    columns = {key: [_value(run, key) for run in firsts] for key in typed if not _is_ignored(key)}
    columns = {key: column for key, column in columns.items() if _differ(column)}
    experiment = columns.pop("experiment", None)
    if experiment and not any(_follows(experiment, column) for column in columns.values()):
        columns["experiment"] = experiment  # otherwise the settings say more than its name
    alike = _alike([(model, *map(repr, values)) for model, *values in zip(models, *columns.values(), strict=True)])
    if any(not run.overrides and not run.choices for run in firsts):
        alike = [range(len(firsts))]
    further = [key for places in alike for key in _further([firsts[i] for i in places], columns)]
    columns |= {key: [_value(run, key) for run in firsts] for key in further}
    texts = {key: _texts(column) for key, column in columns.items()}
    shown = {key: _rounded(column, texts[key]) for key, column in columns.items()}
    names = short_names(texts)
    labels = []
    for i, model in enumerate(models):
        parts = [model] * _differ(models)
        parts += [f"{names[key]}={column[i]}" for key, column in shown.items() if column[i] != repr(ABSENT)]
        labels.append(", ".join(parts) or model)
    for places in _alike(labels):
        for i in places:
            labels[i] = f"{labels[i]} (run {firsts[i].name})"
    return [(label, {key: column[i] for key, column in texts.items()}) for i, label in enumerate(labels)]


def model_name(run: Run) -> str:
    return str(run.config["model"]["name"])


def same_settings(one: Run, other: Run) -> bool:
    """Return whether the runs belong to one group, apart from seed, fold and split."""
    return not _differ([settings_of(one), settings_of(other)])


def settings_of(run: Run) -> dict[str, Any]:
    """Return the settings by which runs are grouped."""
    return run.settings if run.settings is not None else without_ignored(run.config)


def _is_ignored(key: str) -> bool:
    return key in ("model", "model.name") or any(key == name or key.startswith(f"{name}.") for name in IGNORED)


def _value(run: Run, key: str) -> Any:
    """Return a setting by its dotted key, or the option of a config group."""
    if key in run.choices or key == "experiment":
        return run.choices.get(key, ABSENT)
    value: Any = settings_of(run)
    for part in key.split("."):
        value = value.get(part, ABSENT) if isinstance(value, dict) else ABSENT
    # A group that Hydra's record doesn't mention: its options have names.
    return value.get("name", value) if isinstance(value, dict) and "." not in key else value


def _differ(column: Sequence[Any]) -> bool:
    return any(_on(value) != _on(column[0]) for value in column)


def _on(value: Any) -> Any:
    """Return the value, of a mapping what is switched on in it, and `ABSENT` for null and false.

    A version without a setting does the same as one that has it switched off.
    """
    if isinstance(value, dict):
        inner = {key: _on(value) for key, value in value.items()}
        value = {key: value for key, value in inner.items() if value is not ABSENT} or None
    return ABSENT if value is None or value is False else value


def _alike(rows: Sequence[Any]) -> list[Sequence[int]]:
    """Return the indices of rows that occur more than once, one list for each such row."""
    counts = Counter(rows)
    return [[i for i, row in enumerate(rows) if row == twice] for twice, count in counts.items() if count > 1]


# Without words of the user --------------------------------------------------------------------------------------------


def _further(runs: Sequence[Run], known: Mapping[str, Column]) -> list[str]:
    """Return the settings, besides the known ones, in which these runs' configurations differ.

    Settings that follow from the option of a config group (the stem of resnet18, the image size of mnist8) or copy such
    a setting (`model.num_classes` copies `data.num_classes`) are left out.
    """
    keys = [key for key in _differing([settings_of(run) for run in runs]) if key not in known]
    columns = {key: [_value(run, key) for run in runs] for key in sorted(keys, key=lambda key: key.count("."))}
    kept: list[str] = []
    spoken_for: list[tuple[str, Column]] = [(key, [_value(run, key) for run in runs]) for key in known]
    for key, column in columns.items():
        option = _option(runs, key.split(".")[0])
        if _differ(option) and _follows(column, option):
            spoken_for.append((key, column))
    for key, column in columns.items():
        group = key.split(".")[0]
        if (key, column) in spoken_for:
            chosen = group if all(group in run.choices for run in runs) else f"{group}.name"
            if group not in known and not _is_ignored(chosen) and chosen not in kept:
                kept.append(chosen)
        elif not any(other.split(".")[-1] == key.split(".")[-1] and same == column for other, same in spoken_for):
            kept.append(key)
            spoken_for.append((key, column))
    return kept


def _option(runs: Sequence[Run], group: str) -> Column:
    """Return what identifies each run's option of a config group."""
    return [(run.choices.get(group), _value(run, f"{group}.name")) for run in runs]


def _follows(column: Column, option: Column) -> bool:
    """Return whether runs of the same option have the same value."""
    return all(column[i] == column[option.index(value)] for i, value in enumerate(option))


def _differing(settings: Sequence[Any], prefix: str = "") -> Iterable[str]:
    """Yield the dotted keys whose values differ, looking into mappings that all have."""
    for key in dict.fromkeys(key for values in settings for key in values):
        column = [values.get(key, ABSENT) for values in settings]
        if _differ(column):
            if all(isinstance(value, dict) for value in column):
                yield from _differing(column, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}"


# Words ----------------------------------------------------------------------------------------------------------------


def _texts(column: Column) -> list[str]:
    """Return the values as people write them, paths by their last part if that still tells them apart.

    A mapping is just `on` if it is the only one besides null.
    """
    texts = [_text(value) for value in column]
    short = [PurePath(text).name if "/" in text else text for text in texts]
    if len(set(short)) == len(set(texts)):
        texts = short
    mappings = {text for text, value in zip(texts, column, strict=True) if isinstance(value, dict)}
    if len(mappings) == 1:
        texts = ["on" if isinstance(value, dict) else text for text, value in zip(texts, column, strict=True)]
    return texts


def _rounded(column: Column, texts: list[str]) -> list[str]:
    """Shorten numbers to four digits if these still tell them apart: a search tries learning rates with fifteen."""
    short = [f"{value:.4g}" if isinstance(value, float) else text for value, text in zip(column, texts, strict=True)]
    return short if len(set(short)) == len(set(texts)) else texts


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_text(inner)}" for key, inner in value.items()).join("{}")
    return str(value)
