"""The report of a folder of runs: tables, what the differences are worth, pictures, and a page with all of it."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from rich import get_console
from rich.table import Table as RichTable
from rich.text import Text

from ..analysis.metrics import SCORES
from ..errors import InputError
from ..figures.style import printable
from ..files import write_text
from ..frames import pd
from ..logs import visible
from ..runs.folder import RunFolder
from ..tables import as_text
from .answers import ANSWERS, Result
from .chosen import Choice, read_choice
from .difference_shown import Comparison, compare
from .document import Page, Table, render_html, render_markdown
from .finished import Problem, Run, read_runs
from .groups import TestSet, group_runs, test_sets
from .kept_maps import look
from .sections import PICTURES, Drawing, describe, summary_table
from .summary import report_table, summary

COLUMNS_SHOWN = 5 + len(SCORES)
"""On a terminal: model, runs, the metrics, before, gap and loss gap."""

HALF = ".report."
"""How the folder of a report that is being made begins."""

FILES = ("report.html", "report.md", "table.csv", "comparisons.csv")


@dataclass(frozen=True)
class Report:
    """Where the report lies, and what to say about it on screen: its answer, its tables, and what is not in it."""

    folder: Path
    answer: Sequence[str]
    results: Sequence[Result]
    problems: Sequence[Problem]


def write_report(runs: Path, output: Path) -> Report:
    """Read the run folders in `runs` and write report.html, report.md, table.csv, comparisons.csv and the PNGs.

    Reads no network: Grad-CAMs come from the arrays that the runs have kept, test images from their data set where it
    is still there. The files of a report that is in `output` already are replaced when the new one is whole.

    Raises:
        InputError: no finished run in `runs`, or an `output` that holds something else.
    """
    _refuse_other(output)
    found, problems = read_runs(runs)
    groups, doubles = group_runs(found)
    sets, separate = test_sets(groups)
    problems = [*problems, *doubles, *separate]
    try:
        output.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(dir=output, prefix=HALF)
    except OSError as error:
        raise InputError(f"output={output} can't be made ({error.strerror}): name another folder") from None
    with temporary as path:
        folder = Path(path)
        results, sections, names = [], [], _names(sets)
        for number, (test_set, name) in enumerate(zip(sets, names, strict=True), start=1):
            comparisons, unpaired = compare(test_set)
            problems += unpaired
            looks = look(test_set.groups)
            problems += looks.problems
            result = Result(test_set, summary(test_set), comparisons, looks)
            results.append(result)
            sections += describe(result, Drawing(folder, f"{number}_" if len(sets) > 1 else ""), name=name)
        study = _study(found)
        choice = read_choice(runs)
        if choice is None:
            answer = [_answer(result, study, name) for result, name in zip(results, names, strict=True)]
        else:
            answer = [_chosen(choice, found)]
        page = Page(
            title=_title(runs, study),
            facts=_facts(runs, found),
            question=study.get("question"),
            earlier=study.get("earlier"),
            answer=answer,
            sections=sections,
            problems=[(problem.name, problem.reason) for problem in problems],
        )
        report_table(sets).to_csv(folder / "table.csv", index=False)
        _comparisons(results).to_csv(folder / "comparisons.csv", index=False)
        write_text(folder / "report.html", render_html(page, folder))
        write_text(folder / "report.md", render_markdown(page))
        _replace(output, folder)
    return Report(output, answer, results, problems)


def show(report: Report) -> None:
    """The report on screen: a table a test set, the answer, what was left out, and where the rest lies."""
    say = partial(get_console().print, markup=False, highlight=False, soft_wrap=True)
    for result in report.results:
        say(f"\n{result.test_set.name}\n\n{as_text(plain_table(summary_table(result.table)))}")
    say("")
    for sentence in report.answer:
        say(visible(sentence))
    for problem in report.problems:
        say(visible(f"left out: {problem.name}: {problem.reason}"))
    say(f"\nreport  {RunFolder(report.folder).shown}/{FILES[0]}")


def plain_table(table: Table) -> RichTable:
    """The first columns of a page's table, as many as a terminal can show."""
    rich = RichTable(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for number, column in enumerate(table.columns[:COLUMNS_SHOWN]):
        rich.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in table.rows:
        rich.add_row(*(Text(printable(cell)) for cell in row[:COLUMNS_SHOWN]))
    return rich


def _refuse_other(output: Path) -> None:
    """Raise `InputError` where `output` is there and is neither empty nor a report."""
    try:
        there = {path.name for path in output.iterdir() if not path.name.startswith(HALF)} if output.exists() else set()
    except OSError as error:
        raise InputError(f"output={output} is no folder ({(error.strerror or '').lower()}): name another one") from None
    if there and not there.issuperset(FILES):
        raise InputError(f"output={output} holds {min(there)} and no report: name another folder")


def _replace(output: Path, folder: Path) -> None:
    """Put the files of `folder` into `output`, and take away what an earlier report has drawn beyond them."""
    written = {path.name for path in folder.iterdir()}
    for path in folder.iterdir():
        path.replace(output / path.name)
    for path in output.glob("*.png"):
        if path.stem.lstrip("0123456789_") in PICTURES and path.name not in written:
            path.unlink()


def _study(runs: Sequence[Run]) -> dict[str, str]:
    """The study that the runs are part of; empty where they are part of none, or not of one."""
    studies = [study if isinstance(study := run.config.get("study"), dict) else {} for run in runs]
    same = all(study == studies[0] for study in studies)
    return {key: str(value) for key, value in studies[0].items() if value is not None} if same else {}


def _names(sets: Sequence[TestSet]) -> list[str]:
    """What tells the test sets apart: nothing where there is one, else their data, or all that is said of them."""
    short = [test_set.name.partition(":")[0] for test_set in sets]
    if len(sets) == 1:
        return [""]
    return short if len(set(short)) == len(sets) else [test_set.name for test_set in sets]


def _answer(result: Result, study: dict[str, str], name: str) -> str:
    text = ANSWERS.get(study.get("answer", "best"), ANSWERS["best"])(result)
    return f"On {name}: {text}" if name else text


def _chosen(choice: Choice, runs: Sequence[Run]) -> str:
    """A search's answer. The best of many on the test set would be the luckiest there, too."""
    accuracy = next((run.metrics["test/accuracy"] for run in runs if run.name == choice.run), None)
    reached = "it is not in the tables" if accuracy is None else f"{100 * accuracy:.1f} % of the test images"
    return f"T{str(choice)[1:]}: {reached}. The tables are in the order of the test set, which chose nothing."


def _title(runs: Path, study: dict[str, str]) -> str:
    name = study.get("command", "").rpartition("experiment=")[2]
    return f"Study {name}" if name else f"Comparison of {runs.resolve().name}"


def _facts(folder: Path, runs: Sequence[Run]) -> list[tuple[str, str]]:
    newest = max((run.record for run in runs), key=lambda record: str(record.get("start")))
    versions = _mapping(newest, "versions")
    machines = sorted({name for run in runs for name in _machine(run.record)})
    commits = sorted({str(run.record.get("git_commit")) for run in runs})
    return [
        ("Runs", f"{len(runs)} in {folder}"),
        ("Made", f"{datetime.now():%Y-%m-%d %H:%M}"),
        ("Command", str(newest.get("command"))),
        ("Commit", ", ".join(commits)),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items() if version)),
        ("Hardware", ", ".join(machines)),
        ("Figures", "table.csv and comparisons.csv beside this page, as fractions and unrounded"),
    ]


def _machine(record: Mapping[str, Any]) -> list[str]:
    """Its graphics cards, or its processor where it has none."""
    hardware = _mapping(record, "hardware")
    cards = hardware.get("gpus")
    return [str(name) for name in (cards if isinstance(cards, list) and cards else [hardware.get("cpu", "unknown")])]


def _mapping(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """What a run's record has there; nothing where it is damaged."""
    return value if isinstance(value := record.get(key), dict) else {}


def _comparisons(results: Sequence[Result]) -> pd.DataFrame:
    """All comparisons with the test set in the first column; with its columns where there are none."""
    names = ["test_set", *(field.name for field in fields(Comparison))]
    rows = [{"test_set": r.test_set.name} | asdict(comparison) for r in results for comparison in r.comparisons]
    return pd.DataFrame(rows, columns=names)
