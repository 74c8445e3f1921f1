"""What a search leaves to be read: its answer in sentences, table.csv, search.html."""

from collections.abc import Mapping
from typing import Any

from ..files import csv_line, write_text
from ..tables import duration
from .race import Race
from .record import TABLE


def write_outcome(race: Race) -> None:
    """Write the answer into search.json, and the table and the page beside it."""
    race.record.write(answer=answer_of(race))
    write_table(race)


def answer_of(race: Race) -> list[str]:
    """Return the answer: which network, how good, how sure, at what cost, and what it rests on."""
    content = race.record.content
    found, pick = content["look"], content["pick"]
    test = found["test"]
    low, high = test["accuracy_interval"]
    said = [
        f"{race.candidates[pick].shown}: {round(test['accuracy'] * test['images']):,} of {test['images']:,} test images "
        f"right, {test['accuracy']:.3f} (95 % interval {low:.3f} to {high:.3f})."
    ]
    return said


def write_table(race: Race) -> None:
    """Write table.csv, a row for each candidate and round."""
    header = ["candidate", "network", "size", "how", "parameters", "macs", "round", "steps", "seconds", "val/accuracy",
              "val/loss", "step_seconds", "at", "out"]  # fmt: skip
    lines = [csv_line(header)]
    content = race.record.content
    for name, candidate in race.candidates.items():
        out = content["candidates"][name].get("out", "")
        own = [name, candidate.network, candidate.size, candidate.how, candidate.parameters, candidate.macs]
        rows = [(number, rows[name]) for number, rows in content["rounds"].items() if name in rows]
        for number, row in rows or [("", {})]:
            lines.append(csv_line([*own, number, *_figures(row), out]))
    write_text(race.record.folder / TABLE, "".join(lines))


def _figures(row: Mapping[str, Any]) -> list[Any]:
    names = ("steps", "seconds", "accuracy", "loss", "step_seconds", "at")
    return [row.get(name, "") for name in names]


__all__ = ["duration"]
