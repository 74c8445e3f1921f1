"""How runs were made, as their records say it: what stands at the end of a page."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from .finished import Run

Facts = list[tuple[str, str]]
"""Names and values."""


def made_by(records: Sequence[Mapping[str, Any]]) -> Facts:
    """Return when the page was made, and command, commit, versions and hardware of the runs; `records` isn't empty."""
    newest = max(records, key=lambda record: str(record.get("start")))
    versions = _mapping(newest, "versions")
    machines = sorted({name for record in records for name in _machine(record)})
    commits = sorted({str(commit) for record in records if (commit := record.get("git_commit"))})
    return [
        ("Made", f"{datetime.now():%Y-%m-%d %H:%M}"),
        ("Command", str(newest.get("command"))),
        ("Commit", ", ".join(commits) or "unknown: not in a git repository"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items() if version)),
        ("Hardware", ", ".join(machines)),
    ]


def study_of(runs: Sequence[Run]) -> dict[str, str]:
    """Return the study that the runs are part of, as the newest one has it; empty if they have none or several.

    Runs of one command are of one study, whose other words change with what it has found.
    """
    newest = max(runs, key=lambda run: str(run.record.get("start")))
    studies = [study if isinstance(study := run.config.get("study"), dict) else {} for run in (newest, *runs)]
    command = studies[0].get("command")
    same = all(study == studies[0] or (command and study.get("command") == command) for study in studies)
    return {key: str(value) for key, value in studies[0].items() if value is not None} if same else {}


def _machine(record: Mapping[str, Any]) -> list[str]:
    """Return the names of its graphics cards, or of its processor if it has none."""
    hardware = _mapping(record, "hardware")
    cards = hardware.get("gpus")
    return [str(name) for name in (cards if isinstance(cards, list) and cards else [hardware.get("cpu", "unknown")])]


def _mapping(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return a mapping in a run's record; empty if the record is damaged."""
    return value if isinstance(value := record.get(key), dict) else {}
