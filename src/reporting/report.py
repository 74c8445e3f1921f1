"""The report of a folder of runs: tables, whether differences are shown, pictures, and a page with all of it."""

import itertools
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich import get_console
from rich.cells import cell_len
from rich.table import Table as RichTable
from rich.text import Text

from ..analysis.intervals import wilson
from ..analysis.tasks import ONE_CLASS
from ..errors import InputError
from ..figures.style import printable
from ..files import move_files, refuse_links, write_text
from ..frames import pd
from ..logs import for_screen, visible
from ..runs.folder import RunFolder
from ..tables import as_text, screen_width
from .answers import ANSWERS, chosen_by_test, few_tested
from .chosen import Choice, read_choice
from .class_pictures import Drawing
from .crossed_runs import components_table, find_sources
from .difference_shown import COLUMNS, SIGNED, compare
from .document import Page, Table, render_html, render_markdown
from .facts import Facts, made_by, study_of
from .finished import Problem, Run, read_runs
from .found import KEPT
from .groups import TestSet, group_runs, test_sets
from .kept_maps import look
from .kept_runs import Packed, pack_runs
from .result import Result
from .run_page import PICTURES_OF_ONE, run_page, with_copies
from .sections import PICTURES, describe, summary_table
from .single_runs import runs_table
from .summary import report_table, summary
from .tasks import parts_of

WIDEST_NAME = 40
"""Columns of a terminal that a model's name may take from the numbers; a longer one goes on below."""

GAP = 3

HALF = ".report."
"""How the name of an unfinished report's folder begins."""

COMPONENTS = "components.csv"
"""Only where splits and seeds are crossed."""

# What an earlier report is known by: those of earlier versions have no runs.csv.
FILES = ("report.html", "report.md", "table.csv", "comparisons.csv")


@dataclass(frozen=True)
class Report:
    """Where a report is, and what the screen shows of it: its answer, its tables, and what is missing from it.

    `archive`: it has written `runs.tar.xz`.
    """

    folder: Path
    answer: Sequence[str]
    results: Sequence[Result]
    problems: Sequence[Problem]
    archive: bool = False


def write_report(runs: Path, output: Path, *, archive: bool = False) -> Report:
    """Read the run folders in `runs` and write report.html, report.md, the three CSVs and the PNGs.

    With `archive` also `runs.tar.xz`, of which `runs` may hold some itself.

    It loads no network: Grad-CAMs come from the arrays that the runs have kept, test images from the data set if that
    is still there. An earlier report in `output` is replaced once the new one is complete.

    Raises:
        InputError: there is no finished run in `runs`, or `output` holds something else.
    """
    if output.is_relative_to(runs):  # runs/report came with the runs, perhaps
        refuse_links(runs, output)
    _refuse_other(output)
    with tempfile.TemporaryDirectory(prefix="reslens_") as unpacked:
        return _write(runs, output, Path(unpacked), archive)


def _write(runs: Path, output: Path, unpacked: Path, archive: bool) -> Report:
    found, problems = read_runs(runs, unpacked, output)
    groups, doubles = group_runs(found)
    sets, separate = test_sets(groups)
    try:
        output.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(dir=output, prefix=HALF)
    except OSError as error:
        raise InputError(f"output={output} can't be made ({error.strerror}): name another folder") from None
    with temporary as path:
        folder = Path(path)
        results, unusable = _results(sets)
        problems = [*problems, *doubles, *separate, *unusable]
        if found[0].name == ".":  # the folder is a run
            drawn = parts_of(found[0].task).classes(sets[0], Drawing(folder, ""))
            page = with_copies(run_page(found[0], problems, drawn), found[0], folder)
        else:
            page = _compared(runs, found, results, problems, folder)
        report_table(sets).to_csv(folder / "table.csv", index=False)
        runs_table(sets).to_csv(folder / "runs.csv", index=False)
        _comparisons(results).to_csv(folder / "comparisons.csv", index=False)
        components = components_table({result.test_set.name: result.sources for result in results})
        if components is not None:
            components.to_csv(folder / COMPONENTS, index=False)
        if archive:
            pack_runs(_packed(sets), folder / KEPT)
        write_text(folder / "report.html", render_html(page, folder))
        write_text(folder / "report.md", render_markdown(page))
        _replace(output, folder)
    return Report(output, page.answer, results, problems, archive)


def _compared(
    runs: Path, found: Sequence[Run], results: Sequence[Result], problems: Sequence[Problem], folder: Path
) -> Page:
    """Draw the pictures of all test sets into `folder`; return the page that compares the runs."""
    names, study, choice = _names([result.test_set for result in results]), study_of(found), read_choice(runs)
    if choice is None:
        answer = [_answer(result, study, name) for result, name in zip(results, names, strict=True)]
        answer += [hint for result in results if (hint := chosen_by_test(result, study.get("answer", "best")))]
    else:
        answer = [_chosen(choice, found)]
    sections = []
    for number, (result, name) in enumerate(zip(results, names, strict=True), start=1):
        sections += describe(result, Drawing(folder, f"{number}_" if len(results) > 1 else ""), name=name)
    return Page(
        title=_title(runs, study),
        facts=_facts(runs, found),
        question=study.get("question"),
        earlier=study.get("earlier"),
        answer=answer,
        sections=sections,
        problems=[(problem.name, problem.reason) for problem in problems],
    )


def _results(sets: Sequence[TestSet]) -> tuple[list[Result], list[Problem]]:
    """Compute what is known about each test set, and return what could not be compared or read."""
    results, problems = [], []
    for test_set in sets:
        comparisons, unpaired = compare(test_set)
        looks = look(test_set.groups)
        problems += [*unpaired, *looks.problems]
        results.append(Result(test_set, summary(test_set), comparisons, looks, find_sources(test_set)))
    return results, problems


def show(report: Report) -> None:
    """Print a table for each test set, the answer, what was left out, and where the report is."""
    print_ = partial(get_console().print, markup=False, highlight=False, soft_wrap=True)

    def say(text: str) -> None:
        print_(for_screen(text))

    for result in report.results:
        say(f"\n{result.test_set.name}\n\n{as_text(plain_table(summary_table(result.table, result.test_set.task)))}")
        for hint in few_tested(result):
            say(f"\n{hint}")
    say("")
    for sentence in report.answer:
        say(visible(sentence))
    for problem in report.problems:
        say(visible(f"left out: {problem.name}: {problem.reason}"))
    say(f"\nreport  {RunFolder(report.folder).shown}/{FILES[0]}")
    if report.archive:
        say(f"runs    {RunFolder(report.folder).shown}/{KEPT}  in a folder of other runs it counts as they do")


def plain_table(table: Table) -> RichTable:
    """Return the first columns of a page's table: as many as a terminal shows without breaking a number."""
    room = screen_width()
    rows = [[printable(cell) for cell in row] for row in table.rows]
    widths = [max(map(cell_len, column)) + GAP for column in zip(table.columns, *rows, strict=True)]
    totals = itertools.accumulate([min(widths[0], WIDEST_NAME), *widths[1:]])
    shown = sum(total <= room for total in totals)
    rich = RichTable(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for number, column in enumerate(table.columns[:shown]):
        rich.add_column(column, justify="right" if number else "left", overflow="fold", no_wrap=number > 0)
    for row in rows:
        rich.add_row(*map(Text, row[:shown]))
    return rich


def _refuse_other(output: Path) -> None:
    """Raise `InputError` if `output` exists and is neither empty nor a report."""
    try:
        there = {path.name for path in output.iterdir() if not path.name.startswith(HALF)} if output.exists() else set()
    except OSError as error:
        raise InputError(f"output={output} is no folder ({(error.strerror or '').lower()}): name another one") from None
    if there and not there.issuperset(FILES):
        raise InputError(f"output={output} holds {min(there)} and no report: name another folder")


def _replace(output: Path, folder: Path) -> None:
    """Move the files of `folder` into `output`, and remove what only an earlier report had."""
    written = move_files(folder, output)
    if COMPONENTS not in written:
        (output / COMPONENTS).unlink(missing_ok=True)
    for path in (*output.glob("*.png"), *output.glob("*.webp")):
        ours = path.stem.lstrip("0123456789_") in PICTURES or PICTURES_OF_ONE.fullmatch(path.name)
        if ours and path.name not in written:
            path.unlink()


def _packed(sets: Sequence[TestSet]) -> Iterator[Packed]:
    """Yield the runs in the tables, each with a name of its own: of names that aren't UTF-8 two may be alike."""
    taken: Counter[str] = Counter()
    for run in (run for test_set in sets for group in test_set.groups for run in group.runs):
        taken[run.name] += 1
        name = "run" if run.name == "." else run.name
        yield Packed(
            f"{name}_{taken[run.name]}" if taken[run.name] > 1 else name,
            run.folder.path,
            int(run.metrics["best_epoch"]),
        )


def _names(sets: Sequence[TestSet]) -> list[str]:
    """Return what distinguishes the test sets: nothing if there is one, else their data or, if need be, full names."""
    short = [test_set.name.partition(":")[0] for test_set in sets]
    if len(sets) == 1:
        return [""]
    return short if len(set(short)) == len(sets) else [test_set.name for test_set in sets]


def _answer(result: Result, study: dict[str, str], name: str) -> str:
    text = ANSWERS.get(study.get("answer", "best"), ANSWERS["best"])(result)
    return f"On {name}: {text}" if name else text


def _chosen(choice: Choice, runs: Sequence[Run]) -> str:
    """Return a search's answer. It isn't the best on the test set: of many, that one would be the luckiest there."""
    run = next((run for run in runs if run.name == choice.run), None)
    reached = "it is not in the tables"
    if run is not None:
        task = run.task
        share = run.metrics[f"test/{task.first}"]
        reached = f"{task.before}{100 * share:.1f} %{task.after}"
        if task is ONE_CLASS:
            low, high = wilson(share, int(run.per_class["support"].sum()))
            reached += f" (95 % interval {100 * low:.1f} to {100 * high:.1f})"
    return f"T{str(choice)[1:]}: {reached}. The tables are in the order of the test set, which chose nothing."


def _title(runs: Path, study: dict[str, str]) -> str:
    name = study.get("command", "").rpartition("experiment=")[2]
    return f"Study {name}" if name else f"Comparison of {runs.resolve().name}"


def _facts(folder: Path, runs: Sequence[Run]) -> Facts:
    return [
        ("Runs", f"{len(runs)} in {folder}"),
        *made_by([run.record for run in runs]),
        ("Figures", "table.csv, runs.csv and comparisons.csv beside this page, as fractions and unrounded"),
    ]


def _comparisons(results: Sequence[Result]) -> pd.DataFrame:
    """Return all comparisons with the test set in the first column; without any, just the columns."""
    rows = [{"test_set": r.test_set.name} | comparison.row() for r in results for comparison in r.comparisons]
    return pd.DataFrame(rows, columns=["test_set", *COLUMNS, *SIGNED])
