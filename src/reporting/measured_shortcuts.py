"""Whether a shortcut was found in the answers of the compared networks, where `explain shortcuts=true` has looked."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..runs.contents import UnusableError, read_json
from ..runs.output import made
from .document import Picture, Section, Table
from .finished import Run
from .groups import Group

COLUMNS = ("model", "run", "images", "accuracy", "a piece of the edge alone", "guessing", "found")


def shortcuts_section(groups: Sequence[Group], *, pictured: bool = False) -> list[Section]:
    """Return a section with a row a run that was looked at, and what was said of each; none if no run was.

    With `pictured` the chart of the newest is shown, too: on a run's own page.
    """
    rows, texts, pictures = [], [], []
    for group in groups:
        for run in group.runs:
            name, found, damaged = _newest(run)
            if damaged:
                texts.append(damaged)
            if found is None:
                continue
            try:
                rows.append([group.label, run.name, *_row(found)])
                texts.append(str(found["verdict"]))
                if isinstance(remedy := found.get("remedy"), Mapping):
                    texts.append(str(remedy["said"]))
            except (KeyError, TypeError, ValueError) as error:
                texts.append(f"Run {run.name}, {name}/explain.json is damaged ({type(error).__name__}).")
                continue
            if pictured and (run.folder.path / f"{name}/shortcuts.png").is_file():
                pictures.append(Picture(f"{name}/shortcuts.png", "What each cell of the images carries"))
    if not rows and not texts:
        return []
    caption = (
        "Test images changed in the same ways, all of them: accuracy unchanged, and on one piece of the edge repeated "
        "over the whole image, which is what the background alone gives where objects lie inside; from "
        "python -m src.explain checkpoint=RUN shortcuts=true"
    )
    tables = [Table(caption, list(COLUMNS), rows, text_columns=2)] if rows else []
    return [Section("Does it answer by a shortcut?", list(dict.fromkeys(texts)), tables, pictures)]


def _newest(run: Run) -> tuple[str, dict[str, Any] | None, str]:
    """Return the folder and what was found of the newest explanation that looked for shortcuts, or what is damaged."""
    for name in reversed(made(run.folder.path, "explain")):
        try:
            record = read_json(run.folder.path, f"explain/{name}/explain.json")
        except UnusableError as error:
            return name, None, f"Can't be read: run {run.name}, {error}."
        if isinstance(found := record.get("shortcuts"), dict):
            return f"explain/{name}", found, ""
    return "", None, ""


def _row(found: Mapping[str, Any]) -> list[str]:
    kinds = ", ".join(str(one["kind"]) for one in found["found"]) or "none"
    edge = found["background"]["edge_alone"]
    figures = (f"{float(value):.3f}" for value in (found["accuracy"], edge, found["guessing"]))
    return [str(int(found["images"])), *figures, kinds]
